"""Files of every kind that is read, damaged at random: whole data, or one line that names the file.

A few of each here; ``RFT3D_DAMAGE=1000`` (``make nightly``) makes a thousand of each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluation.fakes import caption_sample, detection_sample, grounding_sample, spatial_sample
from tests.report.runs import make_run
from tests.scenes import clips, published, videos

from rft3d.evaluation import load_predictions
from rft3d.evaluation.leaderboard import our_entries
from rft3d.files import write_json
from rft3d.report import write_report
from rft3d.report.live import render
from rft3d.scenes.clips import read_clip
from rft3d.scenes.images import read_image
from rft3d.scenes.readers.proposals import read_proposals
from rft3d.scenes.readers.scannet_labels import read_nyu40, scan_objects
from rft3d.scenes.readers.scannet_sens import read_sens
from rft3d.scenes.sources import RECORDS, SOURCES
from rft3d.tasks import TASKS, Sample, read_samples, write_samples
from rft3d.training.recipes import check_recipe, load_recipe

COUNT = int(os.environ.get("RFT3D_DAMAGE", "6"))
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    float("inf"),
    float("nan"),
    10**400,
    "",
    "x",
    "[red]\x00",
    [],
    {},
)
ODD += ([[]], {"a": 1}, "../../etc/passwd", "A" * 10_000, [1, 2, 3], "7")


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Some bytes changed, cut out, repeated or inserted, or the end gone."""
    kind = random.integers(5)
    a, b = sorted(random.integers(0, len(data) + 1, 2).tolist())
    if kind == 0:
        return data[:a]
    if kind == 1:
        return data[:a] + data[b:]
    if kind == 2:
        return data[:a] + random.bytes(int(random.integers(1, 9))) + data[a:]
    if kind == 3:
        return data[: min(b, a + 5000)] + data[a:]
    changed = bytearray(data)
    for place in random.integers(0, max(1, len(data)), int(random.integers(1, 6))):
        if len(data):
            changed[place] = random.integers(256)
    return bytes(changed)


def odd_json(text: str, random: np.random.Generator) -> str:
    """One value somewhere in the first JSON object of ``text`` replaced by an odd one, or left out."""
    first, *rest = (
        text.split("\n") if text.count("\n") and text.lstrip()[:1] == "{" and text[1] != "\n" else [text]
    )
    value = json.loads(first)
    inner, holder, key = value, None, None
    while isinstance(inner, dict | list) and inner and (holder is None or random.random() < 0.8):
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        holder, key = inner, keys[random.integers(len(keys))]
        inner = holder[key]
    if holder is None or random.random() < 0.2:
        value = ODD[random.integers(len(ODD))]
    elif random.random() < 0.2:
        del holder[key]
    else:
        holder[key] = ODD[random.integers(len(ODD))]
    return "\n".join([json.dumps(value), *rest])


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


def _arkit(folder: Path) -> list[Path]:
    published.write_arkit(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())[:6]


def _run(folder: Path) -> list[Path]:
    make_run(folder, samples=2, steps=5)
    write_json(folder / "config.json", {"rooms": {"frames": 2}, "samples": {"detection": "a"}})
    write_json(folder / "headroom.json", {"tasks": []})
    return [path for path in sorted(folder.rglob("*.json*")) if path.name != "headroom.json"]


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
    pytest.importorskip("pyarrow")
    return _samples(folder, "s.parquet")


def _video(folder: Path) -> list[Path]:
    pytest.importorskip("av")
    return [videos.write_clip(folder / "v.mp4", frames=12)]


def _picture(folder: Path) -> list[Path]:
    (folder / "a.jpg").write_bytes(published.jpeg(published.room(), 0))
    return [folder / "a.jpg"]


