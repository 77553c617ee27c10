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

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rft3d.evaluation.outside_formats import READERS, Foreign, PredictionFormat, detect_format
from rft3d.evaluation.records import Prediction
from rft3d.tasks.types import Sample


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
