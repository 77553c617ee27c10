"""Small run folders for the report's tests, and a reader of what a page holds."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

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
from rft3d.tasks.types import Sample

HOSTILE = "</pre></script><script>alert('x')</script>\x00\ud800\u202e<img src=x onerror=alert('y')>"
MODELS = ("sft", "sft_sft", "rft_matched", "my own")
TITLES = Titles(
    {"sft": "SFT", "sft_sft": "SFT → SFT", "rft_matched": "SFT → RFT (matched reward)"}, baseline="sft_sft"
)


def unpack_json(text: str) -> Any:
    """The inverse of :func:`rft3d.report.embed.pack_json`."""
    return json.loads(gzip.decompress(base64.b64decode(text)))


class Page:
    """A report file, unpacked."""

    def __init__(self, path: Path) -> None:
        self.html = path.read_text(encoding="utf-8")
        found = re.findall(r'<script type="text/plain" id="([^"]+)"[^>]*>([^<]*)</script>', self.html)
        self.blobs = dict(found)
        self.index: dict[str, Any] = unpack_json(self.blobs["index"])

    def has(self, blob: str) -> bool:
        return blob in self.blobs

    def details(self, task: str) -> list[dict[str, Any]]:
        """The details that are in the page, in the order of their places."""
        return [row for rows in self._chunks(f"s-{task}") for row in rows]

    def detail(self, task: str, index: int) -> dict[str, Any]:
        found = next(one for one in self.index["tasks"] if one["name"] == task)
        return self.details(task)[found["places"][index]]

    def group(self, place: int) -> dict[str, Any]:
        return [row for rows in self._chunks("g") for row in rows][place]

    def _chunks(self, prefix: str) -> list[Any]:
        names = sorted(
            (n for n in self.blobs if re.fullmatch(rf"{prefix}-\d+", n)), key=lambda n: int(n.split("-")[-1])
        )
        return [unpack_json(self.blobs[name]) for name in names]


def make_eval(run: Path, tasks: dict[str, list[Sample]], models: tuple[str, ...] = MODELS) -> None:
    """``run/eval`` with gold answers, but a hostile one for sample k of model k; no scores for the first."""
    write_titles(run, TITLES)
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
                config = ScoreConfig(resamples=20, seed=3)
                result = score_files(name, folder / f"{name}.samples.jsonl", path, config)
                write_json(path.with_name(f"{name}.scores.json"), result)


def make_run(run: Path, seed: int = 3, models: tuple[str, ...] = MODELS, count: int = 5) -> Path:
    """A run folder with everything that a report reads."""
    tasks = {
        "detection": [detection_sample(number) for number in range(count)],
        "grounding": [grounding_sample(number) for number in range(count)],
        "spatial": [spatial_sample(number) for number in range(count)],
    }
    make_eval(run, tasks, models)
    for stage in ("sft", "rft"):
        rows = [
            {"step": i, "time": 1.0 * i, "loss": 1 / (i + 1), "reward/detection/iou": i} for i in range(30)
        ]
        path = run / "stages" / stage / "metrics.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 3')
    alarm = {"step": 9, "alarm": "many_boxes", "task": "detection", "on": True, "since": 7}
    alarm |= {
        "title": "more boxes than objects",
        "saw": HOSTILE.replace("\ud800", ""),
        "advice": "look",
        "keys": ["reward/detection/iou"],
    }
    (run / "stages" / "rft" / "alarms.jsonl").write_text(json.dumps(alarm) + "\n{")
    (run / "stages" / "rft" / "rollouts.jsonl").write_text(rollouts_of(tasks["detection"][0]))
    write_json(run / "stages.json", [{"stage": "sft", "seconds": 71.0, "peak_memory_mb": 900, "tokens": 5}])
    write_json(run / "env.json", {"commit": "abcdef0123456789", "hostile": "<b>"})
    write_json(run / "config.json", {"seed": seed, "steps": 30})
    return run


def rollouts_of(sample: Sample) -> str:
    gold = gold_answers([sample])[sample.prompt]
    known = {
        "task": "detection",
        "sample_id": sample.id,
        "scene_id": sample.scene,
        "frames": list(sample.frames),
        "prompt": sample.prompt,
        "truth": sample.truth,
        "meta": sample.meta,
        "seed": 1,
    }

    def completion(text: str, total: float, advantage: float, **more: Any) -> dict[str, Any]:
        parts = [{"name": "f1@0.25", "value": total / 2, "reason": "because", "weight": 1.0}]
        made = {"text": text, "tokens": 40, "truncated": False, "parts": parts, "total": total}
        return {**made, "advantage": advantage, "parse_failure": None, **more}

    groups = [
        {**known, "step": 1, "completions": [completion(gold, 2.0, 1.5), completion("[]", 1.0, -0.5)]},
        {
            **known,
            "step": 2,
            "completions": [completion(gold, 2.0, 0.0, truncated=True), completion(gold, 2.0, 0.0)],
        },
        {
            **known,
            "step": 3,
            "completions": [completion(HOSTILE, 0.0, 0.0, parse_failure="no ["), completion("]", 0, 0)],
        },
        {"step": 4, "task": "grounding", "sample_id": HOSTILE, "completions": [{"text": HOSTILE}]},
    ]
    return "".join(json.dumps(group) + "\n" for group in groups) + '"text"\n{"step": 5'
