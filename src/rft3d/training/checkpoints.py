"""Checkpoint folders that are complete and undamaged, or not used.

::

    checkpoints/step-000100/   what accelerate wrote, and progress.json: step, steps, sizes and digests
    checkpoints/step-000050/   the one before it, in case the newest is damaged

A folder under construction ends in ``.tmp``, one being deleted in ``.old``; neither is ever read.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rft3d.digests import digests_of, require_same
from rft3d.files import publish as rename
from rft3d.files import read_json, write_json

KEEP = 2
"""Checkpoints that stay: the newest and the one before it."""
PROGRESS = "progress.json"


class CheckpointError(OSError):
    """A checkpoint could not be written; the older ones are as they were."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete and undamaged checkpoint."""

    path: Path
    step: int
    steps: int


def name_of(step: int) -> str:
    return f"step-{step:06d}"


@contextmanager
def writing(folder: Path, step: int) -> Iterator[Path]:
    """The folder to write checkpoint ``step`` into; :func:`publish` it before the block ends.

    Raises:
        CheckpointError: writing failed (a full disk, say). What was written is removed, so that the space
            is free again.
    """
    staging = folder / f"{name_of(step)}.tmp"
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        yield staging
    except Exception as error:  # whatever library wrote: a full disk has many names
        shutil.rmtree(staging, ignore_errors=True)
        if not _is_writing_failure(error):
            raise
        kept = newest_name(folder)
        raise CheckpointError(
            f"checkpoint {folder / name_of(step)} could not be written ({_one_line(error)}); "
            + (f"{kept} is as it was. " if kept else "there is none yet. ")
            + "Make room and start again: the run goes on from there"
        ) from error


def publish(staging: Path, step: int, steps: int) -> None:
    """Give a completely written folder its final name, then drop all but the newest :data:`KEEP`."""
    write_json(staging / PROGRESS, {"step": step, "steps": steps, "files": digests_of(staging)})
    final = staging.with_suffix("")
    if final.exists():  # the same step again, after going back to an older checkpoint
        _discard(final)
    rename(staging, final)
    _clean(final.parent, final)


def _clean(folder: Path, newest: Path) -> None:
    """Remove what is neither the newest nor the one before it, and what a kill left half-made."""
    whole = [p for p in sorted(folder.glob("step-*")) if not p.suffix and p <= newest]
    for path in folder.glob("step-*"):
        if path not in whole[-KEEP:]:
            _discard(path)


def _discard(path: Path) -> None:
    """Rename, then delete: a kill in between must not leave a folder that looks complete."""
    doomed = path.with_suffix(".old")
    if path != doomed:
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def newest_name(folder: Path) -> str | None:
    """The newest checkpoint that is complete by its name, unread."""
    found = sorted(p.name for p in folder.glob("step-*") if not p.suffix)
    return found[-1] if found else None


def newest_whole(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest undamaged checkpoint; None when there is none at all.

    A damaged one is named through ``say`` and passed over for the one before it.

    Raises:
        ValueError: there are checkpoints, but all of them are damaged.
    """
    found = sorted((p for p in folder.glob("step-*") if not p.suffix), reverse=True)
    damage: list[str] = []
    for path in found:
        try:
            checkpoint = verified(path)
        except ValueError as error:
            damage.append(str(error))
            continue
        for line in damage:
            say(f"{line}; going on from {path.name}")
        return checkpoint
    if damage:
        raise ValueError(
            f"no usable checkpoint: {'; '.join(damage)}. Delete {folder} to start the stage again"
        )
    return None


def verified(path: Path) -> Checkpoint:
    """The checkpoint in ``path`` if every file is what was written; ValueError naming the damage."""
    try:
        progress = read_json(path / PROGRESS)
        step, steps, written = int(progress["step"]), int(progress["steps"]), dict(progress["files"])
        if not written:
            raise ValueError("it lists no files")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint {path} is damaged: {PROGRESS} is unreadable ({error})") from error
    try:
        require_same(path, written)
    except (ValueError, TypeError) as error:
        raise ValueError(f"checkpoint {path} is damaged: {error}") from error
    return Checkpoint(path, step, steps)


def _is_writing_failure(error: Exception) -> bool:
    """OSError; torch's and safetensors' own kinds of it, by what they say."""
    if isinstance(error, OSError):
        return True
    text = str(error).lower()
    known = (
        "no space left",
        "file too large",
        "i/o error",
        "failed writing file",
        "disk quota",
        "enforce fail",
    )
    return any(words in text for words in known)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return os.strerror(error.errno)
    return " ".join(str(error).split())[:200]
