"""Files that appear whole or not at all, the commit that wrote them, the models that the package ships, and
quotes of what strangers' files hold.

Imports nothing of ours.
"""

import contextlib
import dataclasses
import glob
import json
import os
import reprlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

SHIPPED_MODELS = ("rooms", "rooms-sft")
"""Small models inside the package, after RFT and before it; their names stand wherever a model is asked for."""


def model_folder(model: str | Path) -> Path:
    """The folder of a shipped model for its name, else ``model`` as a path (``./rooms`` for your own folder).

    FileNotFoundError: a shipped model whose weights are not in this installation.
    """
    if str(model) not in SHIPPED_MODELS:
        return Path(model)
    folder = Path(__file__).resolve().parent / "models" / "weights" / str(model)
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"the model {str(model)!r} is not in this installation ({folder} holds no model.safetensors); "
            f"install the package again, or write ./{model} for a folder of your own"
        )
    return folder


ABANDONED_S = 86400.0
"""Age after which an unfinished file of another machine is removed; one of this machine goes with its process."""
HOST = os.uname().nodename.replace(".", "-")[:64]


@contextmanager
def replacing(path: str | Path, synced: bool = True) -> Iterator[Path]:
    """A hidden neighbour of ``path`` to write a file or folder to; it becomes ``path`` when the block ends well.

    A reader sees all of it or nothing. After an error, or Ctrl-C, the neighbour is removed and ``path`` is as it
    was; after a kill it stays until ``path`` is written again, or :func:`only_writer` of its folder::

        with replacing("boxes.npy") as unfinished, unfinished.open("wb") as file:
            np.save(file, boxes)

    ``synced``: the content is on the disk before the name is, so that a power cut leaves no empty file.
    Without, for the many small files of a folder that is synced as a whole, or whose readers check a digest.
    OSError: naming ``path``, when it cannot be written (a full disk).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent, f".{glob.escape(path.name)}.*.tmp")
    # several processes and threads may write one path; the last one to finish stays
    unfinished = path.with_name(f".{path.name}.{HOST}.{threading.get_ident()}.{os.getpid()}.tmp")
    try:
        yield unfinished
        if unfinished.is_dir() and path.is_dir():
            shutil.rmtree(path)
        publish(unfinished, path, synced)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a failed write doesn't say where
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        _remove(unfinished)


def publish(unfinished: Path, path: Path, synced: bool = True) -> None:
    """Rename ``unfinished`` to ``path``; when ``synced``, both the content and the name are on the disk then."""
    if synced:
        for part in (*unfinished.rglob("*"), unfinished):
            sync(part)
    os.replace(unfinished, path)
    if synced:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk (a power cut, not only a kill)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_abandoned(folder: Path, pattern: str) -> int:
    """Remove the unfinished files and folders in ``folder`` whose writer is gone; returns how many."""
    removed = 0
    for name in glob.glob(pattern, root_dir=folder, recursive=True):
        with contextlib.suppress(FileNotFoundError):  # its writer has finished meanwhile
            if _is_abandoned(folder / name):
                _remove(folder / name)
                removed += 1
    return removed


def _is_abandoned(path: Path) -> bool:
    *_, host, _, process, _ = ("", "", "", *path.name.split("."))
    if host != HOST or not process.isdecimal():
        return time.time() - path.stat().st_mtime > ABANDONED_S
    try:
        os.kill(int(process), 0)
    except PermissionError:  # another user's process, alive
        return False
    except (ProcessLookupError, OverflowError):
        return True
    return False


def write_bytes(path: str | Path, data: bytes, synced: bool = True) -> None:
    """Write ``data`` to ``path`` by :func:`replacing`."""
    with replacing(path, synced) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: str | Path, text: str, synced: bool = True) -> None:
    """:func:`write_bytes` of ``text`` in UTF-8."""
    write_bytes(path, text.encode("utf-8"), synced)


def write_json(path: str | Path, value: Any, *, allow_nan: bool = False) -> None:
    """Write ``value`` as indented JSON, atomically; dataclasses become objects, paths become strings.

    Raises:
        TypeError: something in it has no JSON form.
        ValueError: a number is not finite (unless ``allow_nan``); other readers than Python's refuse it.
    """
    text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=allow_nan, default=plain)
    write_text(path, text + "\n")


def read_json(path: str | Path, kind: type = object) -> Any:
    """The value in a JSON file, of this kind (``dict``: an object).

    Raises:
        ValueError: naming the file, when it is damaged, of another kind or nested too deeply.
        FileNotFoundError: there is none.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({excerpt(error)}); write or get the file again") from None
    if not isinstance(value, kind):
        raise ValueError(f"{path}: it holds {excerpt(value)} and no {kind.__name__}; write or get it again")
    return value


