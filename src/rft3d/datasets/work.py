"""One samples file from many scenes: in parallel processes, resumable; the number of workers changes no byte.

Each scene is a :class:`Job`; what it makes is written to a part file at once. When all parts are there they
are joined in the order of the jobs, ``<file>.meta.json`` is written, the samples file gets its name, and the
parts are removed. A second run with the same plan goes on where the first one stopped; with another plan it
refuses, so that no file ever mixes two settings.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console

from rft3d.digests import file_digest
from rft3d.files import publish, read_json, source_commit, write_json, write_text
from rft3d.locks import only_writer
from rft3d.process import in_turn, progress
from rft3d.prompts import IMAGE
from rft3d.tasks.samples import sample_from_record, write_samples
from rft3d.tasks.types import Sample

FORMAT, VERSION = "rft3d-samples", 1
"""The samples schema of ``docs/data.md``, as meta files name it."""


@dataclass(frozen=True)
class Job:
    """One unit of work; ``payload`` and what is made of it must be picklable when there are several workers."""

    key: str
    payload: Any


@dataclass(frozen=True)
class JobOutput:
    """What one job made, and how many records it left out and why."""

    samples: tuple[Sample, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)


class NotASample(ValueError):
    """Why a record can't become a sample; the reason is what is counted."""


