"""The report of a run folder: complete, partial, hostile; every link in it leads to a file."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.evaluation.fakes import (
    detection_sample,
    gold_answers,
    grounding_sample,
    spatial_sample,
    write_frames,
)

from rft3d.evaluation import Prediction, ScoreConfig, score_files, write_json, write_predictions
from rft3d.report import write_report
from rft3d.report.curves import draw_curves, panels, read_metrics, smooth
from rft3d.report.page import clean, duration, number, percent
from rft3d.report.samples import read_cameras
from rft3d.tasks import TASKS
from rft3d.tasks.samples import write_samples
from rft3d.tasks.types import Sample

HOSTILE = "</pre><script>alert('x')</script>\x00\ud800\u202e<img src=x onerror=alert(1)>"
MODELS = ("sft", "sft-sft", "rft-matched", "my own")


class Links(HTMLParser):
    """Collects every element, and every address that a page loads or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def read_page(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def make_eval(run: Path, tasks: dict[str, list[Sample]], models: tuple[str, ...] = MODELS) -> None:
    folder = run / "eval"
    for name, samples in tasks.items():
        write_frames(folder, samples)
        write_samples(folder / f"{name}.samples.jsonl", samples)
        answers = gold_answers(samples)
        for place, model in enumerate(models):
            predictions = [
                Prediction(s.id, HOSTILE if index == place else answers[s.prompt], tokens=7)
                for index, s in enumerate(samples)
            ]
            path = folder / model / f"{name}.predictions.jsonl"
            write_predictions(path, predictions)
            if place:
                result = score_files(
                    name, folder / f"{name}.samples.jsonl", path, ScoreConfig(resamples=20, seed=3)
                )
                write_json(path.with_name(f"{name}.scores.json"), result)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    tasks = {
        "detection": [detection_sample(number) for number in range(5)],
        "grounding": [grounding_sample(number) for number in range(5)],
        "spatial": [spatial_sample(number) for number in range(5)],
    }
    make_eval(run, tasks)
    for stage in ("sft", "rft"):
        rows = [
            {"step": i, "time": 1.0 * i, "loss": 1 / (i + 1), "reward/detection/iou": i} for i in range(30)
        ]
        path = run / "stages" / stage / "metrics.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 3')
    write_json(run / "stages.json", [{"stage": "sft", "seconds": 71.0, "peak_memory_mb": 900, "tokens": 5}])
    write_json(run / "env.json", {"commit": "abcdef0123456789", "hostile": "<b>"})
    write_json(run / "config.json", {"seed": 3})
    return run


def test_everything_is_there_and_every_link_leads_to_a_file(run: Path) -> None:
    index = write_report(run, gallery=3, resamples=20)
    assert index == run / "report" / "index.html"
    pages = sorted((run / "report").rglob("*.html"))
    assert len(pages) == 1 + 3 * 3
    for page in pages:
        for address in read_page(page).addresses:
            if not address.startswith("#"):
                assert "://" not in address
                assert (page.parent / address).is_file(), (page, address)
    text = index.read_text()
    for expected in (
        "SFT → SFT",
        "SFT → RFT (matched reward)",
        "my own",
        "1 min 11 s",
        "abcdef012345",
        "900 MB",
    ):
        assert expected in text
    assert "unreadable lines were skipped" in text
    assert "eval/sft/detection.scores.json was missing" in text
    svg = (run / "report" / "curves" / "0.svg").read_text()
    assert (
        svg.count('<g id="axes_') == 2
    )  # loss and the one reward part; the third place of the row stays empty
    assert not list((run / "report").rglob("*.tmp"))


def test_model_text_cannot_act(run: Path) -> None:
    write_report(run, gallery=5, resamples=20)
    shown = 0
    for page in (run / "report").rglob("*.html"):
        links = read_page(page)
        assert "script" not in links.tags and not links.handlers
        text = page.read_text(encoding="utf-8")
        shown += text.count("alert(&#39;x&#39;)")
        assert "\x00" not in text and "\u202e" not in text
    assert shown > 0


def test_true_and_predicted_boxes_are_in_the_pictures(run: Path) -> None:
    write_report(run, gallery=5, resamples=20)
    found = {"green": 0, "orange": 0}
    for path in sorted((run / "report" / "detection").glob("000-*.jpg")):
        pixels = np.asarray(Image.open(path)).astype(int)
        r, g, b = pixels[..., 0], pixels[..., 1], pixels[..., 2]
        found["green"] += int(((g > r + 60) & (g > b + 40)).sum())
        found["orange"] += int(((r > b + 120) & (r > g + 40)).sum())
    assert found["green"] > 500 and found["orange"] > 500
    page = (run / "report" / "detection" / "004.html").read_text()
    assert "why" in page and "4 of 4" not in page and "2 of 2" in page  # the reason of f1@0.25


def test_without_cameras_nothing_is_drawn_and_the_page_says_so(tmp_path: Path) -> None:
    make_eval(tmp_path, {"detection": [detection_sample(n, cameras=False) for n in range(2)]}, ("sft",))
    write_report(tmp_path, resamples=5)
    page = (tmp_path / "report" / "detection" / "000.html").read_text()
    assert "No boxes are drawn" in page and "no intrinsics" in page
    assert "with boxes" not in page


def test_a_plain_eval_folder_is_enough(tmp_path: Path) -> None:
    make_eval(tmp_path, {"spatial": [spatial_sample(number) for number in range(3)]}, ("sft",))
    text = write_report(tmp_path, tmp_path / "elsewhere", resamples=5).read_text()
    assert "no stages/*/metrics.jsonl" in text and "macro8" in text
    assert "Paired comparison" not in text and "Cost" not in text


def test_missing_pictures_are_said(run: Path) -> None:
    for path in (run / "eval" / "frames").glob("*.png"):
        path.unlink()
    write_report(run, gallery=1, resamples=5)
    assert "No pictures" in (run / "report" / "spatial" / "000.html").read_text()


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="not a run folder"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="gallery"):
        write_report(tmp_path, gallery=-1)


