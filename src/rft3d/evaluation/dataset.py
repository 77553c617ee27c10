"""Scenes to a folder of questions: pictures, scene folders and one samples file a task.

    OUT/scenes/<scene>/scene.json, rgb/*.png ...    scene folders; samples name their pictures relative to OUT
    OUT/samples.<task>.jsonl                        one line a question (docs/data.md)

The samples carry their cameras in ``meta``, so that a report can draw boxes from the files alone. A clip is
long and a question shows few frames of it: :class:`OnCuts` asks a task about cuts of a scene, and only what
boxes alone can answer (:data:`BOX_QUESTIONS`). :func:`world_of_model` knows the rooms that a model was trained on,
and how it was asked about them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rft3d.evaluation.records import with_cameras
from rft3d.files import model_folder, read_json, replacing
from rft3d.locks import only_writer
from rft3d.rewards import Comparison, Placement
from rft3d.scenes.folder import read_scene, write_scene
from rft3d.scenes.rooms import RoomConfig, read_room_config
from rft3d.scenes.types import Scene
from rft3d.scenes.windows import select_frames, sliding_windows, spread_frames
from rft3d.settings import Checked, Count
from rft3d.tasks import TASKS, make_task
from rft3d.tasks.samples import write_samples
from rft3d.tasks.spatial.questions import QUESTION_TYPES
from rft3d.tasks.types import Sample, Task


def write_dataset(
    scenes: Iterable[Scene],
    out: str | Path,
    *,
    tasks: Mapping[str, "Task | OnCuts"] | None = None,
    seed: int = 0,
    with_depth: bool = True,
    file_name: str = "samples.{task}.jsonl",
) -> dict[str, int]:
    """Write every task's questions about ``scenes`` and their pictures into the new folder ``out``.

    Args:
        scenes: read once, one in memory at a time.
        out: must not exist yet, or be empty; it appears complete or not at all.
        tasks: by name; every task of ``TASKS`` with its defaults when None.
        seed: which questions are drawn of the first scene; counted up from scene to scene.
        with_depth: write depth and instance pictures too.
        file_name: of the samples files.

    Returns:
        How many samples of each task were written.

    Raises:
        FileExistsError: ``out`` has something in it.
        InUse: another process writes it.
        ValueError: a scene id that can't name a folder, or that two scenes share.

    Examples:
        >>> write_dataset(iter_rooms(range(2)), "fresh")["detection"]
        2
    """
    out = Path(out)
    chosen = {name: make_task(name) for name in TASKS} if tasks is None else tasks
    with only_writer(out), replacing(out) as staging:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FileExistsError(f"{out} exists and is not an empty folder; choose another one")
        samples: dict[str, list[Sample]] = {name: [] for name in chosen}
        for number, scene in enumerate(scenes):
            refs = _write_scene(scene, staging, with_depth)
            for name, task in chosen.items():
                # a seed a scene: with the same one every scene would be asked about the same places of its lists
                made = task.samples(scene, refs, seed + number)
                samples[name] += [with_cameras(s, scene, refs) for s in made]
        staging.mkdir(exist_ok=True)
        for name, made in samples.items():
            write_samples(staging / file_name.format(task=name), made)
    return {name: len(made) for name, made in samples.items()}


def _write_scene(scene: Scene, root: Path, with_depth: bool) -> tuple[str, ...]:
    """Write the scene folder and return the references to its frames."""
    if not with_depth:
        frames = tuple(replace(frame, depth=None, instances=None) for frame in scene.frames)
        scene = replace(scene, frames=frames)
    target = root / "scenes" / scene.id
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", scene.id):
        raise ValueError(f"scene id {scene.id!r} can't name a folder; use letters, digits, _ . -")
    if target.exists():
        raise ValueError(f"two scenes have id {scene.id!r}; ids must be unique in a data set")
    folder = write_scene(scene, target)
    # as a scene that is read from its folder, so that the frames are named by their files
    return tuple(
        Path(frame.rgb).resolve().relative_to(root.resolve()).as_posix()
        for frame in read_scene(folder).frames
        if isinstance(frame.rgb, Path)
    )


def room_config_of(model: str | Path) -> RoomConfig | None:
    """The rooms of ``model``; None when it was not trained on our rooms."""
    file = model_folder(model) / "world.json"
    return read_room_config(file) if file.is_file() else None


def world_of_model(model: str | Path) -> tuple[RoomConfig, dict[str, Task]]:
    """The rooms of ``model`` (a shipped name or a folder) and the tasks with the options it was trained with.

    Needs no torch.

    Raises:
        FileNotFoundError: no such model, or one that was not trained on rooms of its own world.
        ValueError: a damaged ``world.json`` or ``rft3d_policy.json``.
    """
    folder = model_folder(model)
    if not folder.is_dir():
        raise FileNotFoundError(f"no model folder: {folder}; give a shipped model, such as rooms")
    for name in ("world.json", "rft3d_policy.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}; give a shipped model, such as rooms")
    options = read_json(folder / "rft3d_policy.json")["task_options"]
    tasks = {name: make_task(name, options=options[name]) for name in TASKS if name in options}
    return read_room_config(folder / "world.json"), tasks


BOX_QUESTIONS = tuple(
    kind for kind in QUESTION_TYPES if kind not in ("route_planning", "obj_appearance_order")
)
"""What labelled boxes can answer. A route needs to know walls and everything that stands in the way; an order
of appearance needs visibility down to the first glimpse. A real clip's labels hold neither."""