@dataclass(frozen=True)
class Prepared:
    """What was written. ``resumed``: jobs that an earlier run had done already."""

    path: Path
    samples: int
    jobs: int
    resumed: int
    skipped: dict[str, int]

    def words(self) -> str:
        """What was written, in a few lines."""
        again = f", {self.resumed} of them from an earlier run" if self.resumed else ""
        left_out = [f"  left out: {count} x {reason}" for reason, count in self.skipped.items()]
        return "\n".join([f"{self.path}: {self.samples} samples of {self.jobs} scans{again}", *left_out])


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a samples file goes, and how it is written."""

    out: Path
    """samples file to write (JSON lines); OUT.meta.json says what it was made from"""
    workers: int = 1
    """processes"""
    force: bool = False
    """replace a file that was made with other settings"""
    no_frames: bool = False
    """questions and truths only: enough to score answers, and no picture or video is looked for"""


def prepare_samples(
    output: Output,
    jobs: Iterable[Job],
    make: Callable[[Any], JobOutput],
    *,
    plan: Mapping[str, Any],
    inputs: Iterable[Path] = (),
    total: int = 0,
) -> Prepared:
    """Write ``output.out`` and its meta file from what ``make`` makes of each job.

    Args:
        jobs: read once, in order; at most ``2 * workers`` payloads are in memory.
        make: pure: the same payload gives the same samples. Top-level function when there are several workers.
        plan: everything that decides the samples, as plain JSON values; goes into the meta file.
        inputs: annotation files; their sizes and digests go into the plan, so that a changed file is noticed.
        total: number of jobs, for the progress; 0: not known.

    Raises:
        FileExistsError: the file or its parts come from another plan, and ``output.force`` is off.
        ValueError: two samples or two jobs with one name, or a sample that is not JSON.
    """
    out = output.out
    if output.no_frames:
        make, plan = partial(_bare, make=make), {**plan, "no_frames": True}
    files = [
        {"file": relative(path, out.parent), "bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in inputs
    ]
    # as it will be read back: tuples are lists
    plan = json.loads(json.dumps({**plan, "inputs": files}, allow_nan=False))
    with only_writer(out):
        if done := _finished(out, plan, output.force):
            return done
        parts = _parts(out)
        _open_parts(parts, plan, output.force)
        was_there: dict[str, bool] = {}
        with progress(Console(stderr=True), "jobs", max(1, total)) as advance:
            work = partial(_make_part, make=make, parts=parts)
            for key, found in in_turn(work, _each_once(jobs), output.workers):
                was_there[key] = found
                advance(1, "")
        return _join(out, parts, plan, was_there)


def _join(out: Path, parts: Path, plan: Mapping[str, Any], was_there: Mapping[str, bool]) -> Prepared:
    counted: Counter[str] = Counter()

    def samples() -> Iterator[Sample]:
        for key in was_there:
            if (part := _read_part(parts, key)) is None:
                raise ValueError(f"{_part(parts, key)} was damaged while others were made; start again")
            counted.update(part["skipped"])
            yield from (sample_from_record(record, f"{out}: job {key}") for record in part["samples"])

    joined = parts / out.name
    count = write_samples(joined, samples())
    skipped = dict(sorted(counted.items()))
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "plan": plan,
        "jobs": len(was_there),
        "samples": count,
        "skipped": skipped,
        "sha256": file_digest(joined),
        "commit": source_commit(),
    }
    write_json(meta_path(out), meta)
    publish(joined, out)
    shutil.rmtree(parts)
    return Prepared(out, count, len(was_there), sum(was_there.values()), skipped)


def _bare(payload: Any, make: Callable[[Any], JobOutput]) -> JobOutput:
    """What ``make`` makes, without pictures."""
    made = make(payload)
    bare = (replace(each, frames=(), prompt=each.prompt.replace(IMAGE, "")) for each in made.samples)
    return replace(made, samples=tuple(bare))


def relative(path: Path, root: Path) -> str:
    """``path`` as a file in ``root`` names it."""
    return Path(os.path.relpath(path, root)).as_posix()


def meta_path(samples: Path | str) -> Path:
    """Where the meta file of a samples file lies."""
    samples = Path(samples)
    return samples.with_name(f"{samples.name}.meta.json")


def read_meta(samples: Path | str) -> dict[str, Any]:
    """The meta file of a prepared samples file.

    ValueError: none, damaged, or of a version that this program doesn't read.
    """
    path = meta_path(samples)
    try:
        meta = read_json(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; was {samples} made by rft3d data prepare?") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT or meta.get("version") != VERSION:
        raise ValueError(f"{path}: must be {FORMAT!r}, version {VERSION}; prepare the samples again")
    return meta


def _finished(out: Path, plan: Mapping[str, Any], force: bool) -> Prepared | None:
    if not out.exists():
        return None
    meta = read_meta(out) if meta_path(out).exists() else {}
    if meta.get("plan") == plan and meta["sha256"] == file_digest(out):
        shutil.rmtree(_parts(out), ignore_errors=True)  # of a run that was killed at its very end
        return Prepared(out, meta["samples"], meta["jobs"], meta["jobs"], meta["skipped"])
    if force:
        return None
    raise FileExistsError(f"{out} exists, made with other settings or files; choose another name or --force")


def _open_parts(parts: Path, plan: Mapping[str, Any], force: bool) -> None:
    note = parts / "plan.json"
    found = _read(note)
    if found == plan:
        return
    if found is not None and not force:
        raise FileExistsError(f"{parts} holds the parts of a run with other settings; finish it, or --force")
    if parts.exists():  # without a plan it is unknown which settings they come from
        note.unlink(missing_ok=True)
        shutil.rmtree(parts)
    write_json(note, plan)


def _parts(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")


def _part(parts: Path, key: str) -> Path:
    return parts / f"{quote(key, safe='')}.part.json"


def _read(path: Path) -> Any:
    """The JSON value in a file; None when it is not there or unreadable."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return read_json(path)


def _read_part(parts: Path, key: str) -> dict[str, Any] | None:
    """What a job made; None when its part is not there, or damaged."""
    found = _read(_part(parts, key))
    whole = isinstance(found, dict) and found.get("sha256") == _digest(found.get("made"))
    return found["made"] if whole else None


def _digest(made: Any) -> str:
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def _each_once(jobs: Iterable[Job]) -> Iterator[Job]:
    seen: set[str] = set()
    for job in jobs:
        if job.key in seen:
            raise ValueError(f"two jobs are named {job.key!r}; a scan occurs twice in the annotations")
        seen.add(job.key)
        yield job


def _make_part(job: Job, make: Callable[[Any], JobOutput], parts: Path) -> tuple[str, bool]:
    """Make a job's part unless it is there; its key, and whether it was."""
    if _read_part(parts, job.key) is not None:
        return job.key, True
    made = make(job.payload)
    record = {"samples": [asdict(sample) for sample in made.samples], "skipped": dict(made.skipped)}
    record = json.loads(json.dumps(record, allow_nan=False))  # as it will be read back
    write_text(_part(parts, job.key), json.dumps({"made": record, "sha256": _digest(record)}))
    return job.key, False