def _text(name: str, text: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        (folder / name).write_text(text)
        return [folder / name]

    return make


RECIPE = {
    "out": "a",
    "model": None,
    "samples": {"detection": "s.jsonl"},
    "plan": {"backbone": "qwen2.5-vl-3b-vggt"},
}
RECIPE |= {
    "stages": [{"kind": "rft", "steps": 3, "prompts_per_step": {"detection": 2}, "optim": {"lr": 0.1}}]
}
RESULT = {"benchmark": {"name": "vsi-bench"}, "official": {"complete": False, "found": "a"}, "commit": "c"}
RESULT |= {
    "variants": {"official": {"metrics": {"micro": 0.5}, "note": "", "headline": {"micro": {"value": 0.5}}}}
}

KINDS: dict[str, tuple[Callable[[Path], list[Path]], Callable[[Path], Any]]] = {
    "samples": (_samples, _scored),
    "samples as parquet": (_parquet, lambda folder: _scored(folder, "s.parquet")),
    **{
        f"answers {kind}": (_answers(kind), _load(kind))
        for kind in ("a.jsonl", "a.json", "logs.json", "a.tsv")
    },
    "embodiedscan": (_infos, lambda folder: list(SOURCES["embodiedscan"](folder / "infos.pkl"))),
    "scannet annotations": (_scans, lambda folder: scan_objects(folder / published.VAL)),
    "scannet recording": (
        lambda folder: [published.write_sens(folder / "a.sens")],
        lambda folder: [
            (f.colour(x), f.depth(x)) for f in [read_sens(folder / "a.sens")] for x in f.frames[:2]
        ],
    ),
    "labels": (
        lambda folder: [published.write_labels(folder / "l.tsv")],
        lambda folder: read_nyu40(folder / "l.tsv"),
    ),
    "scanrefer": (
        lambda folder: [published.write_descriptions(folder / "s.json")],
        lambda folder: list(RECORDS["scanrefer"](folder / "s.json")),
    ),
    "arkitscenes": (_arkit, lambda folder: list(SOURCES["arkitscenes"](folder))),
    "posed clip": (
        lambda folder: [clips.write_clip(folder / "clip") / "scene.json"],
        lambda folder: list(SOURCES["folder"](folder / "clip")),
    ),
    "vsi questions": (_vsi, lambda folder: list(RECORDS["vsi_bench"](folder / "vsi.json"))),
    "proposals": (
        _text("p.json", '{"scannet/a": [[0, 0, 0, 1, 1, 1], [1, 0, 0, 1, 1, 1]]}'),
        lambda folder: read_proposals(folder / "p.json"),
    ),
    "picture": (_picture, lambda folder: read_image(folder / "a.jpg")),
    "video": (_video, lambda folder: read_clip(folder / "v.mp4")),
    "recipe": (
        _text("r.json", json.dumps(RECIPE)),
        lambda folder: check_recipe(load_recipe(folder / "r.json"), folder / "r.json"),
    ),
    "benchmark's result": (
        _text("b.json", json.dumps(RESULT)),
        lambda folder: our_entries(folder / "b.json"),
    ),
    "run folder, watched": (_run, lambda folder: render(folder)),
    "run folder, reported": (_run, lambda folder: write_report(folder, folder / "report", resamples=2)),
}


def _attacks(file: Path, whole: bytes, random: np.random.Generator) -> Iterator[bytes]:
    while True:
        try:
            json_like = file.suffix in (".json", ".jsonl") and random.random() < 0.6
            yield odd_json(whole.decode(), random).encode() if json_like else damaged(whole, random)
        except ValueError:  # this file's lines are no JSON
            yield damaged(whole, random)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, kind: str) -> None:
    make, read = KINDS[kind]
    files = {file: file.read_bytes() for file in make(tmp_path)}
    read(tmp_path)  # whole, it is read
    random = np.random.default_rng(len(kind))
    slow = 3 if kind.endswith("reported") else 1
    for number in range(max(1, COUNT // slow)):
        file = list(files)[random.integers(len(files))]
        data = next(_attacks(file, files[file], random))
        file.write_bytes(data)
        try:
            read(tmp_path)
        except (ValueError, OSError) as error:
            assert str(tmp_path) in str(error) and len(str(error)) < 2000, f"{number}: {file.name}: {error!r}"
        except Exception as error:
            error.add_note(f"{number}: {file.name}: {data[:2000]!r}")
            raise
        file.write_bytes(files[file])
