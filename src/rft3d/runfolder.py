"""The run folder: who writes what where, and its lines of JSON. Imports nothing of ours but ``files``.

::

    RUN/config.json  defaults.json  env.json       settings, what they would be unchanged, versions and commit
        titles.json                                :class:`Titles`: what models are called, in the table's order
        stages.json                                facts of every finished stage, in the order they ended
        stages/<stage>/stage.json  done.json       how many steps there will be; facts once it is finished
        stages/<stage>/metrics.jsonl               one object a step
        stages/<stage>/rollouts.jsonl              one :class:`LoggedGroup` a line
        stages/<stage>/alarms.jsonl                one :class:`Alarm` a line
        models/<model>/                            policies
        eval/<task>.samples.jsonl                  questions
        eval/<model>/<task>.predictions.jsonl      answers; .scores.json: numbers

A run that is killed while writing leaves half a line, and one that is watched may be read in the middle of one:
readers take whole lines and say how many they skipped.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rft3d import files
from rft3d.typed import is_number, typed

Record = TypeVar("Record")
METRICS, ROLLOUTS, ALARMS, DONE = "metrics.jsonl", "rollouts.jsonl", "alarms.jsonl", "done.json"

SIGNALS: Mapping[str, tuple[str, float | None]] = {
    "boxes_per_truth": ("boxes per true one", 1.0),
    "duplicates": ("repeated boxes (share)", 0.0),
    "box_volume_m3": ("", None),
    "volume_per_truth": ("box volume over true", 1.0),
    "precision": ("precision at the task's IoU", None),
    "recall": ("recall at the task's IoU", None),
    "same_answer": ("commonest answer (share)", None),
    "same_truth": ("", None),
}
"""What is watched of rollouts (``watch/<signal>/<task>`` in ``metrics.jsonl``): the title under which the report
draws it (empty: it does not), and where an honest policy stands (None: no such place)."""


@dataclass(frozen=True)
class Alarm:
    """One line of ``alarms.jsonl``: an alarm was raised (``on``) or dropped at ``step``."""

    step: int
    alarm: str
    task: str
    on: bool
    since: int
    title: str = ""
    saw: str = ""
    advice: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoggedPart:
    """One part of a completion's reward."""

    name: str = "?"
    value: float | None = None
    weight: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class LoggedCompletion:
    """One sampled answer; ``advantage``: the mean over its tokens."""

    text: str = ""
    tokens: int | None = None
    truncated: bool = False
    parts: tuple[LoggedPart, ...] = ()
    total: float | None = None
    advantage: float | None = None
    parse_failure: str | None = None


@dataclass(frozen=True)
class LoggedGroup:
    """One line of ``rollouts.jsonl``: a sample (fields of :class:`rft3d.tasks.Sample`) and its completions."""

    step: float | None = None
    task: str = "?"
    sample_id: str = "?"
    scene_id: str = "?"
    frames: tuple[str, ...] = ()
    prompt: str = ""
    truth: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    seed: float | None = None
    completions: tuple[LoggedCompletion, ...] = field(kw_only=True)


@dataclass(frozen=True)
class Titles:
    """``titles.json``: display names by model in the table's order; the model that others are compared with."""

    titles: Mapping[str, str] = field(default_factory=dict)
    baseline: str = ""

    def of(self, model: str) -> str:
        """The display name; models that the run did not name have their folder's."""
        return self.titles.get(model, model)

    def order(self, model: str) -> tuple[int, str]:
        """Sort key: named models first, as they are named, then the others by name."""
        known = list(self.titles)
        return (known.index(model) if model in known else len(known), model)


def write_titles(root: Path, titles: Titles) -> None:
    """Write ``root/titles.json``."""
    files.write_json(root / "titles.json", titles)


def read_titles(root: Path) -> Titles:
    """``root/titles.json``; without titles where it is missing or damaged."""
    try:
        return typed(Titles, files.read_json(root / "titles.json"), "titles.json", extra=True)
    except (OSError, ValueError):
        return Titles()


def append_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append one line of JSON for each of ``records``."""
    append_lines(path, (json.dumps(record) + "\n" for record in records))


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append ``lines``, each with its line break; without one the file is not opened."""
    if text := "".join(lines):
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def read_lines(path: Path, last_bytes: int = 0) -> list[bytes]:
    """The lines of a file that may still grow, empty ones left out; none when it is not there. ``last_bytes``:
    only the whole lines in so much of its end; 0: all."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - last_bytes) if last_bytes else 0
        file.seek(start)
        lines = file.read().split(b"\n")
    return [line for line in lines[start > 0 :] if line.strip()]


def read_records(path: Path, last_bytes: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The objects of :func:`read_lines`, and how many lines are none."""
    return parse_records(read_lines(path, last_bytes))


def parse_records(lines: Sequence[bytes]) -> tuple[list[dict[str, Any]], int]:
    """The objects that ``lines`` hold, and how many of them hold none."""
    found = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            found.append(record)
    return found, len(lines) - len(found)


def drop_after(path: Path, step: int) -> set[int]:
    """Keep the records of a JSONL file up to ``step`` (0: none), so that a resumed run logs each step once.
    Returns the steps that have records."""
    read = read_records(path)[0] if step else []
    kept = [record for record in read if is_number(record.get("step")) and record["step"] <= step]
    files.write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
    return {record["step"] for record in kept}


def records_of(kind: type[Record], lines: Sequence[bytes]) -> tuple[list[Record], int]:
    """What ``lines`` hold of a kind (:class:`Alarm`, :class:`LoggedGroup`), and how many could not be read."""
    found: list[Record] = []
    for record in parse_records(lines)[0]:
        with contextlib.suppress(ValueError):
            found.append(typed(kind, record, "", extra=True))
    return found, len(lines) - len(found)


def logged_sum(stage: Path, key: str) -> float:
    """Sum of ``key`` over the steps of a stage folder, over all interruptions."""
    found = (row.get(key, 0.0) for row in read_records(stage / METRICS)[0])
    return round(sum(each for each in found if is_number(each)), 2)
