"""One thing to look at in 3D: pictures with cameras, true boxes and every model's boxes, all in the world.

What the exports (overlay pictures, rerun) share, whatever it comes from: a run folder's questions and
answers, a scene folder, or a procedural room ``rooms:<seed>``.

Overlays are pictures for papers, as PNG sheets and MP4. Truth is always green, predictions are orange (hit: solid;
miss: dashed). With ``colour="label"`` a class has one colour, the same in every picture, and truth is dashed beside
predictions.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rft3d.evaluation.predict import load_frames
from rft3d.evaluation.records import Prediction
from rft3d.geometry import boxes_valid, invert_pose, transform_boxes
from rft3d.report.draw import PREDICTED_COLOUR, TRUE_COLOUR, draw_boxes, label_colour, save, tile
from rft3d.report.run_folder import NothingToReport, RunFolder, TaskRuns, read_run_folder
from rft3d.report.samples import Cameras, KnownQuestion, SeenBox, read_cameras
from rft3d.report.scene_facts import Cloud, point_cloud
from rft3d.scenes.clips import ClipSampling, read_clip, write_video
from rft3d.scenes.images import load_rgb
from rft3d.scenes.sources import holds_scenes, open_scenes, picture_folders
from rft3d.scenes.types import Scene
from rft3d.tasks import Sample, Task, make_task

CLOUD_POINTS = 20_000
"""A picture of a scene."""


@dataclass(frozen=True, eq=False)
class Exhibit:
    """``(H, W, 3)`` uint8 pictures, their cameras (None: unknown, as of a video; then no boxes either), boxes in
    them.

    ``true``: None where the answer has no boxes. ``predicted``, ``texts``: display name of a model -> its boxes,
    its answer as written. ``cloud``: world points and their colours, where depth is known.
    """

    id: str
    task: str
    pictures: Sequence[NDArray[np.uint8]]
    cameras: Cameras | None
    true: Sequence[SeenBox] | None = None
    predicted: Mapping[str, Sequence[SeenBox]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    prompt: str = ""
    cloud: Cloud | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a source is shown; empty: all."""

    tasks: tuple[str, ...] = ()
    """only these tasks"""
    only: tuple[str, ...] = ()
    """only these models' answers (folders of RUN/eval)"""
    ids: tuple[str, ...] = ()
    """only the questions with these ids"""
    limit: int = 8
    """questions of each task, evenly spaced over the file; of a video, frames"""
    pictures: Path | None = None
    """folder besides the run's own that pictures may be taken from"""


def exhibits(
    source: str | Path, wanted: Wanted = Wanted(), say: Callable[[str], object] = lambda line: None
) -> Iterator[Exhibit]:
    """What ``source`` has to show: a run folder, or anything that :func:`rft3d.scenes.clips.read_clip` opens.
    ``say``: told the number and name of each before it is read.

    ValueError: nothing to show, or an unknown task, model or id.
    """
    where, run, limit = Path(source), None, wanted.limit
    if where.is_dir() and not (where / "scene.json").is_file():
        with suppress(NothingToReport):
            run = read_run_folder(source, resamples=1)
    if run is None:
        scenes = holds_scenes(source)
        unasked = map(of_scene, open_scenes(source)) if scenes else iter([of_pictures(source, limit)])
        for number, exhibit in enumerate(islice(unasked, limit), 1):
            say(f"{number}: {exhibit.id}")
            yield exhibit
        return
    _check(run, wanted)
    inside = picture_folders(run.root, wanted.pictures)
    chosen = [
        (task, task.samples[index])
        for task in run.tasks
        if not wanted.tasks or task.name in wanted.tasks
        for index in _chosen(task, wanted.ids, limit)
        if read_cameras(task.samples[index])[0] is not None
    ]
    for number, (task, sample) in enumerate(chosen, 1):
        say(f"{number} of {len(chosen)}: {sample.id}")
        answers = {
            made.title: (made.scored.task, made.predictions.get(sample.id, Prediction(sample.id, "")).text)
            for made in task.runs
            if not wanted.only or made.name in wanted.only
        }
        yield of_answers(sample, load_frames(sample, task.file.parent, inside), answers)
    if not chosen:
        raise ValueError(
            f"{source} has nothing to show: no question has pictures and cameras (meta 'intrinsics' and "
            "'T_world_camera'; rft3d rooms and rft3d samples write them)"
        )


def of_pictures(source: str | Path, frames: int) -> Exhibit:
    """Pictures, or ``frames`` of a video, of which neither cameras nor boxes are known."""
    clip = read_clip(source, ClipSampling(frames))
    return Exhibit(clip.name, "clip", clip.frames, None)


def of_scene(scene: Scene) -> Exhibit:
    """A scene with its own labels as the truth; ValueError when it has no frames (metadata alone)."""
    if not scene.frames:
        raise ValueError(f"scene {scene.id!r} has no frames to draw on; give a scene with pictures")
    return Exhibit(
        id=scene.id,
        task="scene",
        pictures=[load_rgb(frame) for frame in scene.frames],
        cameras=Cameras(
            np.stack([frame.intrinsics for frame in scene.frames]),
            np.stack([frame.T_world_camera for frame in scene.frames]),
        ),
        true=[SeenBox(thing.label, tuple(thing.box)) for thing in scene.objects],
        cloud=point_cloud(scene, CLOUD_POINTS * len(scene.frames), len(scene.frames)),
    )


