"""A run folder with every kind of file, hand-made: questions, answers, metrics, rollouts, alarms."""

from __future__ import annotations

import json
from pathlib import Path

from tests.evaluation.fakes import (
    detection_sample,
    gold_answers,
    grounding_sample,
    spatial_sample,
    write_frames,
)

from rft3d.evaluation import Prediction, ScoreConfig, score_files, write_predictions
from rft3d.files import write_json
from rft3d.runfolder import Titles, write_titles
from rft3d.tasks.samples import write_samples

HOSTILE = "</pre><script>alert('x')</script>[red]\x00\ud800\u202e\x1b[2J<img src=x onerror=alert(1)>"
MODELS = ("sft", "rft_matched")
TITLES = Titles({"sft": "SFT", "rft_matched": "SFT → RFT (matched reward)"})


def alarm_event(
    step: int, on: bool, since: int, alarm: str = "many_boxes", **changes: object
) -> dict[str, object]:
    return {
        "step": step,
        "alarm": alarm,
        "task": "detection",
        "on": on,
        "since": since,
        "title": "More boxes than there are things",
        "saw": "2.10 boxes for every true one, 1.00 at the start",
        "advice": "Match one to one.",
        "keys": ["watch/boxes_per_truth/detection"],
        **changes,
    }


def write_lines(path: Path, rows: list[dict[str, object]], end: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + end)


def make_run(root: Path, samples: int = 3, steps: int = 30) -> Path:
    """A run with one finished SFT stage and one RFT stage that stands at ``steps`` of 40."""
    write_titles(root, TITLES)
    folder = root / "eval"
    makers = {"detection": detection_sample, "grounding": grounding_sample, "spatial": spatial_sample}
    for name, make in makers.items():
        made = [make(number) for number in range(samples)]
        write_frames(folder, made)
        write_samples(folder / f"{name}.samples.jsonl", made)
        answers = gold_answers(made)
        for place, model in enumerate(MODELS):
            texts = [HOSTILE if i == place else answers[s.prompt] for i, s in enumerate(made)]
            path = folder / model / f"{name}.predictions.jsonl"
            write_predictions(path, [Prediction(s.id, t, tokens=9) for s, t in zip(made, texts, strict=True)])
            scored = score_files(name, folder / f"{name}.samples.jsonl", path, ScoreConfig(resamples=20))
            write_json(path.with_name(f"{name}.scores.json"), scored)
    rows: list[dict[str, object]] = [
        {
            "step": i,
            "time": 1000.0 + 2.0 * i,
            "reward": 1 + i / 100,
            "reward/detection": 1 + i / 100,
            "loss": 1 / i,
            "watch/boxes_per_truth/detection": 1 + i / 20,
            "watch/same_answer/spatial": 0.4,
            "watch/same_truth/spatial": 0.3,
            "alarms": 1.0,
        }
        for i in range(1, steps + 1)
    ]
    sft: list[dict[str, object]] = [{"step": i, "time": 900.0 + i, "loss": 2 / i} for i in range(1, 11)]
    write_lines(root / "stages" / "sft" / "metrics.jsonl", sft)
    write_json(root / "stages" / "sft" / "stage.json", {"steps": 10})
    write_json(root / "stages" / "sft" / "done.json", {})
    stage = root / "stages" / "rft"
    write_lines(stage / "metrics.jsonl", rows, '{"step": 3')
    write_json(stage / "stage.json", {"steps": 40})
    events = [
        alarm_event(12, True, 10),
        alarm_event(17, False, 10),
        alarm_event(22, True, 20, "length", title="Answers grow", saw=HOSTILE, keys=[]),
    ]
    write_lines(stage / "alarms.jsonl", events, "{half")
    completions: list[dict[str, object]] = [{"text": HOSTILE, "total": 0.25}, {"text": "good", "total": 1.75}]
    write_lines(
        stage / "rollouts.jsonl",
        [{"step": 26, "task": "detection", "sample_id": "s1", "completions": completions}],
    )
    write_json(root / "stages.json", [{"stage": "sft", "seconds": 71.0, "peak_memory_mb": 900, "tokens": 5}])
    write_json(root / "env.json", {"commit": "abcdef0123456789", "python": "3.11", "hostile": "<b>|x"})
    write_json(root / "config.json", {"seed": 3, "train_rooms": 12, "note": "```"})
    return root
