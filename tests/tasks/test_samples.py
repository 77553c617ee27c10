"""Samples files: what is written is read back; what is wrong is named with line, field, value and fix."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rft3d.scenes.types import Scene
from rft3d.tasks import TASKS, Sample
from rft3d.tasks.samples import read_samples, write_samples

GOOD = {"id": "a", "task": "t", "scene": "s", "frames": ["f.png"], "prompt": "<image>x", "truth": {"n": 1}}


def test_round_trip_of_every_task(scene: Scene, frame_refs: list[str], tmp_path: Path) -> None:
    samples = [sample for cls in TASKS.values() for sample in cls().samples(scene, frame_refs, 0)]
    path = tmp_path / "new" / "samples.jsonl"
    assert write_samples(path, samples) == len(samples)
    assert list(read_samples(path)) == samples
    assert [p.name for p in path.parent.iterdir()] == ["samples.jsonl"]


def test_odd_characters_survive(tmp_path: Path) -> None:
    odd = replace(
        Sample(**{**GOOD, "frames": ("f.png",)}), prompt="<image>line\u2028two\r\ud800 é", meta={"k": [None]}
    )
    write_samples(tmp_path / "s.jsonl", [odd])
    assert list(read_samples(tmp_path / "s.jsonl")) == [odd]


def test_reading_streams(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\nnot json\n")
    reader = read_samples(path)
    assert next(reader).id == "a"  # the bad line comes later
    with pytest.raises(ValueError, match=r"s\.jsonl:3: not JSON"):
        next(reader)


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00\x01", '{"id": "é"}'.encode("latin-1")])
def test_what_is_not_utf8_is_named(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\r\n" + damage)
    with pytest.raises(ValueError, match=r"s\.jsonl:2: not UTF-8 text"):
        list(read_samples(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": None}, r"s\.jsonl:2\.prompt is None; it must be text"),
        ({"prompt": ""}, r"s\.jsonl:2\.prompt is ''; it must be text that is not empty"),
        ({"frames": [""]}, r"s\.jsonl:2\.frames\[0\] is ''; it must be text that is not empty"),
        ({"frames": "f.png"}, r"frames is 'f\.png'; it must be a list"),
        ({"frames": ["a", "b"]}, r"it has 1 <image> but there are 2 frames"),
        ({"truth": [1]}, r"truth is \[1\]; it must be a table of named values"),
        ({"anwser": 3}, r"s\.jsonl:2 has no field 'anwser'; known are id, "),
        ({"id": "a"}, r"id is 'a', already used on line 1; rename"),
    ],
)
def test_a_bad_line_is_named(change: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, "id": "b", **change}) + "\n")
    with pytest.raises(ValueError, match=message):
        list(read_samples(path))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({k: v for k, v in GOOD.items() if k != "truth"}))
    with pytest.raises(ValueError, match=r"s\.jsonl:1 lacks the field 'truth'"):
        list(read_samples(path))


@pytest.mark.parametrize("value", [np.float64("nan"), float("inf"), np.arange(2), {1, 2}])
def test_a_failed_write_leaves_the_old_file(value: object, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    good = Sample(**{**GOOD, "frames": ("f.png",)})
    write_samples(path, [good])
    with pytest.raises(ValueError, match="'b' can't be written as JSON"):
        write_samples(path, [good, replace(good, id="b", truth={"x": value})])
    assert list(read_samples(path)) == [good]
    assert [p.name for p in tmp_path.iterdir()] == ["s.jsonl"]


def test_repeated_ids_are_refused(tmp_path: Path) -> None:
    good = Sample(**{**GOOD, "frames": ("f.png",)})
    with pytest.raises(ValueError, match="id='a'"):
        write_samples(tmp_path / "s.jsonl", [good, good])
    assert not list(tmp_path.iterdir())
