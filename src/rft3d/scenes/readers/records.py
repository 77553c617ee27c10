"""What readers share: records of data sets without scenes, streams of JSON objects, poses, sizes of pictures.

A reader yields records where a data set gives no cameras (or no pictures); :mod:`rft3d.datasets` makes samples of
them. All are checked when they are read, and none knows prompts or tasks.
"""

import codecs
import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
_SCAN = re.compile(r"(scene\d{4}_\d{2})")


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """A question and its answer as a chat about pictures: VG-LLM's files, VLM-3R.

    Attributes:
        id: unique in its file (the place in the file where the data set has no ids).
        scene: scan id where the record or its picture paths tell it, otherwise None.
        dataset: where the pictures come from (``"scannet"``), or the data set's own name.
        turns: the texts of human and model in turn, human first; may hold ``<image>`` or ``<video>`` placeholders.
        images: picture paths as the file has them, relative to the media folder.
        video: a video or a folder of frames, relative to the media folder; None when there are images.
        question_type: the data set's own name for the kind of question.
        extra: the other checked fields, see the reader.
    """

    id: str
    scene: str | None
    dataset: str
    turns: tuple[str, ...]
    images: tuple[str, ...] = ()
    video: str | None = None
    question_type: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """A question about a video with a key that decides it: VSI-Bench, SpaceR. As for :class:`ChatRecord`, and:

    Attributes:
        question: the text without options.
        options: as shown (``"A. left"``); empty for numbers and free text.
        answer: option letter, number as text, or free text.
    """

    id: str
    scene: str | None
    dataset: str
    question_type: str
    question: str
    options: tuple[str, ...]
    answer: str
    video: str | None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReferringRow:
    """One ScanRefer description (``text``) of one object: ScanNet's ``objectId``, its label with spaces, and which
    description of it this is (``ann_id``)."""

    scene: str
    object_id: int
    object_name: str
    ann_id: str
    text: str


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


def as_rigid(T: Array) -> Array:
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


def turns_in(turns: Sequence[Mapping[str, Any]], where: str, answered: bool = True) -> tuple[str, ...]:
    """``conversations``: ``[{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}, ...]``.

    ``answered=False``: a question alone will do; its answer is then empty.
    """
    texts = []
    for index, turn in enumerate(turns):
        role, wanted, value = turn.get("from"), ("human", "gpt")[index % 2], turn.get("value")
        place = f"{where}.conversations[{index}]"
        if role != wanted:
            raise ValueError(f"{place}.from is {excerpt(role)}; it must be {wanted!r} (human first, in turn)")
        if value is None and wanted == "gpt":
            value = ""  # a validation file has no answers
        if not isinstance(value, str):
            raise ValueError(f"{place}.value is {excerpt(value)}; it must be text")
        texts.append(value)
    if len(texts) == 1 and not answered:
        texts.append("")
    if len(texts) < 2:
        raise ValueError(f"{where}.conversations must hold at least a question and an answer")
    return tuple(texts)


def scan_in(*paths: str | None) -> str | None:
    """The ScanNet scan id in the first path that has one."""
    for path in paths:
        found = _SCAN.search(path or "")
        if found:
            return found[1]
    return None


def id_of(given: Any, where: str) -> str:
    """``given`` as text, or the place in the file with which ``where`` ends."""
    is_id = isinstance(given, str | int) and not isinstance(given, bool) and str(given)
    return str(given) if is_id else where.rpartition("[")[2].rstrip("]")
