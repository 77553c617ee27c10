"""The report as a person uses it: a real browser opens it from disk, clicks through it, and finds it right.

Needs Chromium or Chrome on PATH. The real clip is used too where ``RFT3D_REAL_CLIP`` names one.
"""

from __future__ import annotations

import json
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.fakes import K, detection_sample
from tests.report.browser import DRAWN_EDGES, NAMES, Browser, ends, find_browser
from tests.report.runs_on_disk import make_run, rollouts_of

from rft3d.evaluation import ClipConfig, Prediction, clip_questions, write_dataset, write_predictions
from rft3d.geometry import box_corners, boxes_valid, invert_pose, project, transform_boxes
from rft3d.report import ReportConfig, write_report
from rft3d.scenes import SOURCES
from rft3d.tasks import TASKS, read_samples

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason=f"needs a browser: none of {', '.join(NAMES)} is on PATH"
)

WORLD_CORNERS = """(() => { const v = document.querySelector('canvas').view; return v.items.map((item, i) =>
  [v.boxes[i].kind, item.corners.map(c => c.toArray())]); })()"""
LABELS = """[...document.querySelectorAll('.frames figure svg')].map(s =>
  [...s.querySelectorAll('g > rect')].map(r => {
    const b = r.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height]; }))"""
ON_CANVAS = """(() => { const v = document.querySelector('canvas').view, r = v.canvas.getBoundingClientRect();
  return v.items.map(item => item.corners.map(c => { const p = c.clone().project(v.camera);
    return [r.x + (p.x + 1) / 2 * r.width, r.y + (1 - p.y) / 2 * r.height]; })); })()"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("browser") / "run")


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    return write_report(run, config=ReportConfig(gallery=4, resamples=20))


def test_every_view_opens_and_numbers_are_those_of_scores_json(
    browser: Browser, page: Path, run: Path
) -> None:
    browser.goto(page)
    scores = json.loads((run / "eval" / "sft_sft" / "detection.scores.json").read_text())
    row = browser.js(
        "[...document.querySelectorAll('#results tr')].find(r => r.innerText.startsWith('SFT → SFT')).innerText"
    )
    for value in scores["headline"].values():
        assert f"{100 * value['value']:.1f}" in row
    for view, shows in {
        "curves": "#curves .plot svg rect",  # an alarm was on
        "classes": ".classes td",
        "samples": ".tile .picture svg path",
        "compare": "#pair-difference td",
        "rollouts": "#completions .answer",
        "run": ".facts td",
        "overview": "#highlight-tiles .tile",
    }.items():
        browser.click(f"#tab-{view}")
        browser.wait(f"document.querySelector('#view-{view}.on {shows}')")
        assert browser.js("document.querySelectorAll('.view.on').length") == 1
    for width in (1366, 400):
        browser.resize(width, 768)
        assert browser.js("document.documentElement.scrollWidth <= innerWidth"), f"wider than {width} px"
    browser.resize(1366, 768)


def test_the_first_view_opens_with_a_scene_before_and_after(browser: Browser, page: Path) -> None:
    browser.goto(page, "#overview")
    browser.wait("document.querySelector('#hero-scene canvas')?.view?.items.length >= 4")
    tags = "[...document.querySelectorAll('#hero-scene .name')].filter(t => !t.hidden).map(t => t.innerText)"
    browser.wait(f"{tags}.includes('chair')")  # boxes have their names
    assert browser.js("document.querySelectorAll('.verdict li').length") >= 1
    browser.click("#tab-samples")
    browser.click("#tab-overview")
    browser.wait("document.querySelector('#hero-scene canvas')")  # and it comes back
    browser.resize(390, 800)
    row = "(n => [n.offsetHeight, n.scrollWidth - n.clientWidth])(document.querySelector('nav'))"
    height, cut = browser.js(row)
    assert height < 50 and cut <= 0, "the views stand in one row, and all of them are seen"
    browser.goto(page, "#classes")
    cut = "[...document.querySelectorAll('.classes .scroll')].map(t => t.scrollWidth - t.clientWidth)"
    for width in (390, 1366):
        browser.resize(width, 768)
        assert max(browser.js(cut)) <= 0, f"no class table is cut at {width} px"


def test_drawn_boxes_are_where_the_geometry_says(browser: Browser, page: Path) -> None:
    browser.goto(page, "#samples/detection/1")
    browser.wait("document.querySelectorAll('.frames g[data-kind=predicted]').length >= 4")
    sample = detection_sample(1)
    true = np.array([row["bbox_3d"] for row in sample.truth["boxes"]])
    task = TASKS["detection"]()
    parsed = task.parse(task.gold(sample), sample)
    predicted = np.array([found.box for found in parsed])
    poses = np.array(sample.meta["T_world_camera"])
    for frame, drawn in enumerate(browser.js(DRAWN_EDGES)):
        assert [kind for kind, _, _ in drawn] == ["truth", "truth", "predicted", "predicted"]
        assert [label for _, label, _ in drawn] == ["chair", "table"] * 2
        T_camera_first = invert_pose(poses[frame]) @ poses[0]
        for (_, _, path), box in zip(drawn, [*true, *predicted], strict=True):
            corners, _ = project(box_corners(transform_boxes(T_camera_first, box[None]))[0], np.array(K))
            inside = corners[((corners > 0) & (corners < [168, 112])).all(axis=1)]
            assert len(inside) >= 4
            for corner in inside:
                assert np.abs(ends(path) - corner).max(axis=1).min() < 0.05, "pixels of the picture"
    for labels in browser.js(LABELS):
        assert len(labels) == 4
        for a, b in combinations(labels, 2):  # a gold answer's boxes stand on the true ones
            over = min(a[2] - b[0], b[2] - a[0], a[3] - b[1], b[3] - a[1])
            assert over < 0.01, "labels lie on one another"


def test_the_scene_is_right_turns_and_tells_what_is_pointed_at(browser: Browser, page: Path) -> None:
    browser.goto(page, "#samples/detection/1")
    browser.wait("document.querySelector('canvas')?.view?.items.length === 4")
    sample = detection_sample(1)
    true = np.array([row["bbox_3d"] for row in sample.truth["boxes"]])
    found = browser.js(WORLD_CORNERS)
    assert [kind for kind, _ in found] == ["truth", "truth", "predicted", "predicted"]
    assert np.array([corners for _, corners in found[:2]]) == pytest.approx(box_corners(true), abs=1e-3)

    before = np.array(browser.js(ON_CANVAS))
    x, y = browser.js(
        "(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector('canvas').getBoundingClientRect())"
    )
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    for step in range(1, 5):
        browser.mouse("mouseMoved", x + 20 * step, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x + 80, y, button="left", clickCount=1)
    browser.wait(f"Math.abs(({ON_CANVAS})[0][0][0] - {before[0, 0, 0]}) > 5")

    # through the second camera: the same pixels as in its picture, letterboxed into the canvas
    browser.choose("#look-through", "1")
    corners = np.array(browser.js(ON_CANVAS))
    left, top, width, height = browser.js(
        "(r => [r.x, r.y, r.width, r.height])(document.querySelector('canvas').getBoundingClientRect())"
    )
    zoom = min(width / 168, height / 112)
    shift = np.array(sample.meta["T_world_camera"][1])
    expected, _ = project(box_corners(transform_boxes(invert_pose(shift), true))[0], np.array(K))
    expected = expected * zoom + [left + (width - 168 * zoom) / 2, top + (height - 112 * zoom) / 2]
    assert corners[0] == pytest.approx(expected, abs=0.5), "screen pixels"

    middle = corners[0].mean(axis=0)
    browser.mouse("mouseMoved", *middle)
    said = browser.wait(
        "document.querySelector('#tip').hidden ? null : document.querySelector('#tip').innerText"
    )
    assert said.startswith("chair")
    assert browser.js("document.querySelectorAll('.boxes tr.hot').length") == 1
    browser.click(".boxes tr[data-row='2']")
    assert (
        browser.js("document.querySelector('.boxes tr[data-row=\"2\"]').innerText").split("\t")[0] == "chair"
    )


def test_what_webgl_draws_is_on_the_screen(browser: Browser, page: Path) -> None:
    import io

    from PIL import Image

    browser.goto(page, "#samples/detection/1")
    browser.wait("document.querySelector('canvas')?.view?.items.length === 4")
    browser.choose("#look-through", "0")
    browser.js(
        "[...document.querySelectorAll('button')].find(b => b.innerText === 'predicted boxes').click()"
    )
    corners = np.array(browser.js(ON_CANVAS))[0]
    browser.js("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    pixels = np.asarray(Image.open(io.BytesIO(browser.screenshot())).convert("RGB")).astype(int)
    green = (pixels[..., 1] > pixels[..., 0] + 50) & (pixels[..., 1] > pixels[..., 2] + 25)
    for a, b in ((0, 1), (0, 2), (4, 5), (6, 7)):
        u, v = ((corners[a] + corners[b]) / 2).round().astype(int)
        assert green[v - 3 : v + 4, u - 3 : u + 4].any(), f"the edge {a}-{b} of the true chair at ({u}, {v})"


def test_comparing_two_models(browser: Browser, page: Path) -> None:
    browser.goto(page, "#compare")
    browser.wait("document.querySelector('#pair-slider svg')")
    # model k's answer to sample k is hostile: from the first model to the last, sample 0 is won and 3 is lost
    assert browser.js("document.querySelector('#flip-gained').innerText") == "wrong → right: 2 objects"
    assert browser.js("document.querySelector('#flip-lost').innerText") == "right → wrong: 2 objects"
    assert "s0" in browser.js("document.querySelector('.list').innerText")
    browser.choose("#pair-rule", "25")
    assert browser.js("document.querySelector('#pair-slider .over').style.clipPath").endswith("25%)")
    browser.choose("#pair-frame", "1")
    browser.wait("document.querySelector('#pair-slider img').alt === 'frame 1'")
    browser.click("#flip-lost")
    browser.wait("document.querySelector('#pair h2').innerText.startsWith('s3')")
    shown = browser.js("document.querySelector('#pair-difference').innerText")
    assert "[" in shown and "n = 5" in shown


def test_the_inspector_sorts_filters_and_shows_text_as_text(browser: Browser, page: Path) -> None:
    browser.goto(page, "#rollouts")
    browser.wait("document.querySelectorAll('#completions .answer').length === 2")
    assert browser.js("document.querySelector('#group-count').innerText") == "4 of 4 groups"
    card = browser.js("document.querySelector('#completions .answer').innerText")
    assert "2.000" in card and "(+1.50)" in card and "40 tokens" in card and "because" in card
    for choice, count in (("zero", 2), ("failed", 2), ("truncated", 1), ("spread", 2)):
        browser.choose("#group-filter", choice)
        assert browser.js("document.querySelectorAll('#view-rollouts .group-row').length") == count, choice
    browser.choose("#group-filter", "all")
    browser.choose("#group-sort", "advantage")
    assert (
        browser.js("document.querySelector('#view-rollouts .group-row').innerText").split("\t")[-1].strip()
        == "1.50"
    )
    browser.choose("#group-task", "grounding")
    browser.wait(
        "document.querySelector('#completions .written').innerText.includes(\"<script>alert('x')</script>\")"
    )
    assert browser.js("document.querySelectorAll('main script, main img[onerror]').length") == 0


def test_script_tags_in_answers_are_text(browser: Browser, page: Path) -> None:
    browser.goto(page, "#samples/detection/0")
    browser.wait("document.querySelector('.written')?.innerText.includes(\"<script>alert('x')</script>\")")
    assert browser.js("document.querySelectorAll('main script, main img[src=x]').length") == 0
    browser.js("""(() => { const s = document.createElement('script'); s.textContent = 'window.acted = 1';
        document.body.append(s); })()""")
    assert browser.js("window.acted === undefined"), (
        "the page's policy allows its own two scripts and no other"
    )
    assert any("Content Security Policy" in error for error in browser.errors)
    browser.errors.clear()


def test_keys_and_themes(browser: Browser, page: Path) -> None:
    browser.goto(page)
    browser.key("4", "4")
    browser.wait("location.hash === '#samples' && document.querySelector('.tile')")
    browser.goto(page, "#samples/spatial/0")
    browser.wait("document.querySelector('#next')")
    browser.key("j", "j")
    browser.wait("location.hash === '#samples/spatial/1' && document.querySelector('#previous[href]')")
    browser.key("k", "k")
    browser.wait("location.hash === '#samples/spatial/0'")
    browser.key("Escape")
    browser.wait("location.hash === '#samples'")
    colours = []
    for theme in ("light", "dark"):
        browser.theme(theme)
        browser.wait(f"document.documentElement.dataset.theme === '{theme}'")
        colours.append(browser.js("getComputedStyle(document.body).backgroundColor"))
    browser.theme("light")
    assert len(set(colours)) == 2


def test_without_webgl_the_scene_is_drawn_as_pictures(page: Path) -> None:
    with Browser.open(webgl=False) as browser:
        browser.goto(page, "#samples/detection/1")
        browser.wait("document.querySelectorAll('.plan path').length === 4")
        assert "no WebGL" in browser.js("document.querySelector('.stage').innerText")
        assert browser.js("document.querySelectorAll('.frames g[data-kind=predicted]').length") == 4
        assert [error for error in browser.errors if "WebGL" not in error] == []


@pytest.mark.skipif(
    "RFT3D_REAL_CLIP" not in os.environ, reason="needs a real clip: RFT3D_REAL_CLIP is not set"
)
def test_a_real_clip(browser: Browser, tmp_path: Path) -> None:
    scene = next(SOURCES["folder"](os.environ["RFT3D_REAL_CLIP"]))
    run = tmp_path / "clip"
    write_dataset([scene], run, tasks=clip_questions(ClipConfig(windows=3)))
    for name in ("detection", "grounding", "spatial"):
        samples = list(read_samples(run / f"samples.{name}.jsonl"))
        write_predictions(
            run / "gold" / f"{name}.predictions.jsonl",
            [Prediction(s.id, TASKS[name]().gold(s)) for s in samples],
        )
        write_predictions(
            run / "blank" / f"{name}.predictions.jsonl", [Prediction(s.id, "") for s in samples]
        )
    sample = next(iter(read_samples(run / "samples.detection.jsonl")))
    (run / "stages" / "rft").mkdir(parents=True)
    (run / "stages" / "rft" / "rollouts.jsonl").write_text(rollouts_of(sample))
    path = write_report(run, config=ReportConfig(resamples=10))
    browser.goto(path, "#samples/detection/0")
    browser.wait("document.querySelector('canvas')?.view?.cloud")
    assert browser.js("document.querySelector('canvas').view.cloud.geometry.attributes.position.count") > 3000
    true = np.array([row["bbox_3d"] for row in sample.truth["boxes"]])
    assert boxes_valid(true).all()
    drawn = browser.js(DRAWN_EDGES)[0]
    task = TASKS["detection"]()
    predicted = np.array([found.box for found in task.parse(task.gold(sample), sample)])
    checked = 0
    for kind, boxes in (("truth", true), ("predicted", predicted)):
        lines = np.concatenate([ends(path) for found, _, path in drawn if found == kind])
        for box in boxes:
            corners, z = project(box_corners(box[None])[0], np.array(sample.meta["intrinsics"][0]))
            inside = corners[(z > 0.1) & ((corners > 0) & (corners < [540, 360])).all(axis=1)]
            assert all(np.abs(lines - corner).max(axis=1).min() < 0.2 for corner in inside)
            checked += len(inside)
    assert checked > 8
    browser.click("#tab-compare")
    browser.wait("document.querySelector('#pair-slider img')")
    browser.click("#flip-gained")
    browser.choose("#pair-rule", "25")
    assert browser.js("document.querySelector('#pair-slider .over').style.clipPath").endswith("25%)")
    browser.click("#tab-rollouts")
    browser.wait("document.querySelectorAll('#completions .picture svg path').length")
    browser.choose("#group-filter", "zero")
    assert browser.js("document.querySelectorAll('#view-rollouts .group-row').length") == 2
