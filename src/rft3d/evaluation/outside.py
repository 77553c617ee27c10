"""Predictions of other programs: ours, lmms-eval's sample logs, VLMEvalKit's sheets, plain ``{id: text}``.

=============  =====================================================================================
``rft3d``      JSON lines ``{"id", "text", "truncated"?, "tokens"?}`` (docs/data.md)
``plain``      one JSON object ``{"id": "text", ...}``
``lmms-eval``  ``*samples_<task>*.jsonl`` of ``--log_samples`` (or older ``.json`` with ``"logs"``): the text
               is ``resps[0][0]``, before any filter; ``doc.id`` or ``doc_id`` names it
``vlmevalkit`` ``.xlsx`` or ``.tsv`` with a column ``prediction`` and ``id`` or ``index``
=============  =====================================================================================

A row finds its sample by the first of these that fits *all* rows: the sample's id; another name of it
(``meta.source_id``, ``meta.id``, the part of its id behind the last colon); its place in the file. Where rows
carry the right answer too, it must agree with the samples, and by place every row must: a shuffled file would
otherwise score as noise. None of the outside formats says whether an answer was cut off.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rft3d.evaluation.records import Prediction, read_predictions
from rft3d.tasks.samples import read_jsonl
from rft3d.tasks.types import Sample

PredictionFormat = Literal["auto", "rft3d", "plain", "lmms-eval", "vlmevalkit"]
MAX_SHEET_BYTES = 2_000_000_000
"""Unpacked size of a spreadsheet beyond which it is refused; a real one has a few MB."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a predictions file was read; part of every result.

    Attributes:
        format: which of the four.
        matched_by: ``id``, ``alias`` or ``place``.
        truth_mismatches: rows whose own right answer is not the sample's.
        empty: rows without a text; they count as missing predictions.
        truncation_known: whether the format can say that an answer was cut off.
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
class _Row:
    """One foreign prediction: the names it may go by, its place, its text, its right answer, its scene."""

    names: tuple[str, ...]
    place: int | None
    text: str | None
    truth: str | None = None
    about: str = ""
    where: str = ""


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
    if kind == "rft3d":
        predictions = read_predictions(path)
        rows = [_Row((p.id,), None, p.text, where=f"{path}: {p.id!r}") for p in predictions]
        matched, how = _match(path, rows, samples)
        renamed = [
            Prediction(identity, p.text, p.truncated, p.tokens)
            for identity, p in zip(matched, predictions, strict=True)
        ]
        return Loaded(renamed, Origin(kind, how, 0, 0, truncation_known=True))
    rows = list(_READERS[kind](path))
    if not rows:
        raise ValueError(f"{path}: no predictions in it (read as {kind})")
    matched, how = _match(path, rows, samples)
    mismatches = _truth_mismatches(rows, matched, samples)
    if mismatches and how == "place":
        raise ValueError(
            f"{mismatches[0]}; rows were matched by their place in the file, and {len(mismatches)} of "
            f"{len(rows)} disagree: the samples file has another order or version. Give rows ids"
        )
    kept = [
        Prediction(identity, row.text)
        for identity, row in zip(matched, rows, strict=True)
        if row.text is not None
    ]
    return Loaded(kept, Origin(kind, how, len(mismatches), len(rows) - len(kept), truncation_known=False))


def detect_format(path: Path) -> Literal["rft3d", "plain", "lmms-eval", "vlmevalkit"]:
    """By the file's name, and for JSON by its first object."""
    if path.suffix.lower() in (".xlsx", ".tsv"):
        return "vlmevalkit"
    if path.suffix.lower() == ".json":
        return "lmms-eval" if isinstance(_json_object(path).get("logs"), list) else "plain"
    for _, record in read_jsonl(path):
        return "lmms-eval" if "resps" in record or "filtered_resps" in record else "rft3d"
    return "rft3d"


def _plain(path: Path) -> Iterator[_Row]:
    for identity, text in _json_object(path).items():
        if not isinstance(text, str):
            raise ValueError(f"{path}: {identity!r} has {text!r}; a plain file maps ids to texts")
        yield _Row((identity,), None, text, where=f"{path}: {identity!r}")