class DamagedFile(ValueError):
    """A file that is there and cannot be read; the message names it."""


@contextmanager
def blaming(path: str | Path, *kinds: type[Exception], fix: str = "get the file again") -> Iterator[None]:
    """Turn errors of these kinds, which a damaged file causes in a library, into a DamagedFile that names it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except kinds as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise DamagedFile(f"{path} cannot be read ({kind}{excerpt(error, 300)}); {fix}") from None


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the name of a file (or of what else is read) before the message of a ValueError that lacks it."""
    try:
        yield
    except ValueError as error:
        kind = DamagedFile if isinstance(error, DamagedFile) else ValueError
        raise error if str(path) in str(error) else kind(f"{path}: {error}") from error


def plain(value: Any) -> Any:
    """For ``json.dumps(default=)``: dataclasses and paths."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot write {type(value).__name__} to JSON")


def excerpt(value: Any, limit: int = 80) -> str:
    """A short quote of an untrusted value for a message, in at most ``limit`` characters and little time.

    Long, deep and shared values are cut before they are written out; a text that an error carries is shown
    as it is.
    """
    quote = _Quote()
    quote.maxlevel, quote.maxstring, quote.maxother = 3, limit, limit
    text = " ".join(str(value)[: 4 * limit].split()) if isinstance(value, Exception) else quote.repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class _Quote(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < 1000 else f"a number of {x.bit_length()} bits"

    def repr_ndarray(self, x: Any, level: int) -> str:
        return f"an array of {x.dtype} {list(x.shape)}"


def source_commit() -> str | None:
    """The git commit this package runs from (``+dirty`` with local changes); None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        commit, dirty = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+dirty" if dirty else "")


class CachedClip(NamedTuple):
    """One cached clip: when it was last used (seconds since the epoch), its size in bytes, its file."""

    used: float
    size: int
    path: Path


class CacheFolder:
    """A folder of cached features: what lies there and how old it is, without reading (or torch).

    :class:`rft3d.models.features.FeatureCache` fills it, one ``??/*.safetensors`` a clip.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def entries(self) -> list[CachedClip]:
        """All clips stored, least recently used first (whatever their encoder and number format)."""
        found: list[CachedClip] = []
        for name in glob.glob("??/*.safetensors", root_dir=self.folder):
            with contextlib.suppress(FileNotFoundError):  # evicted by another process meanwhile
                facts = (self.folder / name).stat()
                found.append(CachedClip(facts.st_mtime, facts.st_size, self.folder / name))
        return sorted(found)

    def evict(self, keep_bytes: int) -> int:
        """Remove the least recently used clips until ``keep_bytes`` are left; returns how many went."""
        remove_abandoned(self.folder, "??/.*.tmp")
        entries = self.entries()
        total, removed = sum(entry.size for entry in entries), 0
        for entry in entries:
            if total <= keep_bytes:
                break
            entry.path.unlink(missing_ok=True)
            total, removed = total - entry.size, removed + 1
        return removed

    def clear(self) -> int:
        """Remove every clip; returns how many there were."""
        return self.evict(0)

    def describe(self) -> str:
        """How much is stored and how old it is, for a person."""
        entries, unfinished = self.entries(), len(glob.glob("??/.*.tmp", root_dir=self.folder))
        total = sum(entry.size for entry in entries)
        lines = [f"{self.folder}: {len(entries)} clips, {total / 1e9:.3f} GB"]
        if entries:
            oldest, newest = ((time.time() - entry.used) / 3600 for entry in (entries[0], entries[-1]))
            mean = total / len(entries) / 1e6
            lines.append(f"{mean:.3f} MB a clip; last used between {oldest:.1f} and {newest:.1f} hours ago")
        if unfinished:
            lines.append(f"{unfinished} files being written (or left behind by a kill)")
        return "\n".join(lines)