@dataclass(frozen=True)
class ClipConfig(Checked):
    """Which frames of a clip the questions show.

    Attributes:
        frames: of every question. 4 is official for detection and what the demo's model saw; grounding and
            spatial questions officially show 32.
        stride: clip frames from one frame of a detection window to the next.
        windows: at most so many detection windows of a scene (official validation: 10).
        questions: at most so many spatial questions of a type and scene.
    """

    frames: Count = 4
    stride: Count = 1
    windows: Count = 10
    questions: Count = 6


@dataclass(frozen=True)
class OnCuts:
    """``task``'s samples about each of ``cuts(scene)``; a sample's ``scene`` stays the whole scene's id."""

    task: Task
    cuts: Callable[[Scene], Sequence[Scene]]

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """As a task's own ``samples``; ``frame_refs[i]`` names ``scene.frames[i]``."""
        by_name = {frame.name: ref for frame, ref in zip(scene.frames, frame_refs, strict=True)}
        return [
            # cuts of one clip are not independent: intervals must not count them as scenes
            replace(sample, scene=scene.id)
            for cut in self.cuts(scene)
            for sample in self.task.samples(cut, [by_name[frame.name] for frame in cut.frames], seed)
        ]


def clip_questions(config: ClipConfig = ClipConfig()) -> dict[str, OnCuts]:
    """What :func:`rft3d.evaluation.write_dataset` needs as ``tasks`` to ask about clips.

    detection: windows of neighbouring frames that show an object. grounding: frames spread over the clip,
    each description's best frame among them. Every other task: frames spread over the clip.
    """
    options = {"spatial": {"types": BOX_QUESTIONS, "max_per_type": config.questions}}

    def windows(scene: Scene) -> list[Scene]:
        indices = sliding_windows(scene, config.frames, config.stride, config.windows)
        return [select_frames(scene, w, f"{scene.id}-from-{scene.frames[w[0]].name}") for w in indices]

    def spread(scene: Scene) -> list[Scene]:
        return [select_frames(scene, spread_frames(scene, config.frames))]

    cuts = {"detection": windows, "grounding": partial(_one_a_description, config)}
    return {name: OnCuts(make_task(name, None, options.get(name)), cuts.get(name, spread)) for name in TASKS}


def _one_a_description(config: ClipConfig, scene: Scene) -> list[Scene]:
    cuts = []
    for index, expression in enumerate(scene.expressions):
        # the whole clip is cut once, so that a missing best frame is filled in by the same rule
        alone = select_frames(replace(scene, expressions=(expression,)), range(len(scene.frames)))
        for known in alone.expressions:  # none when no frame shows the target
            indices = spread_frames(alone, config.frames, known.best_frame)
            cuts.append(select_frames(alone, indices, f"{scene.id}-text-{index:03d}"))
    return cuts


@dataclass(frozen=True)
class GoldCheck:
    """Gold answers, scored: ``full`` of ``samples`` earn every part but IoU, which rounding lowers. ``least_iou``:
    of any box in a gold answer with its true box; None where answers have no boxes."""

    samples: int
    full: int
    least_iou: float | None


def check_gold(task: Task, samples: Sequence[Sample]) -> GoldCheck:
    """Render, read back and score the gold answer of every sample."""
    full, ious = 0, []
    for sample in samples:
        score = task.score(task.gold(sample), sample)
        full += all(part.value == 1.0 for part in score.parts if not part.name.endswith("iou"))
        if isinstance(score.evidence, Placement):
            ious.append(score.evidence.iou)
        elif isinstance(score.evidence, Comparison):
            ious += [iou for iou, _ in score.evidence.assigned]
    return GoldCheck(len(samples), full, min(ious) if ious else None)
