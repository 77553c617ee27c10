"""The rows of other programs' predictions files; :mod:`rft3d.evaluation.outside` finds the samples they answer.

What each format looks like stands in :mod:`rft3d.evaluation.outside`.
"""

import contextlib
import csv
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from rft3d.evaluation.records import SHAPES, prediction_id, prediction_text, read_predictions
from rft3d.files import blaming, excerpt, read_json
from rft3d.tasks.samples import read_jsonl

PredictionFormat = Literal["auto", "rft3d", "plain", "lmms-eval", "vlmevalkit"]
MAX_SHEET_BYTES, MAX_SHEET_ROWS, MAX_SHEET_COLUMNS = 200_000_000, 200_000, 256
"""Unpacked size and shape of a spreadsheet beyond which it is refused; a real one has a few MB."""


_NO_WORKBOOK = (
    zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, zlib.error, EOFError,
    ElementTree.ParseError, OSError, NotImplementedError, RuntimeError,  # the last two: unknown packing
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Foreign:
    """One prediction: its possible ids, index, text, right answer, scene, and its place for messages."""

    names: tuple[str, ...]
    place: int | None
    text: str | None
    truth: str | None = None
    about: str = ""
    where: str = ""
    truncated: bool = False
    tokens: int | None = None


def detect_format(path: Path) -> Literal["rft3d", "plain", "lmms-eval", "vlmevalkit"]:
    """By the file's name, and for JSON by its first object."""
    if path.suffix.lower() in (".xlsx", ".tsv"):
        return "vlmevalkit"
    if path.suffix.lower() == ".json":
        value = _json_value(path)
        return "lmms-eval" if isinstance(value, dict) and isinstance(value.get("logs"), list) else "plain"
    for _, record in read_jsonl(path):
        return "lmms-eval" if "resps" in record or "filtered_resps" in record else "rft3d"
    return "rft3d"


def _house(path: Path) -> Iterator[Foreign]:
    for p in read_predictions(path):
        yield Foreign(
            (p.id,), None, p.text, where=f"{path}: {p.id!r}", truncated=p.truncated, tokens=p.tokens
        )


def _plain(path: Path) -> Iterator[Foreign]:
    value = _json_value(path)
    if isinstance(value, list):
        for number, record in enumerate(value):
            where = f"{path}[{number}]"
            if not isinstance(record, dict):
                raise ValueError(f"{where}: {excerpt(record)} is not an object; {SHAPES}")
            yield Foreign((prediction_id(record, where),), None, prediction_text(record, where), where=where)
        return
    for identity, text in value.items():
        where = f"{path}: {excerpt(identity)}"
        if not isinstance(text, str | list | dict):
            raise ValueError(f"{where} has {excerpt(text)}; {SHAPES}")
        yield Foreign((identity,), None, text if isinstance(text, str) else json.dumps(text), where=where)


def _lmms_eval(path: Path) -> Iterator[Foreign]:
    if path.suffix.lower() == ".json":
        whole = _json_value(path)
        logs = whole.get("logs") if isinstance(whole, dict) else None
        if not isinstance(logs, list):
            raise ValueError(f'{path}: no list "logs"; an lmms-eval log written as one JSON has one')
        records: Iterable[tuple[int, Any]] = enumerate(logs, start=1)
    else:
        records = read_jsonl(path)
    for number, record in records:
        where = f"{path}:{number}"
        if not isinstance(record, dict):
            raise ValueError(f"{where}: {excerpt(record)} is not an object, as an lmms-eval log has them")
        doc = record.get("doc")
        doc = doc if isinstance(doc, dict) else {}
        names = tuple(
            str(doc[key]) for key in ("id", "sample_id", "question_id") if isinstance(doc.get(key), str | int)
        )
        place = record.get("doc_id")
        if place is not None and (isinstance(place, bool) or not isinstance(place, int)):
            raise ValueError(f"{where}: field 'doc_id' must be a whole number, got {excerpt(place)}")
        target = record.get("target", doc.get("ground_truth"))
        truth = None if target is None else str(target)
        yield Foreign(names, place, _response(record, where), truth, _about(doc), where)


def _response(record: Mapping[str, Any], where: str) -> str:
    """The text before filters; nested lists hold one answer a repeat, of which the first counts."""
    value = record.get("resps", record.get("filtered_resps"))
    while isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str):
        raise ValueError(f"{where}: field 'resps' holds no text, got {excerpt(record.get('resps'))}")
    return value


def _about(doc: Mapping[str, Any]) -> str:
    """What names the scene: the first picture's path, or the scene itself."""
    images = doc.get("images")
    if isinstance(images, list) and images and isinstance(images[0], str):
        return images[0]
    return str(doc.get("scene_name", ""))


def _vlmevalkit(path: Path) -> Iterator[Foreign]:
    rows = _sheet(path) if path.suffix.lower() == ".xlsx" else _table(path)
    header = [str(cell).strip() if cell is not None else "" for cell in next(rows, [])]
    if "prediction" not in header or not {"id", "index"} & set(header):
        raise ValueError(
            f"{path}: its first row must name the columns 'prediction' and 'id' or 'index', got {header[:12]}"
        )
    for number, cells in enumerate(rows, start=2):
        if all(cell is None or cell == "" for cell in cells):
            continue
        row = dict(zip(header, cells, strict=False))
        names = tuple(_cell(row[key]) for key in ("id", "index") if row.get(key) not in (None, ""))
        place = _cell(row.get("index", ""))
        index = int(place) if place.isdecimal() and len(place) < 16 else None
        text = None if row.get("prediction") is None else _cell(row["prediction"])
        truth = _cell(row.get("answer")) or None
        yield Foreign(names, index, text, truth, _cell(row.get("video", "")), f"{path}: row {number}")


def _sheet(path: Path) -> Iterator[list[Any]]:
    import openpyxl  # lazy: the extra `sheets`

    with blaming(path, *_NO_WORKBOOK, fix="it is not a sheet of predictions; save it as .xlsx again"):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_SHEET_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, more than {MAX_SHEET_BYTES=}")
        with contextlib.closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            rows = book.worksheets[0].iter_rows(
                max_row=MAX_SHEET_ROWS + 1, max_col=MAX_SHEET_COLUMNS + 1, values_only=True
            )
            for number, cells in enumerate(rows, start=1):
                if number > MAX_SHEET_ROWS or (len(cells) > MAX_SHEET_COLUMNS and cells[-1] is not None):
                    raise ValueError(f"row {number} lies beyond {MAX_SHEET_ROWS=} or {MAX_SHEET_COLUMNS=}")
                yield list(cells)


def _table(path: Path) -> Iterator[list[Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        try:
            yield from csv.reader(file, delimiter="\t")
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a tab-separated table in UTF-8 ({error})") from None


def _cell(value: object) -> str:
    """A cell as text: 3.0 was a 3 before a spreadsheet touched it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _json_value(path: Path) -> dict[str, Any] | list[Any]:
    try:
        value = read_json(path)
    except ValueError as error:
        raise ValueError(f"{error}; name it .jsonl when it has one object a line") from None
    if not isinstance(value, dict | list):
        raise ValueError(f"{path}: is {type(value).__name__}; {SHAPES}")
    return value


READERS: dict[str, Callable[[Path], Iterator[Foreign]]] = {
    "rft3d": _house,
    "plain": _plain,
    "lmms-eval": _lmms_eval,
    "vlmevalkit": _vlmevalkit,
}