def test_the_table_marks_the_best_and_compares_with_more_sft(run: Path) -> None:
    text = write_report(run, gallery=0, resamples=20).read_text()
    assert "Paired comparison with SFT → SFT" in text
    assert re.search(r'<td class="best">\d', text)
    order = [
        text.index(f"<b>{title}</b>")
        for title in ("SFT", "SFT → SFT", "SFT → RFT (matched reward)", "my own")
    ]
    assert order == sorted(order)


def test_malformed_cameras_are_said() -> None:
    sample = detection_sample(0)
    sample.meta["T_world_camera"] = [[1.0, 2.0]]
    cameras, problem = read_cameras(sample)
    assert cameras is None and "malformed" in problem


def test_metrics_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 5, "loss": 1.5, "note": "x", "flag": true, "kl": NaN}\n[1]\n{"loss": 2}\n{"lo')
    stage = read_metrics(path, "sft")
    assert stage.series == {"loss": [(5.0, 1.5), (2.0, 2.0)]}
    assert stage.skipped == 2
    assert draw_curves(read_metrics(path, "$x_{$"), tmp_path / "c.svg") == tmp_path / "c.svg"
    path.write_text("")
    assert draw_curves(read_metrics(path, "sft"), tmp_path / "none.svg") is None
    assert not (tmp_path / "none.svg").exists()


def test_panels_group_parts_and_start_with_what_matters() -> None:
    found = panels(["lr", "reward/a/iou", "reward", "loss", "reward/a/f1", "a_kind"])
    assert found == [
        ("loss", ["loss"]),
        ("reward", ["reward"]),
        ("reward/a", ["reward/a/f1", "reward/a/iou"]),
        ("a_kind", ["a_kind"]),
        ("lr", ["lr"]),
    ]


def test_smoothing_starts_at_the_first_value_and_keeps_constants() -> None:
    assert smooth([3.0] * 5, 10) == pytest.approx([3.0] * 5)
    assert smooth([1.0, 5.0, 2.0], 1.0) == [1.0, 5.0, 2.0]
    assert smooth([1.0, 0.0], 3.0) == pytest.approx([1.0, 1 / 3])


def test_formatting() -> None:
    assert clean("a\x00b\n") == "a␀b\n"
    assert clean("x" * 30, 10) == "x" * 10 + " … (20 more characters)"
    assert clean("\ud800\u202e") == "\\ud800\\u202e"
    assert (percent(0.4123), percent(None)) == ("41.2", "–")
    assert (number(0.12345), number(12345.6), number(7), number(None)) == ("0.123", "12,346", "7", "–")
    assert (duration(3.21), duration(431), duration(7300)) == ("3.2 s", "7 min 11 s", "2 h 01 min")


def test_every_task_has_a_page() -> None:
    assert set(TASKS) == {"detection", "grounding", "spatial"}, "add the new task to this file's run fixture"
