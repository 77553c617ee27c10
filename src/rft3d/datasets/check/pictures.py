"""Picture files: which are cut off, and which are the same picture twice. Looks at bytes, decodes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

LFS = b"version https://git-lfs"
_ENDS = {
    ".jpg": (b"\xff\xd8", b"\xff\xd9"),
    ".jpeg": (b"\xff\xd8", b"\xff\xd9"),
    ".png": (b"\x89PNG", b"IEND\xaeB`\x82"),
}


def whole(path: Path) -> bool:
    """Whether a JPEG or PNG file begins and ends as one does (zeros after the end are allowed); others: not
    empty.
    """
    size = path.stat().st_size
    ends = _ENDS.get(path.suffix.lower())
    if size == 0 or ends is None:
        return size > 0
    with path.open("rb") as file:
        head = file.read(8)
        file.seek(max(0, size - 64))
        tail = file.read()
    return head.startswith(ends[0]) and tail.rstrip(b"\0").endswith(ends[1])


def is_pointer(path: Path) -> bool:
    """Whether a file is a Git LFS pointer in place of the real one."""
    with path.open("rb") as file:
        return file.read(len(LFS)) == LFS


def duplicates(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs of files of the same bytes, each later one with the first. Only files of equal size are read."""
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        by_size.setdefault(path.stat().st_size, []).append(path)
    pairs = []
    for group in by_size.values():
        if len(group) < 2:
            continue
        first: dict[bytes, Path] = {}
        for path in group:
            key = hashlib.sha256(path.read_bytes()).digest()
            if key in first:
                pairs.append((first[key], path))
            else:
                first[key] = path
    return pairs


def cut_off(paths: Iterable[Path]) -> list[Path]:
    """Those of ``paths`` that are not whole."""
    return [path for path in paths if not whole(path)]
