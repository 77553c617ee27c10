"""Whether a file or a folder is still what was written. Imports nothing of ours but ``files``."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rft3d.files import SHIPPED_MODELS, model_folder, read_json, write_json

LIST = "digests.json"
"""In a saved model: name, size and digest of its other files."""


def file_digest(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def names_in(folder: Path) -> list[str]:
    """Every file below ``folder``, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def digests_of(folder: Path, names: Iterable[str] | None = None) -> dict[str, list[Any]]:
    """``[size, digest]`` of every file below ``folder`` by its name there, or of ``names`` alone."""
    files = {name: folder / name for name in (names_in(folder) if names is None else names)}
    return {name: [file.stat().st_size, file_digest(file)] for name, file in files.items()}


def require_same(folder: Path, written: Mapping[str, Sequence[Any]]) -> None:
    """ValueError naming the first file of ``folder`` that is not what :func:`digests_of` saw; more are fine."""
    for name, (size, digest) in written.items():
        file = folder / name
        if not file.is_file():
            raise ValueError(f"{name} is missing")
        if file.stat().st_size != size:
            raise ValueError(f"{name} has {file.stat().st_size} bytes, {size} were written")
        if file_digest(file) != digest:
            raise ValueError(f"the bytes of {name} have changed")


def write_list(folder: Path) -> None:
    """Write the :data:`LIST` of a model folder."""
    (folder / LIST).unlink(missing_ok=True)
    write_json(folder / LIST, digests_of(folder))


def check_list(folder: Path) -> None:
    """ValueError naming folder, damage and remedy when a model folder with a :data:`LIST` does not match it."""
    if not (folder / LIST).is_file():
        return
    try:
        require_same(folder, read_json(folder / LIST))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the model in {folder} is not what was saved: {error}. Make it again (in a run folder: delete its "
            f"stage's done.json and start again); after a change on purpose delete {LIST}"
        ) from error


def model_fingerprint(model_dir: str | Path) -> str:
    """A short identity of the weights in a folder, or of a shipped model: its name and a digest of its files.

    Of each file the name, the size and the first and last MiB are read, so that it stays cheap for
    large checkpoints. Hidden files are left out.
    """
    folder = model_folder(model_dir)
    if not folder.is_dir():
        shipped = ", ".join(SHIPPED_MODELS)
        raise FileNotFoundError(f"no model folder: {folder} (and no shipped model: {shipped})")
    digest = hashlib.sha256()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise FileNotFoundError(f"model folder {folder} is empty")
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        with path.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            if size > 2 << 20:
                stream.seek(-(1 << 20), os.SEEK_END)
            digest.update(stream.read(1 << 20))
    return f"{folder.resolve().name}@{digest.hexdigest()[:16]}"
