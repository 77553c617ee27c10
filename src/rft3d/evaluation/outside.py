"""Predictions of other programs: ours, lmms-eval's sample logs, VLMEvalKit's sheets, plain ``{id: text}``.

=============  =====================================================================================
``rft3d``      JSON lines ``{"id", "text", "truncated"?, "tokens"?}`` (docs/data.md)
``plain``      one JSON object ``{"id": "text", ...}`` or a list of records; texts may be JSON values
``lmms-eval``  ``*samples_<task>*.jsonl`` of ``--log_samples`` (or older ``.json`` with ``"logs"``): the text
               is ``resps[0][0]``, before any filter; ``doc.id`` or ``doc_id`` names it
``vlmevalkit`` ``.xlsx`` or ``.tsv`` with a column ``prediction`` and ``id`` or ``index``
=============  =====================================================================================

A row finds its sample by the first of these that fits *all* rows: the sample's id; another name of it
(``meta.source_id``, ``meta.id``, the part of its id behind the last colon); its place in the file. Where rows
carry the right answer too, it must agree with the samples, and by place every row must: a shuffled file would
otherwise score as noise. None of the outside formats says whether an answer was cut off.
"""

import contextlib
import csv
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from rft3d.evaluation.records import ID_FIELDS, SHAPES, Prediction, agree, prediction_of, read_predictions
from rft3d.files import blaming, excerpt, read_json
from rft3d.tasks.samples import read_jsonl
from rft3d.tasks.types import Sample

PredictionFormat = Literal["auto", "rft3d", "plain", "lmms-eval", "vlmevalkit"]
MAX_SHEET_BYTES, MAX_SHEET_ROWS, MAX_SHEET_COLUMNS = 200_000_000, 200_000, 256
"""Unpacked size and shape of a spreadsheet beyond which it is refused; a real one has a few MB."""


_NO_WORKBOOK = (
    zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, zlib.error, EOFError,
    ElementTree.ParseError, OSError, NotImplementedError, RuntimeError,  # the last two: unknown packing
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """How a predictions file was read; part of every result.

    ``matched_by``: ``id``, ``alias`` or ``place``. ``truth_mismatches``: rows whose own right answer is not the
    sample's; ``empty``: rows without a text, which count as missing. ``truncation_known``: the format can say what
    was cut off.
    """

    format: str
    matched_by: str
    truth_mismatches: int
    empty: int
    truncation_known: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """Predictions under the samples' ids, in file order."""

    predictions: list[Prediction]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Foreign:
    """One row of a file: its possible ids, index, text, right answer, scene, and its place for messages."""

    names: tuple[str, ...]
    place: int | None
    text: str | None
    truth: str | None = None
    about: str = ""
    where: str = ""
    truncated: bool = False
    tokens: int | None = None


def load_predictions(
    path: str | Path, samples: Sequence[Sample], format: PredictionFormat = "auto"
) -> Loaded:
    """The predictions in ``path`` under the ids of ``samples``.

    Raises:
        ValueError: naming file, row and field; rows that can't be matched; right answers that disagree.
        ModuleNotFoundError: an ``.xlsx`` without openpyxl (the extra ``sheets``).
    """
    path = Path(path)
    kind = detect_format(path) if format == "auto" else format
    rows = list(READERS[kind](path))
    if not rows and kind != "rft3d":
        raise ValueError(f"{path}: no predictions in it (read as {kind})")
    matched, how = _match(path, rows, samples)
    mismatches = _truth_mismatches(rows, matched, samples)
    if mismatches and how == "place":
        raise ValueError(
            f"{mismatches[0]}; rows were matched by their place in the file, and {len(mismatches)} of "
            f"{len(rows)} disagree: the samples file has another order or version. Give rows ids"
        )
    kept = [
        Prediction(identity, row.text, row.truncated, row.tokens)
        for identity, row in zip(matched, rows, strict=True)
        if row.text is not None
    ]
    return Loaded(kept, Origin(kind, how, len(mismatches), len(rows) - len(kept), kind == "rft3d"))


def _match(path: Path, rows: Sequence[Foreign], samples: Sequence[Sample]) -> tuple[list[str], str]:
    """The sample id of every row, and by what they were found."""
    ids = {sample.id for sample in samples}
    if not rows or any(name in ids for row in rows for name in row.names):
        # some fit: whatever does not is named by score_predictions as unknown
        return [next((n for n in row.names if n in ids), (row.names or ("?",))[0]) for row in rows], "id"
    known = _aliases(samples)
    found = [next((known[name] for name in row.names if name in known), None) for row in rows]
    if all(identity is not None for identity in found):
        return [identity for identity in found if identity is not None], "alias"
    places = [row.place for row in rows]
    if all(place is not None and 0 <= place < len(samples) for place in places):
        by_place = [samples[place].id for place in places if place is not None]
        for row, place in zip(rows, places, strict=True):
            scene = samples[place or 0].scene.split("/")[-1]
            if row.about and scene not in row.about:
                raise ValueError(
                    f"{row.where} is about {row.about!r}, but the sample in its place is of scene {scene!r}; "
                    "the samples file has another order. Give rows ids"
                )
        return by_place, "place"
    return [row.names[0] if row.names else f"{path.name} place {row.place}" for row in rows], "id"


def _aliases(samples: Sequence[Sample]) -> dict[str, str]:
    """Other names of samples that are unique in the file -> their ids."""
    pairs: list[tuple[str, str]] = []
    for sample in samples:
        own = {str(sample.meta[key]) for key in ("source_id", "id") if key in sample.meta}
        pairs += [(name, sample.id) for name in own | {sample.id.rsplit(":", 1)[-1]}]
    counts = Counter(name for name, _ in pairs)
    return {name: identity for name, identity in pairs if counts[name] == 1}


def _truth_mismatches(
    rows: Sequence[Foreign], matched: Sequence[str], samples: Sequence[Sample]
) -> list[str]:
    by_id = {sample.id: sample for sample in samples}
    found = []
    for row, identity in zip(rows, matched, strict=True):
        sample = by_id.get(identity)
        if sample is None or row.truth is None or "answer" not in sample.truth:
            continue
        ours = sample.truth["answer"]
        if not agree(row.truth, str(ours)):
            found.append(f"{row.where} has answer {row.truth!r}, sample {identity!r} {ours!r}")
    return found


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


def _own(p: Prediction, where: str) -> Foreign:
    return Foreign((p.id,), None, p.text, where=where, truncated=p.truncated, tokens=p.tokens)


def _plain(path: Path) -> Iterator[Foreign]:
    value = _json_value(path)
    rows: Iterable[tuple[Any, Any]] = enumerate(value)
    if isinstance(value, dict):
        readable = (str, list, dict)
        rows = ((k, {"id": k, "text": v} if isinstance(v, readable) else v) for k, v in value.items())
    for place, record in rows:
        where = f"{path}[{excerpt(place)}]"
        if not isinstance(record, dict):
            raise ValueError(f"{where}: {excerpt(record)} is not an object; {SHAPES}")
        yield _own(prediction_of(record, where), where)


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
        names = tuple(str(doc[key]) for key in ID_FIELDS if isinstance(doc.get(key), str | int))
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
    "rft3d": lambda path: (_own(p, f"{path}: {p.id!r}") for p in read_predictions(path)),
    "plain": _plain,
    "lmms-eval": _lmms_eval,
    "vlmevalkit": _vlmevalkit,
}
