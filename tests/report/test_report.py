"""The report of run folders: what the file holds, within its size; partial and hostile folders."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluation.fakes import detection_sample, spatial_sample
from tests.report.runs_on_disk import HOSTILE, MODELS, Page, make_eval, make_run

from rft3d.evaluation import Prediction, write_predictions
from rft3d.report import ReportConfig, write_report
from rft3d.report.embed import CODE, clean, duration, number, percent
from rft3d.report.rollouts import spread
from rft3d.report.samples import read_cameras


class Tags(HTMLParser):
    """Collects every element, and every address that a page loads or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(dict(attrs))
        names = ("src", "href", "srcset", "action", "data", "poster")
        self.addresses += [value or "" for name, value in attrs if name in names]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    path = write_report(run, config=ReportConfig(gallery=4, resamples=20))
    assert path == run / "report" / "index.html"
    assert [p.name for p in path.parent.iterdir()] == ["index.html"], "one file, no temporary ones"
    return Page(path)


def test_one_file_that_loads_nothing(page: Page) -> None:
    tags = Tags()
    tags.feed(page.html)
    assert tags.addresses and all(address.startswith("#") for address in tags.addresses)
    assert not tags.handlers
    code = [script for script in tags.scripts if script.get("type") != "text/plain"]
    assert code == [{}, {}], "the library and the page's own code, inline"
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page.html)
    assert policy and policy[1].count("sha256-") == 2 and "default-src 'none'" in policy[1]
    assert "'unsafe-inline'" not in policy[1].split("script-src")[1].split(";")[0]


def test_the_tables_say_what_scores_json_says(run: Path, page: Page) -> None:
    for task in ("detection", "grounding", "spatial"):
        scores = json.loads((run / "eval" / "sft_sft" / f"{task}.scores.json").read_text())
        row = page.html.split("<b>SFT → SFT</b>")[1].split("</tr>")[0]
        values = re.findall(r'<span class="value">([^<]+)</span>', row)
        for interval in scores["headline"].values():
            assert percent(interval["value"]) in values
    for expected in ("SFT → RFT (matched reward)", "my own", "1 min 11 s", "abcdef012345", "900 MB"):
        assert expected in page.html
    assert "unreadable lines were skipped" in page.html
    assert "eval/sft/detection.scores.json was missing" in page.html
    assert (
        page.html.index("<b>SFT</b>") < page.html.index("<b>SFT → SFT</b>") < page.html.index("<b>my own</b>")
    )
    assert "Paired comparison with SFT → SFT" in page.html


def test_model_text_cannot_act(page: Page) -> None:
    assert "<script>alert" not in page.html and "onerror=alert('y')>" not in page.html
    told = json.dumps([page.index, *page.details("detection")], ensure_ascii=False)
    assert "<script>alert('x')</script>" in told, "shown as it was written"
    assert not re.search("[\x00-\x1f\u202e\ud800-\udfff]", told)


def test_every_sample_and_its_matches_are_there(page: Page) -> None:
    for task in page.index["tasks"]:
        assert len(page.details(task["name"])) == len(task["ids"]) == 5
        assert [page.index["columns"][c]["model"] for c in task["columns"]] == list(MODELS)
        gold = task["columns"].index(
            next(i for i, c in enumerate(page.index["columns"]) if c["model"] == "my own")
        )
        assert sum(r < 0.5 for r in task["right"][gold]) == 1, "all gold but the one hostile answer"
    detail = page.detail("detection", 0)
    assert [box["label"] for box in detail["truth"]] == ["chair", "table"]
    hostile, good = detail["answers"][0], detail["answers"][1]
    assert hostile["parse_failure"] and not hostile["boxes"] and hostile["total"] == 0
    assert [box["match"] for box in good["boxes"]] == [0, 1] and min(b["iou"] for b in good["boxes"]) > 0.9
    assert good["parts"][0]["name"] == "format" and good["parts"][0]["reason"]


