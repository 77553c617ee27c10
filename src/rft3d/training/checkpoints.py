"""Checkpoint folders that are complete and undamaged, or not used.

::

    checkpoints/step-000100/   what accelerate wrote, and progress.json: step, steps, sizes and digests
    checkpoints/step-000050/   the one before it, in case the newest is damaged

A folder under construction ends in ``.tmp``, one being deleted in ``.old``; neither is ever read.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rft3d.digests import digests_of, names_in, require_same
from rft3d.files import publish as rename
from rft3d.files import read_json, write_json
from rft3d.training.placement import ALONE, Ranks

KEEP = 2
"""Checkpoints that stay: the newest and the one before it."""
PROGRESS = "progress.json"
_OF_RANK = re.compile(r".*__(\d+)_\d+\.distcp")


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
    """The folder to write checkpoint ``step`` into; :func:`publish_checkpoint` it before the block ends.

    CheckpointError: writing failed (a full disk, say). What was written is removed, so that the space is free
    again.
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
        kept = next((path.name for path in _by_name(folder)), None)
        raise CheckpointError(
            f"checkpoint {folder / name_of(step)} could not be written ({_one_line(error)}); "
            + (f"{kept} is as it was. " if kept else "there is none yet. ")
            + "Make room and start again: the run goes on from there"
        ) from error


def own_part(names: Sequence[str], ranks: Ranks) -> list[str]:
    """The files that this rank reads: those that it wrote (FSDP2 names them so), and its share of the others."""
    owners = [int(m[1]) if (m := _OF_RANK.fullmatch(name)) else k for k, name in enumerate(names)]
    return [name for name, owner in zip(names, owners, strict=True) if owner % ranks.world == ranks.rank]


def publish_checkpoint(staging: Path, step: int, steps: int, ranks: Ranks = ALONE) -> None:
    """Give a completely written folder its final name, then drop all but the newest :data:`KEEP`. All ranks call
    it: each makes the digests of its own part, the first does the rest."""
    own = digests_of(staging, own_part(names_in(staging), ranks))
    files = {name: told for part in ranks.gather([own]) for name, told in part.items()}
    if ranks.rank:
        return
    write_json(staging / PROGRESS, {"step": step, "steps": steps, "files": files})
    final = staging.with_suffix("")
    if final.exists():  # the same step again, after going back to an older checkpoint
        _discard(final)
    rename(staging, final)
    _clean(final.parent, final)


def _clean(folder: Path, newest: Path) -> None:
    """Remove what is neither the newest nor the one before it, and what a kill left half-made."""
    whole = [path for path in _by_name(folder) if path <= newest]
    for path in folder.glob("step-*"):
        if path not in whole[:KEEP]:
            _discard(path)


def _discard(path: Path) -> None:
    """Rename, then delete: a kill in between must not leave a folder that looks complete."""
    doomed = path.with_suffix(".old")
    if path != doomed:
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _by_name(folder: Path) -> list[Path]:
    """The checkpoints that are complete by their names, unread, the newest first."""
    return sorted((path for path in folder.glob("step-*") if not path.suffix), reverse=True)


def newest_whole(folder: Path, say: Callable[[str], None], ranks: Ranks = ALONE) -> Checkpoint | None:
    """The newest undamaged checkpoint; None when there is none at all.

    A damaged one is named through ``say`` and passed over for the one before it. All ranks call it and get the
    same answer; each reads its own part. ValueError: there are checkpoints, but all of them are damaged.
    """
    bad: list[str] = []
    for path in _by_name(folder):
        try:
            checkpoint = verified(path, ranks)
        except ValueError as error:
            bad.append(str(error))
            continue
        for line in bad:
            say(f"{line}; going on from {path.name}")
        return checkpoint
    if bad:
        raise ValueError(f"no usable checkpoint: {'; '.join(bad)}. Delete {folder} to start the stage again")
    return None


def verified(path: Path, ranks: Ranks = ALONE) -> Checkpoint:
    """The checkpoint in ``path`` if every file is what was written; ValueError naming the damage, on all ranks."""
    try:
        progress = read_json(path / PROGRESS)
        step, steps, written = int(progress["step"]), int(progress["steps"]), dict(progress["files"])
        if not written:
            raise ValueError("it lists no files")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint {path} is damaged: {PROGRESS} is unreadable ({error})") from error
    damage = ""
    try:
        require_same(path, {name: written[name] for name in own_part(list(written), ranks)})
    except (ValueError, TypeError) as error:
        damage = str(error)
    if found := [told for told in ranks.gather([damage]) if told]:
        raise ValueError(f"checkpoint {path} is damaged: {found[0]}")
    return Checkpoint(path, step, steps)


def _is_writing_failure(error: Exception) -> bool:
    """OSError; torch's and safetensors' own kinds of it, by what they say."""
    known = "no space left|file too large|i/o error|failed writing file|disk quota|enforce fail"
    return isinstance(error, OSError) or re.search(known, str(error), re.IGNORECASE) is not None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return os.strerror(error.errno)
    return " ".join(str(error).split())[:200]
