"""What readers share: streams of JSON objects, measured poses, sizes of pictures."""

import codecs
import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rft3d.files import blaming, excerpt
from rft3d.geometry.rotations import Array
from rft3d.scenes.images import opened_picture
from rft3d.typed import typed

T = TypeVar("T")

CHUNK = 1 << 20
MAX_RECORD = 64 << 20
"""Characters of one record of a list beyond which a file is refused: each piece that is read tries it again."""
MAX_ROWS, MAX_COLUMNS, MAX_UNPACKED = 20_000_000, 1_000, 32 << 30
"""Of a parquet file, as it says of itself, before any of it is unpacked."""
MEASURED = 1e-3
"""Poses are stored with few digits; rotations this close to orthonormal are made exactly so."""

_SPACE = re.compile(r"[\s,]*")


def iter_objects(path: Path | str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON list or of JSON lines, each after its place (``a.json[3]``); one in memory at a time.

    Which of the two is told by the first character, not by the file's name. ValueError: neither, not UTF-8, or
    cut off; names the place.
    """
    for index, value in enumerate(_values(Path(path))):
        if not isinstance(value, dict):
            raise ValueError(f"{path}[{index}] is {excerpt(value)}; it must be an object with named fields")
        yield f"{path}[{index}]", value


def iter_records(path: Path | str, kind: type[T]) -> Iterator[tuple[str, T]]:
    """The objects of :func:`iter_objects`, or the rows of a parquet file, as the dataclass ``kind``."""
    path = Path(path)
    for where, value in parquet_rows(path) if path.suffix == ".parquet" else iter_objects(path):
        yield where, typed(kind, value, where, extra=True)


def _values(path: Path) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    reader = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        buffer, place, ended, count = "", 0, False, 0
        in_list: bool | None = None
        while True:
            place = _SPACE.match(buffer, place).end()  # type: ignore[union-attr]
            if in_list is None and place < len(buffer):
                in_list = buffer[place] == "["
                place += in_list
                continue
            if in_list and place < len(buffer) and buffer[place] == "]":
                return
            try:
                if place >= len(buffer):
                    raise ValueError("nothing there yet")
                value, place = decoder.raw_decode(buffer, place)
                # a number that ends with the buffer may go on in the next piece; objects can't
                count += 1
                yield value
                continue
            except (ValueError, RecursionError) as error:
                if ended or isinstance(error, RecursionError):
                    if place >= len(buffer) and not in_list:
                        return
                    shown = buffer[place : place + 60]
                    raise ValueError(
                        f"{path}: not JSON after {count} records ({error}): {shown!r}; "
                        "the file is damaged or was cut off, get it again"
                    ) from None
            if len(buffer) - place > MAX_RECORD:
                raise ValueError(f"{path}: record {count} is longer than {MAX_RECORD=} characters")
            piece = file.read(CHUNK)
            ended = not piece
            try:
                buffer, place = buffer[place:] + reader.decode(piece, final=ended), 0
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: not UTF-8 text ({error.reason}) after {count} records") from None


def parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a parquet file, each after its place; a thousand in memory at a time.

    ValueError: naming the file, when it is damaged or says that it is larger than :data:`MAX_ROWS`,
    :data:`MAX_COLUMNS` or :data:`MAX_UNPACKED` (bytes).
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    with blaming(path, pyarrow.ArrowException, OSError, ValueError, MemoryError), ParquetFile(path) as file:
        facts = file.metadata
        unpacked = sum(facts.row_group(k).total_byte_size for k in range(facts.num_row_groups))
        found = {"MAX_ROWS": facts.num_rows, "MAX_COLUMNS": facts.num_columns, "MAX_UNPACKED": unpacked}
        for name, size in found.items():
            if size > (most := globals()[name]):
                raise ValueError(f"it says it has {size}, more than {name} = {most}")
        rows = (row for batch in file.iter_batches(batch_size=1024) for row in batch.to_pylist())
        for index, row in enumerate(rows):
            yield f"{path}[{index}]", row


def nearest_place(ordered: Sequence[float], value: float) -> int:
    """Place of the entry of ``ordered`` (ascending, not empty) that is nearest to ``value``."""
    after = min(bisect_left(ordered, value), len(ordered) - 1)
    return after - 1 if after and value - ordered[after - 1] < ordered[after] - value else after


def nearest_rigid(T: Array) -> Array:
    """``T`` with its rotation made orthonormal where it nearly is; else unchanged, for validation to refuse."""
    R = T[:3, :3]
    if not (np.abs(R) < 2).all() or np.abs(R.T @ R - np.eye(3)).max() >= MEASURED:
        return T
    left, _, right = np.linalg.svd(R)
    out = T.copy()
    out[:3, :3] = left @ right
    return out


def picture_size(path: Path) -> tuple[int, int]:
    """``(width, height)`` from a picture's header, without decoding it.

    ValueError: no such file, or not a picture.
    """
    try:
        with opened_picture(path) as image:
            return image.size
    except FileNotFoundError:
        raise ValueError(f"{path}: no such picture") from None


def pinhole(matrix: Array) -> Array:
    """``(3, 3)`` K of a 3x3 or 4x4 intrinsic matrix."""
    K = np.array(matrix[:3, :3], dtype=np.float64)
    K[2] = (0.0, 0.0, 1.0)
    return K