def test_curves_alarms_and_facts(page: Page) -> None:
    assert [stage["stage"] for stage in page.index["curves"]] == ["sft", "rft"]
    panels = {panel["title"]: panel["lines"] for panel in page.index["curves"][0]["panels"]}
    assert panels["reward/detection"][0]["name"] == "iou"
    assert panels["reward/detection"][0]["y"] == [float(i) for i in range(30)]
    assert page.index["alarms"] == [
        {"stage": "rft", "since": 7, "until": None, "keys": ["reward/detection/iou"]}
    ]
    assert "more boxes than objects" in page.html and "since step 7" in page.html
    assert "&lt;script&gt;alert" in page.html, "what an alarm saw is text"
    assert "abcdef0123456789" in page.html and "&lt;b&gt;" in page.html


def test_rollout_groups(page: Page) -> None:
    rows = page.index["groups"]["rows"]
    assert len(rows) == 4
    by_step = {row["step"]: row for row in rows}
    assert by_step[1.0]["advantage"] == 1.5 and not by_step[1.0]["zero"]
    assert by_step[2.0]["zero"] and by_step[2.0]["truncated"] == 1
    assert by_step[3.0]["failures"] == 2
    first = page.group(rows.index(by_step[1.0]))
    assert [box["label"] for box in first["truth"]] == ["chair", "table"] and len(first["cameras"]) == 2
    assert [box["match"] for box in first["answers"][0]["boxes"]] == [0, 1]
    assert first["answers"][0]["advantage"] == 1.5 and first["answers"][0]["tokens"] == 40
    assert page.has(f"p-{first['frames'][0]}")
    bare = page.group(rows.index(by_step[4.0]))
    assert bare["cameras"] is None and "not found" in bare["note"]
    assert "rollouts.jsonl: 2 unreadable lines" in page.html


def test_two_runs_are_compared_on_what_they_share(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "second", seed=4, models=("sft",), count=4)
    samples = other / "eval" / "detection.samples.jsonl"
    samples.write_text(samples.read_text().replace("Find the things of room 1.", "Something else."))
    page = Page(write_report([run, other], tmp_path / "out", config=ReportConfig(gallery=2, resamples=20)))
    assert [column["title"] for column in page.index["columns"]][-1] == "second: SFT"
    last = len(page.index["columns"]) - 1
    pair = page.index["pairs"]["detection"][f"0-{last}"]
    assert pair["f1@0.25"]["n"] == 3, "four samples, one of them another question"
    assert "share an id with another run&#39;s but ask something else" in page.html
    assert "Differs between the runs" in page.html and "<td>seed</td><td>3</td><td>4</td>" in page.html
    path = write_report([run, other], config=ReportConfig(resamples=5, gallery=0))
    assert path == run / "report" / "compare.html"


