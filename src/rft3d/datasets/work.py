"""One samples file from many scenes: in parallel processes, resumable, the same bytes whatever the number
of workers.

Each scene is a :class:`Job`; what it makes is written to a part file at once. When all parts are there they
are joined in the order of the jobs, ``<file>.meta.json`` is written, the samples file gets its name, and the
parts go. A second run with the same plan goes on where the first one stopped; with another plan it refuses, so
that no file ever mixes two settings.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from rft3d.digests import file_digest
from rft3d.files import publish, read_json, source_commit, write_json, write_text
from rft3d.locks import only_writer
from rft3d.process import end_with_parent
from rft3d.prompts import IMAGE
from rft3d.tasks.samples import sample_from_record, write_samples
from rft3d.tasks.samples_parquet import FORMAT, VERSION
from rft3d.tasks.types import Sample


@dataclass(frozen=True)
class Job:
    """One unit of work; ``payload`` and what is made of it must be picklable when there are several
    workers.
    """

    key: str
    payload: Any


@dataclass(frozen=True)
class Made:
    """What one job made, and how many records it left out and why."""

    samples: tuple[Sample, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)


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


def prepare_samples(
    jobs: Iterable[Job],
    make: Callable[[Any], Made],
    out: Path | str,
    *,
    plan: Mapping[str, Any],
    inputs: Iterable[Path | str] = (),
    workers: int = 1,
    total: int | None = None,
    progress: TextIO | None = None,
    overwrite: bool = False,
    no_frames: bool = False,
) -> Prepared:
    """Write ``out`` (JSON lines, or ``.parquet``) and ``out.meta.json`` from what ``make`` makes of each job.

    Args:
        jobs: read once, in order; at most ``2 * workers`` payloads are in memory.
        make: pure: the same payload gives the same samples. Top-level function when ``workers`` > 1.
        plan: everything that decides the samples, as plain JSON values; goes into the meta file.
        inputs: annotation files; their sizes and digests go into the plan, so that a changed file is noticed.
        workers: processes; 1 works in this one.
        total: number of jobs, for the estimate of the time left.
        progress: where lines of progress go; None: standard error.
        overwrite: replace an existing file of another plan, and forget parts of another plan.
        no_frames: samples name no pictures: enough to score answers, not to make them.

    Raises:
        FileExistsError: ``out`` or its parts come from another plan.
        ValueError: two samples or two jobs with one name, or a sample that is no JSON.
    """
    out = Path(out)
    if no_frames:
        make, plan = _Bare(make), {**plan, "no_frames": True}
    plan = {**plan, "inputs": [_input(Path(path), out.parent) for path in inputs]}
    plan = json.loads(json.dumps(plan, allow_nan=False))  # as it will be read back: tuples are lists
    with only_writer(out):
        done = _finished(out, plan, overwrite)
        return done or _prepare(
            jobs, make, out, plan, workers, _Progress(total, progress or sys.stderr), overwrite
        )


def _prepare(
    jobs: Iterable[Job],
    make: Callable[[Any], Made],
    out: Path,
    plan: Mapping[str, Any],
    workers: int,
    report: _Progress,
    overwrite: bool,
) -> Prepared:
    parts = _parts(out)
    _open_parts(parts, plan, overwrite)
    keys: list[str] = []
    resumed = 0
    for key, was_there in _run(jobs, make, parts, workers, report):
        keys.append(key)
        resumed += was_there
    report.finish()
    skipped: Counter[str] = Counter()
    for key in keys:
        skipped.update(_whole_part(parts, key)["skipped"])
    joined = parts / out.name
    write_samples(
        joined,
        (sample_from_record(r, f"{out}: job {k}") for k in keys for r in _whole_part(parts, k)["samples"]),
    )
    count = report.samples
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "plan": plan,
        "jobs": len(keys),
        "samples": count,
        "skipped": dict(sorted(skipped.items())),
        "sha256": file_digest(joined),
        "commit": source_commit(),
    }
    write_json(meta_path(out), meta)
    publish(joined, out)
    shutil.rmtree(parts)
    return Prepared(out, count, len(keys), resumed, dict(sorted(skipped.items())))


@dataclass(frozen=True)
class _Bare:
    """Calls ``make`` and removes the pictures from its result; a class, so that it can be pickled."""

    make: Callable[[Any], Made]

    def __call__(self, payload: Any) -> Made:
        made = self.make(payload)
        bare = (replace(each, frames=(), prompt=each.prompt.replace(IMAGE, "")) for each in made.samples)
        return replace(made, samples=tuple(bare))


def meta_path(samples: Path | str) -> Path:
    """Where the meta file of a samples file lies."""
    samples = Path(samples)
    return samples.with_name(f"{samples.name}.meta.json")


def read_meta(samples: Path | str) -> dict[str, Any]:
    """The meta file of a prepared samples file.

    Raises:
        ValueError: none, damaged, or of a version that this program doesn't read.
    """
    path = meta_path(samples)
    try:
        meta = read_json(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; was {samples} made by rft3d data prepare?") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: not JSON ({error}); prepare the samples again") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT or meta.get("version") != VERSION:
        raise ValueError(
            f"{path}: must have format {FORMAT!r} and version {VERSION}; prepare the samples again"
        )
    return meta


def _input(path: Path, home: Path) -> dict[str, Any]:
    return {
        "file": Path(os.path.relpath(path, home)).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": file_digest(path),
    }


def _finished(out: Path, plan: Mapping[str, Any], overwrite: bool) -> Prepared | None:
    if not out.exists():
        return None
    if (
        meta_path(out).exists()
        and (meta := read_meta(out))["plan"] == plan
        and meta["sha256"] == file_digest(out)
    ):
        shutil.rmtree(_parts(out), ignore_errors=True)  # of a run that was killed at its very end
        return Prepared(out, meta["samples"], meta["jobs"], meta["jobs"], meta["skipped"])
    if overwrite:
        return None
    raise FileExistsError(
        f"{out} exists and was made with other settings or files; choose another name or --force"
    )


def _open_parts(parts: Path, plan: Mapping[str, Any], overwrite: bool) -> None:
    note = parts / "plan.json"
    found = _read(note)
    if found == plan:
        return
    if found is not None and not overwrite:
        raise FileExistsError(
            f"{parts} holds the parts of a run with other settings; finish that run, or --force"
        )
    if parts.exists():  # without a plan nobody knows whose parts they are
        note.unlink(missing_ok=True)
        shutil.rmtree(parts)
    write_json(note, plan)


def _parts(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")


def _part(parts: Path, key: str) -> Path:
    return parts / f"{quote(key, safe='')}.part.json"


def _read(path: Path) -> Any:
    """The JSON value in a file; None when it is not there or unreadable."""
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError):
        return None


def _read_part(parts: Path, key: str) -> dict[str, Any] | None:
    """What a job made; None when its part is not there, or damaged."""
    found = _read(_part(parts, key))
    return found if isinstance(found, dict) and {"samples", "skipped"} <= found.keys() else None


def _whole_part(parts: Path, key: str) -> dict[str, Any]:
    if (found := _read_part(parts, key)) is None:
        raise ValueError(f"{_part(parts, key)} was damaged while others were made; start again")
    return found


def _work(make: Callable[[Any], Made], payload: Any, part: Path) -> int:
    made = make(payload)
    record = {"samples": [asdict(sample) for sample in made.samples], "skipped": dict(made.skipped)}
    write_text(part, json.dumps(record, allow_nan=False))
    return len(made.samples)


def _run(
    jobs: Iterable[Job], make: Callable[[Any], Made], parts: Path, workers: int, report: _Progress
) -> Iterator[tuple[str, bool]]:
    """Each job's key and whether its part was there before, in order, when its part is there."""
    seen: set[str] = set()

    def fresh() -> Iterator[Job]:
        for job in jobs:
            if job.key in seen:
                raise ValueError(f"two jobs are named {job.key!r}; a scan occurs twice in the annotations")
            seen.add(job.key)
            yield job

    if workers <= 1:
        for job in fresh():
            found = _read_part(parts, job.key)
            count = len(found["samples"]) if found else _work(make, job.payload, _part(parts, job.key))
            report.step(count, found is not None)
            yield job.key, found is not None
        return
    context = multiprocessing.get_context("spawn")  # forking a process with threads can hang
    with ProcessPoolExecutor(workers, context, end_with_parent) as pool:
        waiting: deque[tuple[str, Future[int] | int]] = deque()

        def take() -> tuple[str, bool]:
            key, future = waiting.popleft()
            was_there = isinstance(future, int)
            report.step(future if was_there else future.result(), was_there)
            return key, was_there

        try:
            for job in fresh():
                found = _read_part(parts, job.key)
                part = _part(parts, job.key)
                made = len(found["samples"]) if found else pool.submit(_work, make, job.payload, part)
                waiting.append((job.key, made))
                if len(waiting) >= 2 * workers:
                    yield take()
            while waiting:
                yield take()
        except BaseException:  # an error or Ctrl-C: don't start what still waits; finished parts stay
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class _Progress:
    """``812/1201 scenes, 40211 samples, 3.1 scenes/s, 2:05 left``, every few seconds."""

    def __init__(self, total: int | None, stream: TextIO, every_s: float = 5.0) -> None:
        self.total, self.stream, self.every_s = total, stream, every_s
        self.done = self.worked = self.samples = 0
        self.start = self.last = time.monotonic()

    def step(self, samples: int, was_there: bool) -> None:
        self.done += 1
        self.worked += not was_there
        self.samples += samples
        if time.monotonic() - self.last >= self.every_s:
            self._write()

    def finish(self) -> None:
        self._write()

    def _write(self) -> None:
        self.last = time.monotonic()
        rate = self.worked / max(self.last - self.start, 1e-9)
        of = f"/{self.total}" if self.total else ""
        left = ""
        if self.total and rate and self.done < self.total:
            seconds = round((self.total - self.done) / rate)
            left = f", {seconds // 60}:{seconds % 60:02d} left"
        print(
            f"{self.done}{of} jobs, {self.samples} samples, {rate:.1f} jobs/s{left}",
            file=self.stream,
            flush=True,
        )
