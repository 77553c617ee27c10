"""Samples as JSON lines: streaming, typed, written atomically (schema: ``docs/data.md``).

``write_samples("val.jsonl", samples)`` and ``for sample in read_samples("val.jsonl")``. One object a line,
so that a file can be read, counted and cut with ordinary tools. ``read_jsonl`` and ``write_jsonl`` are
the untyped halves, for other records of the same kind (predictions).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from rft3d.answers.boxes import label_fault
from rft3d.files import excerpt, replacing
from rft3d.prompts import IMAGE
from rft3d.tasks.spatial.questions import NUMERIC_TYPES
from rft3d.tasks.types import Sample
from rft3d.typed import Numbers, typed

_Box = Annotated[Any, Numbers((9,))]


@dataclass(frozen=True)
class _Row:
    label: str
    bbox_3d: _Box

    def __post_init__(self) -> None:
        if fault := label_fault(self.label):
            raise ValueError(fault)


@dataclass(frozen=True)
class _Detection:
    boxes: tuple[_Row, ...]


@dataclass(frozen=True)
class _Grounding:
    frame: int
    bbox_3d: _Box
    box_world: _Box | None = None
    T_world_camera: Annotated[Any, Numbers((-1, 4, 4))] | None = None

    def __post_init__(self) -> None:
        frames = None if self.T_world_camera is None else len(self.T_world_camera)
        if self.frame < 0 or (frames is not None and self.frame >= frames):
            raise ValueError(f"frame {self.frame} must be one of the {frames} of T_world_camera")


@dataclass(frozen=True)
class _Spatial:
    question_type: str
    answer: float | str
    options: tuple[str, ...] | None = None
    thought: str | None = None

    def __post_init__(self) -> None:
        letters = "ABCD"[: len(self.options or ())]
        if self.question_type in NUMERIC_TYPES and isinstance(self.answer, str):
            raise ValueError(f"answer {self.answer[:20]!r} must be a number for {self.question_type!r}")
        if self.question_type not in NUMERIC_TYPES and self.answer not in tuple(letters):
            raise ValueError(f"answer {str(self.answer)[:20]!r} must be one of the options' {letters!r}")


@dataclass(frozen=True)
class _Captioning:
    caption: str
    references: tuple[str, ...]
    iou: float
    box_world: _Box | None = None
    input_box_world: _Box | None = None

    def __post_init__(self) -> None:
        if not self.references:
            raise ValueError("references must be a list of descriptions, got none")


TRUTHS = {"detection": _Detection, "grounding": _Grounding, "spatial": _Spatial, "captioning": _Captioning}
"""By the name of a task; a task of your own needs none."""


def write_samples(path: str | Path, samples: Iterable[Sample]) -> int:
    """Write ``samples`` to ``path`` (replaced only when all of them are written); returns how many.

    Raises ``ValueError`` when two samples share an id or a truth holds something that is not JSON
    (numpy values, NaN), naming the sample.

    Examples:
        >>> write_samples("copy.jsonl", read_samples("samples.jsonl"))
        2
    """

    def lines() -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for sample in samples:
            if sample.id in seen:
                raise ValueError(f"two samples have id={sample.id!r}; ids must be unique in a samples file")
            seen.add(sample.id)
            yield asdict(sample)

    return write_jsonl(path, lines())


def read_samples(path: str | Path) -> Iterator[Sample]:
    """Samples of ``path`` in order, one line in memory at a time (ids are remembered to find repeats).

    Raises ``ValueError`` naming file, line, field, value and fix for the first line that isn't a sample.

    Examples:
        >>> next(read_samples("samples.jsonl")).id
        'rooms-0:detection:0'
    """
    seen: dict[str, int] = {}
    for number, record in read_jsonl(path):
        where = f"{path}:{number}"
        sample = sample_from_record(record, where)
        if sample.id in seen:
            first = seen[sample.id]
            raise ValueError(f"{where}.id is {sample.id!r}, already used on line {first}; rename one of them")
        seen[sample.id] = number
        yield sample


def sample_from_record(record: Mapping[str, Any], where: str = "sample") -> Sample:
    """The :class:`Sample` of one decoded JSON object; ``where`` opens every error message."""
    sample: Sample = typed(Sample, record, where)
    if sample.task in TRUTHS:
        typed(TRUTHS[sample.task], sample.truth, f"{where}: truth", extra=True)
    if (found := sample.prompt.count(IMAGE)) != len(sample.frames):
        raise ValueError(
            f"{where}.prompt is {excerpt(sample.prompt)}; it has {found} {IMAGE} but there are "
            f"{len(sample.frames)} frames; one per frame is needed"
        )
    return sample


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line number from 1, object)`` for every non-blank line of a UTF-8 file."""
    with Path(path).open("rb") as file:
        for number, raw in enumerate(file, start=1):
            where, needed = f"{path}:{number}", "one complete JSON object a line is needed"
            try:
                line = raw.decode("utf-8").strip()
                record: Any = json.loads(line) if line else {}
            except UnicodeDecodeError as error:
                raise ValueError(f"{where}: not UTF-8 text ({error.reason}); {needed}") from None
            except (ValueError, RecursionError) as error:
                said = excerpt(raw.decode("utf-8").strip())
                raise ValueError(f"{where}: not JSON ({error}): {said}; {needed}") from None
            if not isinstance(record, dict):
                raise ValueError(f"{where}: {excerpt(record)} is not an object; {needed}")
            if line:
                yield number, record


def write_jsonl(path: str | Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write one JSON object a line to a temporary neighbour, then rename it over ``path``."""
    path = Path(path)
    count = 0
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        for record in records:
            try:
                file.write(json.dumps(record, allow_nan=False) + "\n")
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}: record {record.get('id', count)!r} can't be written as JSON ({error}); "
                    "use plain str, int, finite float, list and dict"
                ) from None
            count += 1
    return count
