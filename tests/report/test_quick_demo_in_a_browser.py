"""The report that the quick demo made, as a newcomer opens it: clicked through, and compared with its run.

``RFT3D_QUICK_DEMO=FOLDER`` names a finished quick demo (``.ci/run`` does); without it the demo is run here,
which takes minutes. Needs Chromium or Chrome on PATH.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tests.report.browser import DRAWN_EDGES, NAMES, Browser, ends, find_browser

from rft3d.answers.types import FrameBox, LabelledBox
from rft3d.evaluation import (
    Prediction,
    ScoreConfig,
    ScoredRun,
    read_predictions,
    score_files,
    score_predictions,
    write_predictions,
)
from rft3d.experiments.demo import demo_experiment, run_demo
from rft3d.files import write_json
from rft3d.geometry import box_corners, boxes_valid, invert_pose, project, transform_boxes, transform_points
from rft3d.report import ReportConfig, write_report
from rft3d.report.run_folder import read_run_folder
from rft3d.report.runs import join_runs
from rft3d.report.tables import alarms_of_reading
from rft3d.rewards import Placement
from rft3d.scenes import WORLDS, make_room
from rft3d.scenes.images import load_depth
from rft3d.tasks import make_task, read_samples
from rft3d.tasks.types import Sample

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_browser() is None, reason=f"needs a browser: none of {', '.join(NAMES)} is on PATH"
    ),
]

TASKS = ("detection", "grounding")
MODELS = ("sft", "more_sft", "rft")
FIRST, LAST = MODELS[0], MODELS[-1]
CELLS = """[...document.querySelector('#results table').tBodies[0].rows].map(r =>
  [...r.cells].map(c => [...c.children].map(part => part.innerText)))"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("RFT3D_QUICK_DEMO")
    if given:
        assert (Path(given) / "report" / "index.html").is_file(), f"RFT3D_QUICK_DEMO={given} has no report"
        return Path(given)
    out = tmp_path_factory.mktemp("demo") / "quick"
    command = "import sys; from rft3d.cli import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", command, "demo", "--quick", "--out", str(out)], check=True, timeout=1800
    )
    return out


@pytest.fixture(scope="module")
def page(demo: Path) -> Path:
    return demo / "report" / "index.html"


def scores(demo: Path, model: str, task: str) -> dict[str, Any]:
    return json.loads((demo / "eval" / model / f"{task}.scores.json").read_text(encoding="utf-8"))


def answered(demo: Path, model: str, task: str) -> ScoredRun:
    """The model's answers, scored again from the files."""
    known = scores(demo, model, task)
    reader = make_task(task, known["protocol"].get("mode"), known["options"])
    samples = tuple(read_samples(demo / "eval" / f"{task}.samples.jsonl"))
    return score_predictions(
        reader, samples, read_predictions(demo / "eval" / model / f"{task}.predictions.jsonl")
    )


def predicted_world_boxes(reader: Any, sample: Sample, text: str) -> np.ndarray:
    """(N, 9) valid boxes of an answer in the world; none where it is unreadable or names no frame of the sample."""
    poses = np.array(sample.meta["T_world_camera"])
    parsed = reader.parse(text, sample)
    if isinstance(parsed, FrameBox) and 0 <= parsed.frame < len(poses):
        boxes, pose = np.array([parsed.box]), poses[parsed.frame]
    elif isinstance(parsed, tuple) and parsed and all(isinstance(item, LabelledBox) for item in parsed):
        boxes, pose = np.array([item.box for item in parsed]), poses[0]
    else:
        return np.empty((0, 9))
    boxes = boxes[boxes_valid(boxes)]  # a box without size is in the answer, but there is nothing to draw
    return transform_boxes(pose, boxes) if len(boxes) else np.empty((0, 9))


