"""Files of every kind that is read, damaged at random: whole data, or one line that names the file.

A few of each here; ``RFT3D_DAMAGE=1000`` (``make nightly``) makes a thousand of each.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.contracts.damage import attacks
from tests.datasets import test_prepare_kills as preparation
from tests.evaluation.fakes import caption_sample, detection_sample, grounding_sample, spatial_sample
from tests.experiments import test_experiments as experiments
from tests.report.runs import make_run
from tests.scenes import clips, published, videos
from tests.tiny import make_policy

from rft3d.datasets.extract import read_sens
from rft3d.datasets.work import Job, Output, prepare_samples
from rft3d.digests import LIST
from rft3d.evaluation import load_predictions
from rft3d.evaluation.leaderboard import our_entries
from rft3d.evaluation.results import (
    BenchmarkResult,
    Described,
    Official,
    Share,
    Unread,
    VariantResult,
)
from rft3d.evaluation.stats import Interval
from rft3d.experiments import Experiment, numbers, run_experiments, write_results
from rft3d.experiments.types import folder_of
from rft3d.files import model_folder, plain, write_json
from rft3d.models import load_policy
from rft3d.report import ReportConfig, write_report
from rft3d.report.live import render_run
from rft3d.scenes.clips import read_clip
from rft3d.scenes.folder import write_scene
from rft3d.scenes.images import read_image
from rft3d.scenes.readers.scanrefer import read_nyu40, read_proposals, scan_objects
from rft3d.scenes.rooms import read_room_config
from rft3d.scenes.sources import RECORDS, SOURCES
from rft3d.tasks import TASKS, Sample, read_samples, write_samples
from rft3d.training.recipes import check_recipe, load_recipe

COUNT = int(os.environ.get("RFT3D_DAMAGE", "6"))


def _samples(folder: Path, name: str = "s.jsonl") -> list[Path]:
    makers = (detection_sample, grounding_sample, spatial_sample, caption_sample)
    write_samples(folder / name, [make(number) for make in makers for number in range(2)])
    return [folder / name]


def _scored(folder: Path, name: str = "s.jsonl") -> None:
    for sample in read_samples(folder / name):
        if sample.task in TASKS:
            task = TASKS[sample.task]()
            assert task.score(task.gold(sample), sample).parts


def _answers(kind: str) -> Callable[[Path], list[Path]]:
    rows: dict[str, Any] = {
        "a.jsonl": [{"id": "s0", "text": "A", "truncated": False, "tokens": 3}],
        "a.json": {"s0": "A", "s1": ["B"]},
        "logs.json": {
            "logs": [{"doc_id": 0, "doc": {"id": "s0", "images": ["a"]}, "resps": [["A"]], "target": "B"}]
        },
        "a.tsv": "index\tid\tprediction\tanswer\n0\ts0\tA\tB\n",
    }

    def make(folder: Path) -> list[Path]:
        value = rows[kind]
        lines = "\n".join(map(json.dumps, value)) + "\n" if isinstance(value, list) else json.dumps(value)
        (folder / kind).write_text(value if isinstance(value, str) else lines)
        return [folder / kind]

    return make


def _load(kind: str) -> Callable[[Path], Any]:
    samples = [Sample(f"s{k}", "spatial", "x", (), "?", dict(spatial_sample(k).truth)) for k in range(2)]
    return lambda folder: load_predictions(folder / kind, samples)


def _scans(folder: Path) -> list[Path]:
    published.write_scans(folder)
    return sorted((folder / published.VAL).iterdir())


def _infos(folder: Path) -> list[Path]:
    published.write_media(folder)
    return [published.write_infos(folder / "infos.pkl")]


def _run(folder: Path) -> list[Path]:
    make_run(folder, samples=2, steps=5)
    write_json(folder / "config.json", {"rooms": {"frames": 2}, "samples": {"detection": "a"}})
    write_json(folder / "headroom.json", {"model": "m", "commit": None, "tasks": []})
    return sorted(folder.rglob("*.json*"))


def _vsi(folder: Path) -> list[Path]:
    row = {
        "id": 0,
        "dataset": "scannet",
        "scene_name": "a",
        "question_type": "object_counting",
        "question": "?",
    }
    (folder / "vsi.json").write_text(json.dumps([{**row, "options": None, "ground_truth": "3"}] * 2))
    return [folder / "vsi.json"]


def _parquet(folder: Path) -> list[Path]:
    pq = pytest.importorskip("pyarrow.parquet")
    rows = json.loads(_vsi(folder)[0].read_text())
    pq.write_table(pytest.importorskip("pyarrow").Table.from_pylist(rows), folder / "vsi.parquet")
    return [folder / "vsi.parquet"]


def _video(folder: Path) -> list[Path]:
    pytest.importorskip("av")
    return [videos.write_clip(folder / "v.mp4", frames=12)]


def _picture(folder: Path) -> list[Path]:
    (folder / "a.jpg").write_bytes(published.jpeg(published.room(), 0))
    return [folder / "a.jpg"]


def _sheet(folder: Path) -> list[Path]:
    book = pytest.importorskip("openpyxl").Workbook()
    for row in (("id", "prediction"), ("s0", "A"), ("s1", "B")):
        book.active.append(row)
    book.save(folder / "a.xlsx")
    return [folder / "a.xlsx"]


def _model(folder: Path) -> list[Path]:
    shutil.copytree(model_folder("rooms"), folder / "m", ignore=shutil.ignore_patterns(LIST))
    return sorted(path for path in (folder / "m").rglob("*") if path.is_file())


def _parts(folder: Path) -> list[Path]:
    def stops(payload: int) -> Any:
        if payload == preparation.JOBS - 1:
            raise KeyboardInterrupt
        return preparation.make(payload)

    jobs = [Job(str(number), number) for number in range(preparation.JOBS)]
    with pytest.raises(KeyboardInterrupt):
        prepare_samples(Output(out=folder / "cut/s.jsonl"), jobs, stops, plan={"s": "new"})
    preparation.prepare(folder / "whole/s.jsonl")
    return sorted(path for path in (folder / "cut").rglob("*.json") if path.is_file())


def _prepared(folder: Path) -> None:
    shutil.rmtree(folder / "again", ignore_errors=True)
    shutil.copytree(folder / "cut", folder / "again")
    assert preparation.prepare(folder / "again/s.jsonl").samples == 2 * preparation.JOBS
    assert (folder / "again/s.jsonl").read_bytes() == (folder / "whole/s.jsonl").read_bytes()


QUIET = Console(file=io.StringIO())


def _experiment(folder: Path) -> Experiment:
    make_policy().save(folder / "start")
    return experiments.small(str(folder / "start"))


def _arms(folder: Path) -> list[Path]:
    """The files of an experiment all of whose arms have run."""
    assert run_experiments([_experiment(folder)], folder / "runs", console=QUIET)
    return sorted(file for file in (folder / "runs").rglob("*.*") if file.is_file() and file.name[0] != ".")


def _tabled(folder: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures are an extra: pip install 'rft3d[viz]'")
    numbers._resampled.cache_clear()
    numbers._samples.cache_clear()
    write_results([experiments.small(str(folder / "start"))], folder / "runs", folder / "page.md")


def _went_on(folder: Path) -> None:
    """Go on where the last arm is not judged, then where it is not trained either."""
    shutil.rmtree(folder / "again", ignore_errors=True)
    shutil.copytree(folder / "runs", folder / "again")
    root = folder_of(folder / "again", experiments.small().world, 0)
    for left in ("eval/rft/detection.scores.json", "stages/rft/done.json"):
        (root / left).unlink(missing_ok=True)
        assert run_experiments([experiments.small(str(folder / "start"))], folder / "again", console=QUIET)


def _text(name: str, text: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        (folder / name).write_text(text)
        return [folder / name]

    return make


def _records(**more: Any) -> Callable[[Path], list[Path]]:
    turns = [{"from": "human", "value": "<image>\nWhere?"}, {"from": "gpt", "value": "There."}]
    return _text("c.json", json.dumps([{"conversations": turns, **more}]))


BOX, POSE = [0.0, 0, 1, 1, 1, 1, 0, 0, 0], np.eye(4).tolist()
VGLLM: dict[str, Any] = {"images": ["a.jpg"], "boxes": [{"label": "bed", "bbox_3d": BOX}], "gt_bbox": BOX}
VGLLM |= {"target": {"frame": 0, "bbox_3d": BOX}, "cam2img": POSE, "cam2global": [POSE], "iou": 0.5}
VGLLM |= {"axis_align_matrix": POSE, "metadata": {"dataset": "scannet", "question_type": "unique"}}
SPACER = {"problem_id": 1, "problem": "How many?", "data_type": "video", "problem_type": "numerical"}
SPACER |= {"solution": "<answer>3</answer>", "path": "./SR/scene0001_00.mp4", "data_source": "SR_dataset"}
VLM3R = {"data_source": "scannet", "scene_name": "a", "question_type": "room_size", "video": "a/b.mp4"}
RECIPE = {
    "out": "a",
    "model": None,
    "samples": {"detection": "s.jsonl"},
    "plan": {"backbone": "qwen2.5-vl-3b-vggt"},
}
RECIPE |= {
    "stages": [{"kind": "rft", "steps": 3, "prompts_per_step": {"detection": 2}, "optim": {"lr": 0.1}}]
}
HALF = Interval(value=0.5, low=0.4, high=0.6, level=0.95, scenes=1, samples=1, resamples=9)
NONE = Unread(0, 0.0, {})
FEW = ReportConfig(resamples=2)
RESULT = BenchmarkResult(
    task="spatial", protocol={}, options={}, samples=1, scenes=1, missing=(),
    parse_failures=NONE, truncated=Share(0, 0.0), reward=1.0, reward_parts={}, headline={"micro": HALF}, metrics={},
    benchmark=Described("vsi-bench", "VSI-Bench", None, {}, ""), official=Official({}, {}, (4,), False),
    variants={"official": VariantResult("", {"micro": HALF}, {"micro": 0.5}, NONE, "")},
)  # fmt: skip

KINDS: dict[str, tuple[Callable[[Path], list[Path]], Callable[[Path], Any]]] = {
    "samples": (_samples, _scored),
    "questions as parquet": (_parquet, lambda folder: list(RECORDS["vsi_bench"](folder / "vsi.parquet"))),
    **{
        f"answers {kind}": (_answers(kind), _load(kind))
        for kind in ("a.jsonl", "a.json", "logs.json", "a.tsv")
    },
    "answers a.xlsx": (_sheet, _load("a.xlsx")),
    "embodiedscan": (_infos, lambda folder: list(SOURCES["embodiedscan"](folder / "infos.pkl"))),
    "scannet annotations": (_scans, lambda folder: scan_objects(folder / published.VAL)),
    "scannet recording": (
        lambda folder: [published.write_sens(folder / "a.sens")],
        lambda folder: [f.colour_data(x) for f in [read_sens(folder / "a.sens")] for x in f.frames[:2]],
    ),
    "labels": (
        lambda folder: [published.write_labels(folder / "l.tsv")],
        lambda folder: read_nyu40(folder / "l.tsv"),
    ),
    "scanrefer": (
        lambda folder: [published.write_descriptions(folder / "s.json")],
        lambda folder: list(RECORDS["scanrefer"](folder / "s.json")),
    ),
    "posed clip": (
        lambda folder: [clips.write_clip(folder / "clip") / "scene.json"],
        lambda folder: list(SOURCES["folder"](folder / "clip")),
    ),
    "mmdet3d": (
        lambda folder: [published.write_mmdet3d(folder / "i.pkl")],
        lambda folder: list(SOURCES["mmdet3d"](folder / "i.pkl")),
    ),
    "vsi metadata": (
        lambda folder: [published.write_meta(folder / "m.json")],
        lambda folder: list(SOURCES["vsi_meta"](folder / "m.json")),
    ),
    "scene folder": (
        lambda folder: [write_scene(published.room(), folder / "s") / "scene.json"],
        lambda folder: list(SOURCES["folder"](folder / "s")),
    ),
    "vgllm": (_records(**VGLLM), lambda folder: list(RECORDS["vgllm"](folder / "c.json"))),
    "vlm3r": (_records(**VLM3R), lambda folder: list(RECORDS["vlm3r"](folder / "c.json"))),
    "spacer": (
        _text("s.json", json.dumps([SPACER])),
        lambda folder: list(RECORDS["spacer"](folder / "s.json")),
    ),
    "world": (
        _text("w.json", '{"frames": 2, "labels": ["chair", "table"], "fov_deg": 60}'),
        lambda folder: read_room_config(folder / "w.json"),
    ),
    "vsi questions": (_vsi, lambda folder: list(RECORDS["vsi_bench"](folder / "vsi.json"))),
    "proposals": (
        _text("p.json", '{"scannet/a": [[0, 0, 0, 1, 1, 1], [1, 0, 0, 1, 1, 1]]}'),
        lambda folder: read_proposals(folder / "p.json"),
    ),
    "picture": (_picture, lambda folder: read_image(folder / "a.jpg")),
    "video": (_video, lambda folder: read_clip(folder / "v.mp4")),
    "model folder": (_model, lambda folder: load_policy(folder / "m")),
    "parts of a preparation": (_parts, _prepared),
    "recipe": (
        _text("r.json", json.dumps(RECIPE)),
        lambda folder: check_recipe(load_recipe(folder / "r.json"), folder / "r.json"),
    ),
    "benchmark's result": (
        _text("b.json", json.dumps(RESULT, default=plain)),
        lambda folder: our_entries(folder / "b.json"),
    ),
    "run folder, watched": (_run, lambda folder: render_run(folder)),
    "experiments, tabled": (_arms, _tabled),
    "experiments, gone on with": (_arms, _went_on),
    "run folder, reported": (_run, lambda folder: write_report(folder, folder / "report", FEW)),
}


SLOW = ("run folder, reported", "model folder", "experiments, gone on with")


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, kind: str) -> None:
    make, read = KINDS[kind]
    files = {file: file.read_bytes() for file in make(tmp_path)}
    read(tmp_path)  # whole, it is read
    random = np.random.default_rng(len(kind))
    for number in range(2 if COUNT == 6 and kind in SLOW else COUNT):
        file = list(files)[random.integers(len(files))]
        data = next(attacks(file, files[file], random))
        file.write_bytes(data)
        try:
            read(tmp_path)
        except (ValueError, OSError) as error:
            assert str(tmp_path) in str(error) and len(str(error)) < 2000, f"{number}: {file.name}: {error!r}"
        except Exception as error:
            error.add_note(f"{number}: {file.name}: {data[:2000]!r}")
            raise
        file.write_bytes(files[file])
