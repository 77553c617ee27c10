"""A preparation that is killed anywhere goes on with the same command and writes the same bytes."""

from __future__ import annotations

import builtins
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.training.survivor import KILLED, KillAt, in_child, killed_at_random

from rft3d.datasets.work import Job, JobOutput, Output, Prepared, meta_path, prepare_samples
from rft3d.tasks.types import Sample

JOBS = 3


def make(payload: int) -> JobOutput:
    truth = {"question_type": "object_counting", "answer": payload}
    samples = [Sample(f"{payload}/{i}", "spatial", str(payload), (), "?", truth) for i in range(2)]
    return JobOutput(tuple(samples), {"too small": 1})


def prepare(out: Path, settings: str = "new", force: bool = False, jobs: int = JOBS) -> Prepared:
    todo = (Job(str(number), number) for number in range(jobs))
    output = Output(out=out, force=force)
    return prepare_samples(output, todo, make, plan={"s": settings})


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("before", ["nothing", "other settings", "parts of other settings"])
def test_a_kill_at_every_disk_operation(before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path / "whole" / "s.jsonl")
    whole = everything(tmp_path / "whole")
    base, force = tmp_path / "base", before != "nothing"
    base.mkdir()
    if force:
        prepare(base / "s.jsonl", "old")
    if before.startswith("parts"):
        for path in (base / "s.jsonl", meta_path(base / "s.jsonl")):
            path.unlink()
        monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: os._exit(0))
        in_child(lambda: prepare(base / "s.jsonl", "old"))
        (base / "s.jsonl").unlink()
        monkeypatch.undo()
    for number in range(1, 200):
        folder = tmp_path / str(number)
        shutil.copytree(base, folder)

        def cut(number: int = number, folder: Path = folder) -> None:
            bomb = KillAt(number)
            for name in ("replace", "fsync", "mkdir", "unlink", "rmdir", "ftruncate", "open"):
                monkeypatch.setattr(os, name, bomb.around(getattr(os, name)))
            for owner, name in ((Path, "write_bytes"), (builtins, "open"), (shutil, "rmtree")):
                monkeypatch.setattr(owner, name, bomb.around(getattr(owner, name)))
            prepare(folder / "s.jsonl", force=force)

        code = in_child(cut)
        again = prepare(folder / "s.jsonl", force=force)
        assert everything(folder) == whole, number
        assert again.samples == 2 * JOBS and again.skipped == {"too small": JOBS}
        shutil.rmtree(folder)
        if code == 0:
            break
        assert code == KILLED
    assert number > 30, "some dozens of operations"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"samples": []}'])
def test_a_damaged_part_is_made_again(damage: bytes, tmp_path: Path) -> None:
    prepare(tmp_path / "whole" / "s.jsonl")

    def two(jobs: Iterable[Job]) -> Iterable[Job]:
        yield from list(jobs)[:2]
        raise KeyboardInterrupt

    out = tmp_path / "cut" / "s.jsonl"
    with pytest.raises(KeyboardInterrupt):
        cut = two([Job(str(number), number) for number in range(JOBS)])
        prepare_samples(Output(out=out), cut, make, plan={"s": "new"})
    (victim,) = (tmp_path / "cut").rglob("1.part.json")
    victim.write_bytes(damage)
    assert prepare(out).resumed == 1
    assert everything(tmp_path / "cut") == everything(tmp_path / "whole")


@pytest.mark.slow
def test_random_kills(tmp_path: Path) -> None:
    """As many as ``RFT3D_KILLS`` says."""
    wanted = int(os.environ.get("RFT3D_KILLS", "20"))
    began = time.perf_counter()
    prepare(tmp_path / "whole" / "s.jsonl", jobs=200)
    took = time.perf_counter() - began
    hit, seed = 0, 0
    while hit < wanted:
        out = tmp_path / str(seed) / "s.jsonl"
        hit += killed_at_random(lambda out=out: prepare(out, jobs=200), took, 10, seed)
        assert everything(out.parent) == everything(tmp_path / "whole")
        seed += 1
        assert seed < 2 * wanted