def test_the_first_view_tells_the_story(browser: Browser, page: Path, demo: Path) -> None:
    """Verdict and scene without scrolling on a laptop; every number of the table is that of scores.json."""
    assert page.stat().st_size < 15e6
    browser.goto(page)
    rows = {cells[0][0]: cells[1:] for cells in browser.js(CELLS)}
    titles = browser.js("[...document.querySelectorAll('#results tbody b')].map(b => b.innerText)")
    assert list(rows) == titles and len(titles) == len(MODELS)
    for title, model in zip(titles, MODELS, strict=True):
        cells = iter(rows[title])
        for task in TASKS:
            for found in scores(demo, model, task)["headline"].values():
                expected = ["–" if found["value"] is None else f"{100 * found['value']:.1f}"]
                if found["low"] is not None:
                    expected.append(f"{100 * found['low']:.1f} – {100 * found['high']:.1f}")
                assert next(cells) == expected, (model, task)
        assert next(cells, None) is None
    stages = [path.parent.name for path in (demo / "stages").glob("*/metrics.jsonl")]
    shown = browser.js("[...document.querySelectorAll('#story-plots h4')].map(h => h.innerText)")
    assert sorted(title.split(":")[0] for title in shown) == sorted(stages)
    browser.wait("document.querySelector('#hero-scene canvas')")
    picture = Image.open(io.BytesIO(browser.screenshot()))
    picture.quantize(128).save(demo / "first_view.png", optimize=True)  # docs/images/report.png
    assert (demo / "first_view.png").stat().st_size < 300_000
    bottoms = browser.js(
        "['#hero .verdict', '#hero-scene canvas']"
        ".map(s => document.querySelector(s).getBoundingClientRect().bottom)"
    )
    assert 0 < min(bottoms) <= max(bottoms) <= browser.js("innerHeight"), (
        "verdict and scene without scrolling"
    )


def test_the_terminal_says_what_cannot_be_read_as_the_page_does(demo: Path) -> None:
    console = Console(file=io.StringIO(), width=300)
    run_demo(demo, quick=True, console=console)  # finished: only its end is said again
    said = console.file.getvalue()  # type: ignore[attr-defined]
    found = alarms_of_reading(join_runs([read_run_folder(demo, 1)]))
    assert [line for line in said.splitlines() if "cannot be read" in line] == found


def test_every_view_has_something_in_it(browser: Browser, page: Path, demo: Path) -> None:
    browser.goto(page)
    for view, shows in {
        "curves": "#curves .plot svg polyline",
        "classes": ".classes td",
        "samples": ".tile .picture img",
        "compare": "#pair-difference td",
        "rollouts": "#completions .answer",
        "run": "#changed td",
        "overview": "#highlight-tiles .tile img",
    }.items():
        browser.click(f"#tab-{view}")
        browser.wait(f"document.querySelector('#view-{view}.on {shows.split()[0]}')")
        browser.js(f"document.querySelector('{shows.split()[0]}').scrollIntoView()")  # drawn when seen
        browser.wait(f"document.querySelector('#view-{view}.on {shows}')")
        assert browser.js("document.documentElement.scrollWidth <= innerWidth"), f"{view} is too wide"
    browser.click("#tab-run")
    browser.wait("document.querySelector('#view-run.on')")  # text of what is hidden has no tabs between cells
    changed = browser.js("document.querySelector('#changed').innerText")
    config = json.loads((demo / "config.json").read_text(encoding="utf-8"))
    rooms = f"world.train_rooms\t{config['world']['train_rooms']}\t{demo_experiment().world.train_rooms}"
    assert rooms in changed and "world.max_new_tokens" not in changed


def corners_found(browser: Browser, sample: Sample, kind: str, world_boxes: np.ndarray) -> int:
    """Every corner of these boxes that a frame of the open sample shows ends a line there; how many there are."""
    poses, K = np.array(sample.meta["T_world_camera"]), np.array(sample.meta["intrinsics"])
    frames = browser.js(DRAWN_EDGES)
    assert len(frames) == len(poses)
    size = np.array(
        browser.js("document.querySelector('.frames svg').getAttribute('viewBox')").split()[2:], float
    )
    count = 0
    for frame, drawn in enumerate(frames):
        lines = np.concatenate([np.empty((0, 2)), *(ends(path) for found, _, path in drawn if found == kind)])
        for box in transform_boxes(invert_pose(poses[frame]), world_boxes):
            uv, z = project(box_corners(box[None])[0], K[frame])
            for corner in uv[(z > 0.1) & ((uv > 0) & (uv < size)).all(axis=1)]:
                assert np.abs(lines - corner).max(axis=1).min() < 0.05, (sample.id, kind, frame, corner)
                count += 1
    return count


