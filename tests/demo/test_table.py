"""The closing table names the tasks whose few questions make the mean over tasks jump."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from rft3d.demo.table import print_results, rare_tasks


def test_rare_tasks_are_named_and_grades_of_direction_are_one_task() -> None:
    metrics = {
        "count/object_counting": 165.0, "count/object_rel_distance": 4.0, "count/obj_appearance_order": 0.0,
        "count/object_rel_direction_easy": 12.0, "count/object_rel_direction_hard": 20.0, "count/samples": 9.0,
        "accuracy/object_rel_distance": 0.5,
    }  # fmt: skip
    assert rare_tasks(metrics) == {"object_rel_distance": 4}
    assert rare_tasks({}) == {}


def test_it_fits_a_narrow_terminal(tmp_path: Path) -> None:
    interval = {"low": 0.2, "high": 0.4}
    for model in ("sft", "rft_matched"):
        for task, names in {
            "detection": ("f1@0.25", "precision@0.25", "recall@0.25", "mean_iou"),
            "grounding": ("acc@0.25", "acc@0.5"),
            "spatial": ("macro8", "micro"),
        }.items():
            scores = {
                "metrics": {**dict.fromkeys(names, 0.3), "count/object_rel_distance": 4.0},
                "headline": dict.fromkeys(names, interval),
                "scenes": 320,
                "samples": 1357,
            }
            file = tmp_path / "eval" / model / f"{task}.scores.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(scores))
    out = io.StringIO()
    print_results(tmp_path, Console(file=out, width=80))
    text = out.getvalue()
    row = next(line for line in text.splitlines() if "RFT matched" in line)
    assert row.split()[2:] == ["30.0±10"] * 8, "nothing cut"
    assert "object_rel_distance (4)" in text