def test_the_size_is_kept_and_what_is_missing_is_said(run: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    from PIL import Image

    many = tmp_path / "many"
    make_eval(many, {"detection": [detection_sample(n) for n in range(80)]}, ("sft",))
    for path in (many / "eval" / "frames").glob("*.png"):
        Image.fromarray(noise.integers(0, 255, (224, 336, 3), dtype=np.uint8)).save(path)
    path = write_report(many, config=ReportConfig(resamples=5, gallery=8, max_mb=2.5))
    assert 2.0e6 < path.stat().st_size <= 2.5e6
    page = Page(path)
    assert "pictures are left out" in page.html
    worst = min(range(80), key=lambda i: page.index["tasks"][0]["totals"][0][i])
    assert page.has(f"p-{page.detail('detection', worst)['frames'][0]}"), "the gallery's pictures come first"


def test_without_cameras_boxes_stay_in_the_first_camera_and_the_page_says_so(tmp_path: Path) -> None:
    make_eval(tmp_path, {"detection": [detection_sample(n, cameras=False) for n in range(2)]}, ("sft",))
    detail = Page(write_report(tmp_path, config=ReportConfig(resamples=5))).detail("detection", 0)
    assert detail["cameras"] is None
    assert "No boxes are drawn" in detail["note"] and "no intrinsics" in detail["note"]
    # x right, z forward, y down of the camera become x, y, -z of a z-up view
    assert detail["truth"][0]["box"][:3] == [0.4, 2.5, -0.3]


def test_a_plain_eval_folder_is_enough(tmp_path: Path) -> None:
    make_eval(tmp_path, {"spatial": [spatial_sample(number) for number in range(3)]}, ("sft",))
    text = write_report(tmp_path, tmp_path / "elsewhere", config=ReportConfig(resamples=5)).read_text()
    assert "no stages/*/metrics.jsonl" in text and "macro8" in text
    assert "Paired comparison" not in text and "<h2>Cost" not in text


def test_missing_pictures_are_said(tmp_path: Path) -> None:
    make_eval(tmp_path, {"spatial": [spatial_sample(number) for number in range(3)]}, ("sft",))
    for path in (tmp_path / "eval" / "frames").glob("*.png"):
        path.unlink()
    page = Page(write_report(tmp_path, config=ReportConfig(resamples=5)))
    assert "No pictures" in page.html and "(and " in page.html


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="not a run folder"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
    for wrong, name in (
        ({"gallery": -1}, "gallery"),
        ({"resamples": 0}, "resamples"),
        ({"max_mb": 1}, "max_mb"),
    ):
        with pytest.raises(ValueError, match=name):
            write_report(tmp_path, config=ReportConfig(**wrong))
    with pytest.raises(ValueError, match="no run folder given"):
        write_report([])


def test_malformed_cameras_are_said() -> None:
    for broken in ([[1.0, 2.0]], "x", [np.diag([2.0, 2, 2, 1]).tolist()] * 2):
        sample = detection_sample(0)
        sample.meta["T_world_camera"] = broken
        cameras, problem = read_cameras(sample)
        assert cameras is None and "malformed" in problem


def test_every_beginning_is_spread_over_the_whole() -> None:
    assert spread(5) == [0, 4, 2, 1, 3]
    for count in (0, 1, 2, 7, 100):
        assert sorted(spread(count)) == list(range(count))


def test_the_library_ships_with_its_licence() -> None:
    import rft3d.report

    static = Path(rft3d.report.__file__).parent / "static"
    assert "MIT License" in (static / "three.LICENSE.txt").read_text()
    version = re.search(r"THREE=(\S+)", (static / "build_three.sh").read_text())
    assert version and f"three.js {version[1]}, MIT" in (static / "three.min.js").read_text()[:80]
    assert {path.stem for path in static.glob("*.js")} == {*CODE, "three.min"}


def test_formatting() -> None:
    assert clean("a\x00b\n") == "a␀b\n"
    assert clean("x" * 30, 10) == "x" * 10 + " … (20 more characters)"
    assert clean("\ud800\u202e") == "\\ud800\\u202e"
    assert (percent(0.4123), percent(None, "–")) == ("41.2", "–")
    assert (number(0.12345), number(12345.6), number(7), number(None)) == ("0.123", "12,346", "7", "–")
    assert (duration(3.21), duration(431), duration(7300)) == ("3.2 s", "7 min 11 s", "2 h 01 min")


def test_a_missing_prediction_is_said(tmp_path: Path) -> None:
    samples = [spatial_sample(number) for number in range(3)]
    make_eval(tmp_path, {"spatial": samples}, ("sft",))
    write_predictions(tmp_path / "eval" / "sft" / "spatial.predictions.jsonl", [Prediction("q0", HOSTILE)])
    page = Page(write_report(tmp_path, config=ReportConfig(resamples=5)))
    missing: list[Any] = [page.detail("spatial", i)["answers"][0]["missing"] for i in range(3)]
    assert missing == [False, True, True]