@pytest.mark.parametrize("task", ["detection", "grounding"])
def test_boxes_are_drawn_where_the_geometry_says(browser: Browser, page: Path, demo: Path, task: str) -> None:
    """True boxes, and whatever boxes a model of so short a training could write."""
    checked = 0
    for column, model in enumerate(MODELS):
        run = answered(demo, model, task)
        texts = {p.id: p.text for p in read_predictions(demo / "eval" / model / f"{task}.predictions.jsonl")}
        boxes = [predicted_world_boxes(run.task, sample, texts[sample.id]) for sample in run.samples]
        for index in sorted(range(len(boxes)), key=lambda i: not len(boxes[i]))[:3]:
            sample = run.samples[index]
            browser.goto(page, f"#samples/{task}/{index}")
            browser.wait("document.querySelectorAll('.frames figure svg').length")
            for place in range(len(MODELS)):  # only this model's boxes
                button = f"#view-samples .models button:nth-of-type({place + 1})"
                if (
                    browser.js(f"document.querySelector('{button}').ariaPressed")
                    != str(place == column).lower()
                ):
                    browser.click(button)
            exact = dataclasses.replace(run.task, decimals=6)  # type: ignore[type-var]
            true = predicted_world_boxes(exact, sample, exact.gold(sample))
            checked += corners_found(browser, sample, "truth", true)
            checked += corners_found(browser, sample, "predicted", boxes[index])
            drawn = {(k, d) for frame in browser.js(DRAWN_EDGES) for k, _, d in frame if k == "predicted"}
            assert drawn or not len(boxes[index])
    assert checked >= 100


@pytest.mark.parametrize("task", ["detection", "grounding"])
def test_predicted_boxes_of_a_model_that_can_see(
    browser: Browser, demo: Path, tmp_path: Path, task: str
) -> None:
    """The demo's own questions with gold answers: predicted boxes that lie in the pictures, however it trained."""
    (tmp_path / "eval").mkdir()
    for name in ("scenes", f"{task}.samples.jsonl"):
        (tmp_path / "eval" / name).symlink_to((demo / "eval" / name).resolve())
    run = answered(demo, LAST, task)
    gold = [Prediction(sample.id, run.task.gold(sample)) for sample in run.samples]
    write_predictions(tmp_path / "eval" / "gold" / f"{task}.predictions.jsonl", gold)
    options = scores(demo, LAST, task)["options"]
    made = score_files(
        task,
        tmp_path / "eval" / f"{task}.samples.jsonl",
        tmp_path / "eval" / "gold" / f"{task}.predictions.jsonl",
        ScoreConfig(resamples=10, options=options),
    )
    write_json(tmp_path / "eval" / "gold" / f"{task}.scores.json", made)
    path = write_report(tmp_path, config=ReportConfig(gallery=6, resamples=10, pictures=demo / "eval"))
    checked = 0
    for index in range(4):
        browser.goto(path, f"#samples/{task}/{index}")
        browser.wait("document.querySelectorAll('.frames g[data-kind=predicted]').length")
        boxes = predicted_world_boxes(run.task, run.samples[index], gold[index].text)
        checked += corners_found(browser, run.samples[index], "predicted", boxes)
        assert browser.wait("document.querySelector('.on canvas').view.items.length") == 2 * len(boxes)
    assert checked >= 40


def test_the_scene_turns_and_its_points_are_the_rooms_surfaces(
    browser: Browser, page: Path, demo: Path
) -> None:
    browser.goto(page)
    browser.click("#highlight-tiles .tile")
    browser.wait("document.querySelector('#view-samples.on canvas')?.view?.cloud")
    points = np.array(
        browser.js(
            "[...document.querySelector('#view-samples.on canvas').view.cloud.geometry.attributes.position.array]"
        )
    ).reshape(-1, 3)
    assert len(points) > 3000
    _, task, index = browser.js("location.hash").split("/")
    sample = list(read_samples(demo / "eval" / f"{task}.samples.jsonl"))[int(index)]
    # the run's folder holds no depth: the room, drawn from its seed
    scene = make_room(int(sample.scene.rpartition("-")[2]), WORLDS["rooms"])
    off = np.full(len(points), np.inf)
    for frame in scene.frames:
        depth = load_depth(frame)
        uv, z = project(transform_points(invert_pose(frame.T_world_camera), points), frame.intrinsics)
        seen = (z > 0) & ((uv > 0) & (uv < [frame.width, frame.height])).all(axis=1)
        u, v = uv[seen].astype(int).T
        off[seen] = np.minimum(off[seen], np.abs(depth[v, u] - z[seen]))
    assert np.mean(off < 0.05) > 0.95, "metres"

    def first_corner() -> list[float]:
        return browser.js(
            "(v => v.items[0].corners[0].clone().project(v.camera).toArray())"
            "(document.querySelector('#view-samples.on canvas').view)"
        )

    before = first_corner()
    x, y = browser.js(
        "(r => [r.x + r.width / 2, r.y + r.height / 2])"
        "(document.querySelector('#view-samples.on canvas').getBoundingClientRect())"
    )
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    for step in range(1, 5):
        browser.mouse("mouseMoved", x + 20 * step, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x + 80, y, button="left", clickCount=1)
    assert np.abs(np.subtract(first_corner(), before)).max() > 0.05
    browser.choose("#look-through", "1")
    browser.click("#next")
    browser.wait(f"!location.hash.endsWith('/{index}')")


