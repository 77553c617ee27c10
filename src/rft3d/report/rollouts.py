"""Rollout groups of a run as JSON values for the page's inspector.

Reads ``stages/<stage>/rollouts.jsonl``, one group a line, as far as it can be read: a run killed while
writing leaves half a line, and a line that had to be short may lack anything but its completions. Truth comes
with the line, or else from a samples file that knows the sample; procedural rooms are drawn again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.answers import parse_detections, parse_frame_box
from rft3d.answers.types import ParseFailure
from rft3d.evaluation.records import with_cameras
from rft3d.report.samples import KnownQuestion, ShownAnswer, ShownQuestion
from rft3d.report.scene_facts import room_config
from rft3d.runfolder import ROLLOUTS, LoggedCompletion, LoggedGroup, read_lines, records_of
from rft3d.scenes.sources import ROOM_REF, drawn_room
from rft3d.tasks import TASKS, make_task
from rft3d.tasks.samples import read_samples, sample_from_record
from rft3d.tasks.types import Sample, Task

MOST_GROUPS = 2000
"""At most so many groups of a run are read, evenly spread over it; the page keeps as many as fit."""


@dataclass
class KnownSamples:
    """Where the truth, the cameras and the pictures of a run's rollouts come from."""

    root: Path
    config: Any
    shown: Mapping[str, tuple[Sample, Path]]
    """samples that the report reads anyway, by id, with the folder that their frames are relative to"""

    def find(self, group: LoggedGroup) -> tuple[Sample, Path] | None:
        """The sample that ``group`` answered, and the folder that its frames are relative to."""
        name = group.sample_id
        known = self.shown.get(name) or self._from_recipe.get(name)
        if known is not None and group.prompt in ("", known[0].prompt):
            return known
        if not group.truth:
            return None
        record = {"id": name, "task": group.task, "scene": group.scene_id, "frames": list(group.frames)}
        record |= {"prompt": group.prompt, "truth": group.truth, "meta": group.meta}
        try:
            return self._posed(sample_from_record(record)), self._frames_folder(group.frames)
        except ValueError:
            return None  # cut down to fit its line: the group is shown without truth

    def _posed(self, sample: Sample) -> Sample:
        """``sample`` with the cameras of the procedural room that its frames name, if it has none."""
        seeds = {match[1] for ref in sample.frames if (match := ROOM_REF.fullmatch(ref))}
        if "T_world_camera" in sample.meta or len(seeds) != 1:
            return sample
        seed = seeds.pop()
        room = drawn_room(int(seed), room_config(self.config))
        refs = [f"rooms:{seed}/{k}" for k in range(len(room.frames))]
        return with_cameras(sample, room, refs) if set(sample.frames) <= set(refs) else sample

    def _frames_folder(self, frames: Sequence[str]) -> Path:
        """Relative frames of a rollout are relative to its samples file: a recipe's config names those."""
        if frames and not frames[0].startswith("rooms:"):
            for path in self._recipe_files():
                if (path.parent / frames[0]).is_file():
                    return path.parent
        return self.root

    def _recipe_files(self) -> list[Path]:
        named = self.config.get("samples") if isinstance(self.config, dict) else None
        paths = [Path(str(text)) for text in (named.values() if isinstance(named, dict) else ())]
        return [place for path in paths for place in (path, self.root / path) if place.is_file()]

    @cached_property
    def _from_recipe(self) -> dict[str, tuple[Sample, Path]]:
        return {s.id: (s, f.parent) for f in self._recipe_files() for s in read_samples(f)}


def read_groups(root: Path, notes: list[str]) -> list[tuple[str, LoggedGroup]]:
    """The groups of all stages of run ``root`` with their stage's name, in the order of stages and steps."""
    groups: list[tuple[str, LoggedGroup]] = []
    for folder in sorted((root / "stages").glob("*/")):
        path = folder / ROLLOUTS
        lines = read_lines(path)
        where = f"stages/{folder.name}/{path.name}"
        if len(lines) > MOST_GROUPS:
            notes.append(f"{where}: {MOST_GROUPS} of {len(lines)} groups, evenly spread, are read")
            lines = [lines[i] for i in np.linspace(0, len(lines) - 1, MOST_GROUPS).round().astype(int)]
        read, skipped = records_of(LoggedGroup, lines)
        if skipped:
            notes.append(f"{where}: {skipped} unreadable lines were skipped")
        groups += [(folder.name, group) for group in read]
    return groups


def group_view(
    stage: str, group: LoggedGroup, known: KnownSamples
) -> tuple[ShownQuestion, tuple[Sample, Path] | None]:
    """One group for the page, and its sample when it could be found."""
    found = known.find(group)
    bare = Sample(group.sample_id, group.task, group.scene_id, (), group.prompt, {})
    sample = found[0] if found else bare
    task = make_task(sample.task) if found is not None and sample.task in TASKS else None
    try:
        question = KnownQuestion(sample, task)
    except (KeyError, TypeError, ValueError) as error:  # a rollout's truth is as untrusted as its text
        question = KnownQuestion(sample, None)
        question.gold = f"(the truth cannot be read: {type(error).__name__} {error})"
    view = replace(
        question.shown(),
        answers=tuple(_answer(made, group.task, question, task) for made in group.completions),
        step=group.step,
        stage=stage,
        task=group.task,
        seed=group.seed,
    )
    missing = "Its sample was not found, so no truth and no cameras are known."
    return view if found else replace(view, note=missing), found


def _answer(made: LoggedCompletion, name: str, question: KnownQuestion, task: Task | None) -> ShownAnswer:
    if task is not None:
        parsed: object = task.parse(made.text, question.sample)
    else:
        read = {"grounding": parse_frame_box, "detection": parse_detections}.get(name, str.strip)
        parsed = read(made.text)
    failure = made.parse_failure or None
    if isinstance(parsed, ParseFailure) and failure is None:
        failure = f"{parsed.reason} {parsed.excerpt}".strip()
    return question.answer(replace(made, parse_failure=failure), parsed)


def group_facts(view: ShownQuestion) -> dict[str, Any]:
    """What the inspector sorts and filters by."""
    answers = [made for made in view.answers if made is not None]
    totals = [made.total for made in answers if made.total is not None]
    advantages = [abs(made.advantage) for made in answers if made.advantage is not None]
    return {
        "stage": view.stage,
        "step": view.step,
        "task": view.task,
        "id": view.id,
        "size": len(answers),
        "mean": round(float(np.mean(totals)), 4) if totals else None,
        "low": min(totals, default=None),
        "high": max(totals, default=None),
        # equal totals give every completion the advantage 0: nothing is learnt from the group
        "zero": bool(totals) and max(totals) - min(totals) < 1e-9,
        "failures": sum(made.parse_failure is not None for made in answers),
        "truncated": sum(made.truncated for made in answers),
        "advantage": max(advantages, default=None),
    }


def spread(count: int) -> list[int]:
    """0 ... count - 1 so ordered that every beginning is spread over the whole: halves, quarters, eighths."""
    order: dict[int, None] = {0: None, count - 1: None} if count else {}
    pieces = 2
    while len(order) < count:
        order |= {round(k * (count - 1) / pieces): None for k in range(1, pieces)}
        pieces *= 2
    return list(order)[:count]