def _chosen(task: TaskRuns, ids: Sequence[str], limit: int) -> list[int]:
    indices = [i for i, s in enumerate(task.samples) if not ids or s.id in ids]
    if not ids and len(indices) > limit:
        indices = [indices[i] for i in np.linspace(0, len(indices) - 1, limit).round().astype(int)]
    return indices


def of_answers(
    sample: Sample, pictures: Sequence[NDArray[np.uint8]], answers: Mapping[str, tuple[Task, str]]
) -> Exhibit:
    """``sample`` with answers (display name -> the task that reads it, its text)."""
    reader = next((task for task, _ in answers.values()), None) or make_task(sample.task)
    question = KnownQuestion(sample, reader)
    predicted = {
        name: _drawn_boxes(question.boxes_of(task.parse(text, sample))[0])
        for name, (task, text) in answers.items()
    }
    true = None if question.true is None else _drawn_boxes(question.shown().truth)
    texts = {name: text for name, (_, text) in answers.items()}
    return Exhibit(sample.id, sample.task, pictures, question.cameras, true, predicted, texts, sample.prompt)


def _drawn_boxes(boxes: Sequence[SeenBox]) -> list[SeenBox]:
    return [box for box in boxes if box.box is not None]


def _check(run: RunFolder, wanted: Wanted) -> None:
    """Names that the user typed must exist."""
    known = {
        "task": {task.name for task in run.tasks},
        "model": {made.name for task in run.tasks for made in task.runs},
        "sample": {sample.id for task in run.tasks for sample in task.samples},
    }
    for kind, names in (("task", wanted.tasks), ("model", wanted.only), ("sample", wanted.ids)):
        for name in names:
            if name not in known[kind]:
                some = ", ".join(sorted(known[kind])[:8]) or "none"
                raise ValueError(f"{run.root} has no {kind} {name!r}; it has {some}")


Colour = Literal["kind", "label"]


@dataclass(frozen=True)
class OverlayStyle:
    """How boxes are drawn over frames."""

    width: int = 640
    """pixels of a frame"""
    colour: Colour = "kind"
    """kind: green true, orange predicted; label: one colour a class, truth dashed"""
    labels: bool = True
    """labels and IoUs at the boxes; --no-labels leaves them out"""


def draw_frame(exhibit: Exhibit, frame: int, model: str | None, style: OverlayStyle) -> NDArray[np.uint8]:
    """Frame ``frame`` with true boxes and those of ``model`` (None: truth alone), ``style.width`` wide."""
    picture, cameras = exhibit.pictures[frame], exhibit.cameras
    scale = style.width / picture.shape[1]
    if cameras is None:
        return draw_boxes(picture, np.zeros((0, 9)), np.eye(3), scale=scale)
    shown = [(box, True) for box in exhibit.true or ()]
    shown += [(box, False) for box in exhibit.predicted.get(model or "", ())]
    shown = [each for each in shown if boxes_valid(np.array([each[0].box]))[0]]
    world = np.array([box.box for box, _ in shown], dtype=np.float64).reshape(-1, 9)
    looks = [look(box, is_true, style.colour, alone=model is None) for box, is_true in shown]
    return draw_boxes(
        picture,
        transform_boxes(invert_pose(cameras.T_world_camera[frame]), world),
        cameras.K[frame],
        [colour for colour, _ in looks],
        [box.tag for box, _ in shown] if style.labels else None,
        dashed=[dashed for _, dashed in looks],
        scale=scale,
    )


def look(box: SeenBox, is_true: bool, colour: Colour, alone: bool = False) -> tuple[str, bool]:
    """Colour of a box and whether its lines are dashed; ``alone``: no predictions beside the truth."""
    if colour == "label":
        return label_colour(box.label), is_true and not alone
    return (TRUE_COLOUR, False) if is_true else (PREDICTED_COLOUR, box.match is None)


def draw_sheet(exhibit: Exhibit, style: OverlayStyle, columns: int = 4) -> NDArray[np.uint8]:
    """A row of at most ``columns`` frames for each model (truth alone without one), evenly spaced."""
    picked = np.unique(np.linspace(0, len(exhibit.pictures) - 1, min(columns, len(exhibit.pictures))).round())
    cells = [(model, int(k)) for model in list(exhibit.predicted) or [None] for k in picked]
    drawn = [draw_frame(exhibit, frame, model, style) for model, frame in cells]
    return tile(drawn, [f"{model or 'truth'}, frame {frame}" for model, frame in cells], len(picked))


def export_overlays(
    shown: Iterable[Exhibit], folder: Path, style: OverlayStyle, fps: float | None = None
) -> int:
    """Write each exhibit's ``<id>.png`` (:func:`draw_sheet`) and ``<id>/<model>-<frame>.png``. With ``fps`` the
    frames are written as ``<id>/<model>.mp4`` too. Returns how many files there are."""
    count = 0
    for exhibit in shown:
        stem = file_stem(exhibit.id)
        save(folder / f"{stem}.png", draw_sheet(exhibit, style))
        count += 1
        for model in list(exhibit.predicted) or [None]:
            name = file_stem(model or "truth")
            frames = [draw_frame(exhibit, frame, model, style) for frame in range(len(exhibit.pictures))]
            for frame, picture in enumerate(frames):
                save(folder / stem / f"{name}-{frame:03d}.png", picture)
            if fps is not None:
                write_video(folder / stem / f"{name}.mp4", frames, fps)
            count += len(frames) + (fps is not None)
    return count


def file_stem(name: str) -> str:
    """``name`` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._") or "unnamed"
