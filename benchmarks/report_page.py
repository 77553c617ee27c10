"""How fast the report is: 1,000 samples with 20,000 predicted boxes, opened in a headless browser.

    python benchmarks/report_page.py

Prints the time to write the page, its size, and in the browser: first paint (the tables), first view (all data
read, tiles drawn), the list of samples, one more screenful of it, and one sample with its 3D scene. WebGL is
drawn by the processor here. Needs Chromium or Chrome on PATH.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the browser is the tests' own

from tests.report.browser import Browser, find_browser

from rft3d.answers import LabelledBox, render_detections
from rft3d.evaluation import Prediction, write_predictions
from rft3d.report import ReportConfig, write_report
from rft3d.scenes import CATE20
from rft3d.tasks.samples import write_samples
from rft3d.tasks.types import Sample

SAMPLES, BOXES, FRAMES = 1000, 20, 4
LIMIT_S = 2.0


def make_run(run: Path) -> None:
    """Random boxes in front of a moving camera, and an answer that is off by a few centimetres."""
    rng = np.random.default_rng(0)
    K = [[130.0, 0.0, 84.0], [0.0, 130.0, 56.0], [0.0, 0.0, 1.0]]
    poses = [np.eye(4) for _ in range(FRAMES)]
    for index, pose in enumerate(poses):
        pose[0, 3] = 0.1 * index
    samples, answers = [], []
    for number in range(SAMPLES):
        low, high = [-2, -1, 1.5, 0.3, 0.3, 0.3, -1, -0.2, -0.2], [2, 1, 6, 1.5, 1.5, 1.5, 1, 0.2, 0.2]
        boxes = rng.uniform(low, high, (BOXES, 9))
        labels = rng.choice(CATE20, BOXES).tolist()
        frames = tuple(f"frames/{number}-{k}.jpg" for k in range(FRAMES))
        for frame in frames:
            path = run / "eval" / frame
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 255, (7, 10, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((168, 112), Image.Resampling.BICUBIC).save(path)
        truth = [{"label": label, "bbox_3d": box.tolist()} for label, box in zip(labels, boxes, strict=True)]
        meta = {"intrinsics": K, "T_world_camera": [pose.tolist() for pose in poses]}
        prompt = "<image>" * FRAMES + "Detect the 3D bounding boxes."
        samples.append(
            Sample(f"s{number}", "detection", f"scene{number}", frames, prompt, {"boxes": truth}, meta)
        )
        guessed = boxes + rng.normal(0, 0.05, boxes.shape)
        guessed[:, 3:6] = np.maximum(guessed[:, 3:6], 0.1)
        answer = [LabelledBox(label, tuple(box)) for label, box in zip(labels, guessed.tolist(), strict=True)]
        answers.append(Prediction(f"s{number}", render_detections(answer), tokens=800))
    write_samples(run / "eval" / "detection.samples.jsonl", samples)
    write_predictions(run / "eval" / "sft" / "detection.predictions.jsonl", answers)


def timed(browser: Browser, action: str, until: str) -> float:
    """Seconds from ``action`` to the first frame drawn after ``until`` is true, measured inside the page."""
    code = f"""new Promise((done) => {{ const began = performance.now(); {action};
        const look = () => ({until}) ? requestAnimationFrame(() => done((performance.now() - began) / 1000))
          : requestAnimationFrame(look); look(); }})"""
    return browser.js(code)


def main() -> None:
    if find_browser() is None:
        raise SystemExit("no Chromium or Chrome on PATH; nothing was measured")
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        make_run(run)
        began = time.perf_counter()
        page = write_report(run, config=ReportConfig(resamples=50))
        print(f"{'write the page':34} {time.perf_counter() - began:6.2f} s")
        print(f"{'size':34} {page.stat().st_size / 1e6:6.2f} MB")
        with Browser.open() as browser:
            first = []
            for _ in range(3):
                browser.goto(page)
                browser.wait("document.querySelector('#highlight-tiles .picture svg')")
                paint = json.loads(browser.js("JSON.stringify(performance.getEntriesByType('paint'))"))
                first.append(
                    (
                        paint[-1]["startTime"] / 1000,
                        float(browser.js("document.documentElement.dataset.ready")) / 1000,
                    )
                )
            painted, ready = np.median(np.array(first), axis=0)
            print(f"{'first paint':34} {painted:6.2f} s   (median of 3)")
            print(f"{'first view, data read, usable':34} {ready:6.2f} s   (median of 3)")
            svgs, view = "svg').length", "document.querySelectorAll('#view-samples"
            rows = {
                "list of 1,000 samples": ("location.hash = 'samples'", f"{view} .picture {svgs} > 8"),
                "48 to 144 tiles": (
                    "[...document.querySelectorAll('#view-samples button')].at(-1).click()",
                    f"{view} .tile').length > 100",
                ),
                "a sample, 40 boxes, 3D scene": (
                    "document.querySelector('#view-samples .tile').click()",
                    f"document.querySelector('canvas')?.view?.items.length === 40 && {view} .frames {svgs} === 4",
                ),
            }
            for name, (action, until) in rows.items():
                print(f"{name:34} {timed(browser, action, until):6.2f} s")
            if browser.errors:
                raise SystemExit(f"the page logged errors: {browser.errors}")
        if ready > LIMIT_S:
            raise SystemExit(f"the first view took {ready:.2f} s, more than {LIMIT_S:g} s")


if __name__ == "__main__":
    main()
