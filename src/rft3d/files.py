"""Files that appear whole or not at all, the commit that wrote them, the models that the package ships, and
quotes of what strangers' files hold.

Imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import json
import os
import reprlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIPPED_MODELS = ("rooms", "rooms-sft")
"""Small models inside the package, after RFT and before it; their names stand wherever a model is asked for."""


def model_folder(model: str | Path) -> Path:
    """The folder of a shipped model for its name, else ``model`` as a path (``./rooms`` for your own folder).

    Raises:
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


def file_digest(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


ABANDONED_S = 3600.0
"""Age after which an unfinished file of a process that is gone is removed."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A hidden neighbour of ``path`` to write a file or folder to; it becomes ``path`` when the block ends well.

    A reader sees all of it or nothing. After an error, or Ctrl-C, the neighbour is removed and ``path`` is as it
    was; after a kill it stays, until somebody writes ``path`` again an hour later::

        with replacing("boxes.npy") as unfinished, unfinished.open("wb") as file:
            np.save(file, boxes)

    Raises:
        OSError: naming ``path``, when it cannot be written (a full disk).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    # several processes and threads may write one path; the last one to finish stays
    unfinished = path.with_name(f".{path.name}.{threading.get_ident()}.{os.getpid()}.tmp")
    try:
        yield unfinished
        if unfinished.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a failed write doesn't say where
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        _remove(unfinished)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    for other in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # its writer has finished meanwhile
            alive = Path("/proc", other.name.split(".")[-2]).exists()
            if not alive and time.time() - other.stat().st_mtime > ABANDONED_S:
                _remove(other)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by :func:`replacing`."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """:func:`write_bytes` of ``text`` in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any, *, allow_nan: bool = False) -> None:
    """Write ``value`` as indented JSON, atomically; dataclasses become objects, paths become strings.

    Raises:
        TypeError: something in it has no JSON form.
        ValueError: a number is not finite (unless ``allow_nan``); other readers than Python's refuse it.
    """
    text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=allow_nan, default=plain)
    write_text(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file.

    Raises:
        ValueError: naming the file, when it is damaged or nested too deeply.
        FileNotFoundError: there is none.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({excerpt(error)}); write or get the file again") from None


@contextmanager
def blaming(path: str | Path, *kinds: type[Exception], fix: str = "get the file again") -> Iterator[None]:
    """Turn errors of these kinds, which a damaged file causes in a library, into a ValueError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except kinds as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(f"{path} cannot be read ({kind}{excerpt(error, 300)}); {fix}") from None


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
    root = Path(__file__).resolve().parent
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+dirty" if dirty else "")


def _git(cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=cwd, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk (a power cut, not only a kill)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Entry:
    """One cached clip: its file, size and when it was last used (seconds since the epoch)."""

    path: Path
    size: int
    used: float


@dataclass
class CacheFolder:
    """A folder of cached features: what lies there and how old it is, without reading (or torch).

    :class:`rft3d.models.features.FeatureCache` fills it, one ``??/*.safetensors`` a clip.
    """

    folder: Path

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)

    def entries(self) -> list[Entry]:
        """All clips stored, least recently used first (whatever their encoder and number format)."""
        return sorted(self._scan("*.safetensors"), key=lambda entry: (entry.used, entry.path.name))

    def _scan(self, pattern: str) -> Iterator[Entry]:
        for path in self.folder.glob(f"??/{pattern}"):
            with contextlib.suppress(FileNotFoundError):  # evicted by another process meanwhile
                facts = path.stat()
                yield Entry(path, facts.st_size, facts.st_mtime)

    def evict(self, keep_bytes: int) -> int:
        """Remove the least recently used clips until ``keep_bytes`` are left; returns how many went."""
        self.remove_abandoned()
        entries = self.entries()
        total, removed = sum(entry.size for entry in entries), 0
        for entry in entries:
            if total <= keep_bytes:
                break
            entry.path.unlink(missing_ok=True)
            total, removed = total - entry.size, removed + 1
        return removed

    def clear(self) -> int:
        """Remove every clip; returns how many there were. Folders that are empty then go too."""
        removed = self.evict(0)
        for folder in self.folder.glob("??"):
            with contextlib.suppress(OSError):  # not empty: somebody writes there
                folder.rmdir()
        return removed

    def remove_abandoned(self) -> int:
        """Remove temporary files whose process is gone (or that are old); returns how many."""
        removed = 0
        for entry in self._scan(".*.tmp"):
            process = entry.path.name.split(".")[-2]
            alive = process.isdecimal() and Path(f"/proc/{process}").exists()
            if not alive or time.time() - entry.used > ABANDONED_S:
                entry.path.unlink(missing_ok=True)
                removed += 1
        return removed

    def describe(self) -> str:
        """How much is stored and how old it is, for a person."""
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        lines = [f"{self.folder}: {len(entries)} clips, {total / 1e9:.3f} GB"]
        if entries:
            ages = [(time.time() - entry.used) / 3600 for entry in (entries[0], entries[-1])]
            mean = total / len(entries) / 1e6
            lines.append(f"{mean:.3f} MB a clip; last used between {ages[0]:.1f} and {ages[1]:.1f} hours ago")
        unfinished = sum(1 for _ in self._scan(".*.tmp"))
        if unfinished:
            lines.append(f"{unfinished} files being written (or left behind by a kill)")
        return "\n".join(lines)
