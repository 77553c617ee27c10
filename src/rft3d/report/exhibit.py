"""One thing to look at in 3D: pictures with cameras, true boxes and every model's boxes, all in the world.

What the exports (overlay pictures, rerun) share, whatever it comes from: a run folder's questions and
answers, a scene folder, or a procedural room ``rooms:<seed>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.evaluation.predict import load_frames
from rft3d.evaluation.records import Prediction
from rft3d.geometry import backproject, transform_boxes, transform_points
from rft3d.report.run_folder import NothingToReport, RunFolder, TaskRuns, read_run_folder
from rft3d.report.samples import (
    Cameras,
    NamedBoxes,
    answer_view,
    first_camera_boxes,
    read_cameras,
    true_boxes,
)
from rft3d.scenes.images import load_depth, load_rgb
from rft3d.scenes.sources import open_scenes, scene_folders
from rft3d.scenes.types import Scene
from rft3d.tasks.types import Sample


@dataclass(frozen=True, eq=False)
class ShownBox:
    """A ``(9,)`` box in the world; ``iou`` and ``hit`` are known for predictions that have a truth."""

    label: str
    box: NDArray[np.float64]
    iou: float | None = None
    hit: bool | None = None

    @property
    def tag(self) -> str:
        """The label, with the IoU where there is one."""
        return self.label if self.iou is None else f"{self.label} {self.iou:.2f}"


@dataclass(frozen=True, eq=False)
class Exhibit:
    """Pictures, their cameras and the boxes in them.

    Attributes:
        pictures: ``(H, W, 3)`` uint8 each.
        K, T_world_camera: ``(F, 3, 3)`` and ``(F, 4, 4)``, one a picture.
        true: true boxes; None where the answer has no boxes.
        predicted: display name of a model -> its boxes.
        texts: display name of a model -> its answer as written.
        depth: ``(H, W)`` float32 metres each, 0 unknown; empty when there is none.
    """

    id: str
    task: str
    pictures: Sequence[NDArray[np.uint8]]
    K: NDArray[np.float64]
    T_world_camera: NDArray[np.float64]
    true: Sequence[ShownBox] | None
    predicted: Mapping[str, Sequence[ShownBox]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    prompt: str = ""
    depth: Sequence[NDArray[np.float32]] = ()

    def points(self, per_frame: int = 20_000) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """World points ``(P, 3)`` of the known depth and their colours, at most ``per_frame`` a picture."""
        places: list[NDArray[np.float64]] = [np.zeros((0, 3))]
        colours: list[NDArray[np.uint8]] = [np.zeros((0, 3), np.uint8)]
        for picture, depth, K, T in zip(self.pictures, self.depth, self.K, self.T_world_camera, strict=False):
            step = max(1, int(np.ceil(np.sqrt(depth.size / per_frame))))
            known = (depth > 0)[::step, ::step]
            places.append(transform_points(T, backproject(depth, K)[::step, ::step][known]))
            colours.append(picture[::step, ::step][known])
        return np.concatenate(places), np.concatenate(colours)


def exhibits(
    source: str | Path,
    *,
    tasks: Sequence[str] = (),
    models: Sequence[str] = (),
    ids: Sequence[str] = (),
    limit: int = 8,
    pictures: str | Path | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[Exhibit]:
    """What ``source`` has to show: a run folder, or anything that :func:`rft3d.scenes.open_scenes` opens.

    Args:
        tasks, models, ids: only these (model folders by name); all when empty.
        limit: at most so many questions of each task, evenly spaced over the file, or so many scenes.
        pictures: a folder besides the run's own that a question's pictures may be taken from.
        say: told the number and name of each before it is read.

    Raises:
        ValueError: nothing to show, or an unknown task, model or id.
    """
    where = Path(source)
    run = None
    if where.is_dir() and not (where / "scene.json").is_file():
        try:
            run = read_run_folder(source, resamples=1)
        except NothingToReport:
            if not scene_folders(where):
                raise
    if run is None:
        for number, scene in enumerate(islice(open_scenes(source), limit), 1):
            say(f"{number}: {scene.id}")
            yield of_scene(scene)
        return
    _check(run, tasks, models, ids)
    inside = [run.root, *([] if pictures is None else [Path(pictures)])]
    wanted = [
        (task, index, cameras)
        for task in run.tasks
        if not tasks or task.name in tasks
        for index in _chosen(task, ids, limit)
        if (cameras := read_cameras(task.samples[index])[0]) is not None
    ]
    for number, (task, index, cameras) in enumerate(wanted, 1):
        say(f"{number} of {len(wanted)}: {task.samples[index].id}")
        yield of_sample(task, index, cameras, inside, models)
    if not wanted:
        raise ValueError(
            f"{source} has nothing to show: no question has pictures and cameras (meta 'intrinsics' and "
            "'T_world_camera'; rft3d rooms and rft3d samples write them)"
        )


def of_scene(scene: Scene) -> Exhibit:
    """A scene with its own labels as the truth."""
    depth = (
        [load_depth(frame) for frame in scene.frames]
        if all(f.depth is not None for f in scene.frames)
        else []
    )
    return Exhibit(
        id=scene.id,
        task="scene",
        pictures=[load_rgb(frame) for frame in scene.frames],
        K=np.stack([frame.intrinsics for frame in scene.frames]),
        T_world_camera=np.stack([frame.T_world_camera for frame in scene.frames]),
        true=[ShownBox(thing.label, np.asarray(thing.box)) for thing in scene.objects],
        depth=depth,
    )


def _chosen(task: TaskRuns, ids: Sequence[str], limit: int) -> list[int]:
    indices = [i for i, s in enumerate(task.samples) if not ids or s.id in ids]
    if not ids and len(indices) > limit:
        indices = [indices[i] for i in np.linspace(0, len(indices) - 1, limit).round().astype(int)]
    return indices


def of_sample(
    task: TaskRuns, index: int, cameras: Cameras, inside: Sequence[Path], models: Sequence[str] = ()
) -> Exhibit:
    """Question ``index`` of ``task``, pictures from ``inside``, with the answers of ``models`` (all when empty)."""
    sample = task.samples[index]
    true = true_boxes(task.runs[0].scored.task, sample, cameras)[1] if task.runs else None
    predicted: dict[str, Sequence[ShownBox]] = {}
    texts: dict[str, str] = {}
    for run in task.runs:
        if models and run.name not in models:
            continue
        answer = run.predictions.get(sample.id, Prediction(sample.id, ""))
        parsed = run.scored.task.parse(answer.text, sample)
        facts = answer_view(parsed, sample, true, cameras)["boxes"]
        predicted[run.title] = _shown(first_camera_boxes(parsed, cameras)[0], cameras, facts)
        texts[run.title] = answer.text
    shown = None if true is None else _shown(true, cameras)
    pictures = load_frames(sample, task.folder, inside)
    return _exhibit(sample, pictures, cameras, shown, predicted, texts)


def answered(
    sample: Sample, parsed: object, gold: object, pictures: Sequence[NDArray[np.uint8]]
) -> Exhibit | None:
    """One answer to ``sample``, both read by its task; None when the sample has no cameras to draw with."""
    cameras, _ = read_cameras(sample)
    if cameras is None:
        return None
    true, said = (_shown(first_camera_boxes(each, cameras)[0], cameras) for each in (gold, parsed))
    return _exhibit(sample, pictures, cameras, true, {"answer": said})


def _exhibit(
    sample: Sample,
    pictures: Sequence[NDArray[np.uint8]],
    cameras: Cameras,
    true: Sequence[ShownBox] | None,
    predicted: Mapping[str, Sequence[ShownBox]],
    texts: Mapping[str, str] | None = None,
) -> Exhibit:
    return Exhibit(
        sample.id, sample.task, pictures, cameras.K, cameras.T_world_camera, true, predicted, texts or {},
        sample.prompt,
    )  # fmt: skip


def _shown(
    named: NamedBoxes | None, cameras: Cameras, facts: Sequence[Mapping[str, Any]] | None = None
) -> list[ShownBox]:
    """Boxes of the first camera in the world; ``facts`` hold ``iou`` and ``match`` of predicted ones."""
    if not named:
        return []
    rows = transform_boxes(cameras.T_world_camera[0], np.array([box for _, box in named], dtype=np.float64))
    known = [(fact["iou"], fact["match"] is not None) for fact in facts or ()] or [(None, None)] * len(named)
    return [ShownBox(n, row, *each) for (n, _), row, each in zip(named, rows, known, strict=True)]


def _check(run: RunFolder, tasks: Sequence[str], models: Sequence[str], ids: Sequence[str]) -> None:
    """Names that the user typed must exist."""
    known = {
        "task": {task.name for task in run.tasks},
        "model": {made.name for task in run.tasks for made in task.runs},
        "sample": {sample.id for task in run.tasks for sample in task.samples},
    }
    for kind, wanted in (("task", tasks), ("model", models), ("sample", ids)):
        for name in wanted:
            if name not in known[kind]:
                some = ", ".join(sorted(known[kind])[:8]) or "none"
                raise ValueError(f"{run.root} has no {kind} {name!r}; it has {some}")
