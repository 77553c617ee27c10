"""A benchmark's official and vg-llm variants stand side by side in the report, each with its footnote."""

from __future__ import annotations

import re
from pathlib import Path

from tests.evaluation.fakes import detection_sample, write_frames

from rft3d.evaluation import Prediction, ScoreConfig, score_benchmark, write_predictions
from rft3d.files import write_json
from rft3d.report import write_report
from rft3d.report.page import percent
from rft3d.tasks.samples import write_samples


def test_both_readings_of_a_benchmark_are_shown(tmp_path: Path) -> None:
    run = tmp_path / "run"
    samples = [detection_sample(number) for number in range(3)]
    write_frames(run, samples)
    path = run / "samples.detection.jsonl"
    write_samples(path, samples)
    chair = '{"label": "chair", "bbox_3d": [0.4, 0.3, 2.5, 0.5, 0.9, 0.6, 0.1, 0.2, 0.3]}'
    texts = [f"```json\n[\n\t{chair.replace('0.4', x)}\n]```" for x in ("0.4", "0.3")] + ["nothing"]
    answers = run / "mine" / "detection.predictions.jsonl"
    write_predictions(
        answers,
        [
            Prediction(s.id, t, truncated=k == 1)  # upstream scores what was cut off, we don't
            for k, (s, t) in enumerate(zip(samples, texts, strict=True))
        ],
    )
    config = ScoreConfig(compat="vg-llm", resamples=20)
    result = score_benchmark("scannet-detection-4f", path, answers, config)
    write_json(run / "mine" / "detection.scores.json", result)
    ours, theirs = (result["variants"][name] for name in ("ours", "vg-llm"))
    assert ours["metrics"]["recall@0.25"] != theirs["metrics"]["recall@0.25"]

    html = write_report(run, gallery=1, resamples=5).read_text(encoding="utf-8")
    card = html.split('<div class="card variants">')[1].split("</div>\n</div>")[0].split("</ol>")[0]
    rows = re.findall(r"<tr><td><b>mine</b></td><td>([^<]+)<sup>(\d)</sup>(.*?)</tr>", card, re.DOTALL)
    assert [name for name, _, _ in rows] == ["ours", "vg-llm"]
    for (_, _, cells), each in zip(rows, (ours, theirs), strict=True):
        shown = re.findall(r"<td>([\d.]+)<", cells)
        assert shown == [percent(found["value"]) for found in each["headline"].values()]
    notes = re.findall(r"<li>(.*?)</li>", card, re.DOTALL)
    for name, mark, _ in rows:
        assert notes[int(mark) - 1].startswith(f"{name}: ")
    assert any(note.startswith("NOT the complete benchmark") for note in notes)


def test_a_plain_score_has_no_such_table(tmp_path: Path) -> None:
    run = tmp_path / "run"
    samples = [detection_sample(0)]
    write_frames(run, samples)
    write_samples(run / "samples.detection.jsonl", samples)
    write_predictions(run / "mine" / "detection.predictions.jsonl", [Prediction("s0", "[]")])
    assert "every protocol side by side" not in write_report(run, resamples=5).read_text(encoding="utf-8")