def test_the_inspector_shows_the_groups_that_were_written(browser: Browser, page: Path, demo: Path) -> None:
    files = sorted((demo / "stages").glob("*/rollouts.jsonl"))
    groups = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    browser.goto(page, "#rollouts")
    browser.wait("document.querySelectorAll('#completions .answer').length")
    assert browser.js("document.querySelector('#group-count').innerText") == (
        f"{len(groups)} of {len(groups)} groups"
    )
    for task in dict.fromkeys(group["task"] for group in groups):
        here = [group for group in groups if group["task"] == task]
        browser.choose("#group-task", task)
        browser.choose("#group-sort", "advantage")
        browser.wait("document.querySelectorAll('#completions .answer').length")
        assert browser.js("document.querySelectorAll('.group-row').length") == len(here)
        largest = max(abs(made["advantage"]) for group in here for made in group["completions"])
        first = browser.js("document.querySelector('.group-row').innerText").split("\t")
        assert first[-1].strip() == f"{largest:.2f}"
        flat = [g for g in here if len({made["total"] for made in g["completions"]}) == 1]
        browser.choose("#group-filter", "zero")
        assert browser.js("document.querySelectorAll('.group-row').length") == len(flat)
        browser.choose("#group-filter", "all")
    browser.choose("#group-task", "detection")
    browser.click(".group-row:last-child")
    browser.wait("document.querySelector('.group-row:last-child.on')")
    step, name = (
        browser.js(f"document.querySelector('.group-row:last-child td:nth-child({n})').innerText")
        for n in (2, 1)
    )
    wanted = [g for g in groups if str(g["step"]) == step and name.startswith(g["sample_id"])]
    browser.wait(f"document.querySelector('#group h2').innerText === {json.dumps(wanted[0]['sample_id'])}")
    written = browser.js(
        "[...document.querySelectorAll('#completions .written')].map(pre => pre.textContent)"
    )
    assert any([one["text"] or "(empty)" for one in group["completions"]] == written for group in wanted), (
        "all completions, in the order of sampling"
    )


def test_two_models_are_compared_as_their_files_say(browser: Browser, page: Path, demo: Path) -> None:
    first, last = answered(demo, FIRST, "grounding"), answered(demo, LAST, "grounding")
    right = [
        [isinstance(each.evidence, Placement) and each.evidence.iou >= 0.25 for each in run.scores]
        for run in (first, last)
    ]
    gained = sum(b and not a for a, b in zip(*right, strict=True))
    lost = sum(a and not b for a, b in zip(*right, strict=True))
    browser.goto(page, "#compare")
    browser.wait("document.querySelector('#pair-difference')")
    browser.choose("select[aria-label='Task']", "grounding")
    assert (
        browser.js("document.querySelector('#flip-gained').innerText") == f"wrong → right: {gained} answers"
    )
    assert browser.js("document.querySelector('#flip-lost').innerText") == f"right → wrong: {lost} answers"
    rows = browser.js(
        "[...document.querySelector('#view-compare table').tBodies[0].rows].map(r => "
        "[...r.cells].map(c => c.innerText))"
    )
    for row, model in zip(rows, (FIRST, LAST), strict=False):
        headline = scores(demo, model, "grounding")["headline"]
        assert row[1:] == [f"{100 * found['value']:.1f}" for found in headline.values()]
    assert f"n = {len(first.samples)}" in rows[2][1]
    for place in range(1, 5):  # a task and a kind of flip that has samples: then there is a slider
        browser.choose("select[aria-label='Task']", ("detection", "grounding", "spatial")[place % 3])
        browser.click("#flip-up" if place < 3 else "#flip-down")
        if browser.js("!!document.querySelector('#pair')"):
            break
    browser.wait("document.querySelector('#pair-slider img')")
    browser.choose("#pair-rule", "25")
    assert browser.js("document.querySelector('#pair-slider .over').style.clipPath").endswith("25%)")