def _lmms_eval(path: Path) -> Iterator[_Row]:
    if path.suffix.lower() == ".json":
        logs = _json_object(path).get("logs")
        if not isinstance(logs, list):
            raise ValueError(f'{path}: no list "logs"; an lmms-eval log written as one JSON has one')
        records: Iterable[tuple[int, Any]] = enumerate(logs, start=1)
    else:
        records = read_jsonl(path)
    for number, record in records:
        where = f"{path}:{number}"
        if not isinstance(record, dict):
            raise ValueError(f"{where}: {record!r} is no object; an lmms-eval log has one a sample")
        doc = record.get("doc")
        doc = doc if isinstance(doc, dict) else {}
        names = tuple(str(doc[key]) for key in ("id", "sample_id", "question_id") if key in doc)
        place = record.get("doc_id")
        if place is not None and (isinstance(place, bool) or not isinstance(place, int)):
            raise ValueError(f"{where}: field 'doc_id' must be a whole number, got {place!r}")
        target = record.get("target", doc.get("ground_truth"))
        yield _Row(
            names,
            place,
            _response(record, where),
            None if target is None else str(target),
            _about(doc),
            where,
        )


def _response(record: Mapping[str, Any], where: str) -> str:
    """The text before filters; nested lists hold one answer a repeat, of which the first counts."""
    value = record.get("resps", record.get("filtered_resps"))
    while isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str):
        raise ValueError(f"{where}: field 'resps' holds no text, got {record.get('resps')!r}")
    return value


def _about(doc: Mapping[str, Any]) -> str:
    """What names the scene: the first picture's path, or the scene itself."""
    images = doc.get("images")
    if isinstance(images, list) and images and isinstance(images[0], str):
        return images[0]
    return str(doc.get("scene_name", ""))


def _vlmevalkit(path: Path) -> Iterator[_Row]:
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
        text, truth = row.get("prediction"), row.get("answer")
        yield _Row(
            names,
            int(place) if place.isdecimal() else None,
            None if text is None else _cell(text),
            None if truth in (None, "") else _cell(truth),
            _cell(row.get("video", "")),
            f"{path}: row {number}",
        )


def _sheet(path: Path) -> Iterator[list[Any]]:
    import openpyxl  # lazy: the extra `sheets`

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_SHEET_BYTES:
            raise ValueError(f"{path}: unpacks to {size} bytes; that is no sheet of predictions")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = book.worksheets[0]
            for cells in sheet.iter_rows(values_only=True):
                yield list(cells)
        finally:
            book.close()
    except (zipfile.BadZipFile, KeyError, IndexError) as error:
        raise ValueError(f"{path}: not an Excel workbook ({error}); save it as .xlsx again") from None


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


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: not JSON ({error}); name it .jsonl when it has one object a line"
        ) from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must be one JSON object (id -> text), got {type(value).__name__}")
    return value


_READERS: dict[str, Callable[[Path], Iterator[_Row]]] = {
    "plain": _plain,
    "lmms-eval": _lmms_eval,
    "vlmevalkit": _vlmevalkit,
}


def _match(path: Path, rows: Sequence[_Row], samples: Sequence[Sample]) -> tuple[list[str], str]:
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
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for sample in samples:
        own = {str(sample.meta[key]) for key in ("source_id", "id") if key in sample.meta}
        own.add(sample.id.rsplit(":", 1)[-1])
        for name in own:
            counts[name] += 1
            names[name] = sample.id
    return {name: identity for name, identity in names.items() if counts[name] == 1}


def _truth_mismatches(rows: Sequence[_Row], matched: Sequence[str], samples: Sequence[Sample]) -> list[str]:
    by_id = {sample.id: sample for sample in samples}
    found = []
    for row, identity in zip(rows, matched, strict=True):
        sample = by_id.get(identity)
        if sample is None or row.truth is None or "answer" not in sample.truth:
            continue
        if not _same(row.truth, sample.truth["answer"]):
            found.append(
                f"{row.where} has answer {row.truth!r}, sample {identity!r} {sample.truth['answer']!r}"
            )
    return found


def _same(theirs: str, ours: object) -> bool:
    if theirs.strip().casefold() == str(ours).strip().casefold():
        return True
    try:
        return abs(float(theirs) - float(str(ours))) < 1e-9
    except ValueError:
        return False
