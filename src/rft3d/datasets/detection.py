"""ScanNetDetection from EmbodiedScan's infos: windows of frames a second apart, every object that they show.

The protocol (VG-LLM's, which 3D-RFT trains and reports on): runs of frames 10 raw frames apart; ``frames``
of them 3 places apart (30 raw frames, a second); the start slides by one place. Training keeps every
window, validation 10 of a scan. Asked for are the objects that any frame of the window shows, except wall,
ceiling, floor and object, boxes in the first frame's camera.

``like="vg-llm"`` keeps upstream's quirks: angles as EmbodiedScan has them, not canonical; objects in the
order of the file's lists; windows of a scan drawn by one ``random.Random(seed)`` that goes through the
scans in file order (our reading of "random.seed(42)"; the draw itself cannot be checked without upstream's
files).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal

from rft3d.datasets.work import Job, JobOutput
from rft3d.evaluation.records import with_cameras
from rft3d.scenes.sources import frame_refs
from rft3d.scenes.types import Scene
from rft3d.scenes.windows import select_frames
from rft3d.settings import Checked, Count
from rft3d.tasks.detection import Detection

Like = Literal["rft3d", "vg-llm"]
Split = Literal["train", "val"]


@dataclass(frozen=True)
class DetectionSettings(Checked):
    """What decides the samples.

    Attributes:
        split: ``val`` draws ``windows`` of a scan, ``train`` keeps all.
        frames: of a window; 4 for training, 4 and 6 for evaluation.
        stride: places from one frame to the next.
        step: raw frames from one place to the next (EmbodiedScan: 10).
        windows: of a scan in ``val``.
        seed: of the draw; upstream: 42.
        like: ``rft3d`` or upstream's conventions.
    """

    split: Split = "val"
    frames: Count = 4
    stride: Count = 3
    step: Count = 10
    windows: Count = 10
    seed: int = 42
    like: Like = "rft3d"


def run_windows(numbers: Sequence[int], frames: int, stride: int, step: int) -> list[tuple[int, ...]]:
    """Places of all windows whose frames follow one another without a gap.

    ``numbers[i]``: raw frame number of place i, ascending. A window's places are ``stride`` apart and all raw
    numbers between its first and last place are exactly ``step`` apart.
    """
    span = (frames - 1) * stride
    windows, run_start = [], 0
    for place in range(len(numbers)):
        if place and numbers[place] - numbers[place - 1] != step:
            run_start = place
        first = place - span
        if first >= run_start:
            windows.append(tuple(range(first, place + 1, stride)))
    return windows


def detection_jobs(scenes: Iterable[Scene], settings: DetectionSettings) -> Iterator[Job]:
    """A job a scan: the scene and its windows (places of frames), drawn for ``val``."""
    shared = Random(settings.seed)
    for scene in scenes:
        if odd := [frame.name for frame in scene.frames if not frame.name.isdecimal()]:
            raise ValueError(f"scene {scene.id!r}: frame name {odd[0]!r} is not a raw frame number")
        scene = replace(scene, frames=tuple(sorted(scene.frames, key=lambda frame: int(frame.name))))
        numbers = [int(frame.name) for frame in scene.frames]
        windows = run_windows(numbers, settings.frames, settings.stride, settings.step)
        if settings.split == "val" and len(windows) > settings.windows:
            rng = shared if settings.like == "vg-llm" else Random(f"{settings.seed}:{scene.id}")
            windows = rng.sample(windows, settings.windows)
            windows = windows if settings.like == "vg-llm" else sorted(windows)
        yield Job(scene.id, (scene, windows))


def make_detection(
    payload: tuple[Scene, list[tuple[int, ...]]], settings: DetectionSettings, root: Path
) -> JobOutput:
    """The samples of one scan; ``root``: the folder of its frame paths."""
    scene, windows = payload
    upstream = settings.like == "vg-llm"
    task = Detection(canonical=not upstream, rounding="plain" if upstream else "safe", keep_empty=True)
    refs = frame_refs(scene, root)
    samples = []
    for window in windows:
        names, own = [scene.frames[place].name for place in window], [refs[place] for place in window]
        cut = select_frames(scene, window, f"{scene.id}-from-{names[0]}")
        cut = _in_listed_order(cut) if upstream else cut
        for sample in task.samples(cut, own, settings.seed):
            facts = {"split": settings.split, "dataset": "scannet", "window": names}
            made = replace(sample, scene=scene.id, meta={**sample.meta, **facts})
            samples.append(with_cameras(made, cut, own))
    return JobOutput(tuple(samples), {} if windows else {"scan without a window": 1})


def _in_listed_order(cut: Scene) -> Scene:
    """Objects renumbered by first mention in the frames' lists, as upstream orders its targets."""
    mentioned = [identity for frame in cut.frames for identity in frame.visible]
    listed = dict.fromkeys([*mentioned, *(thing.id for thing in cut.objects)])
    order = {identity: place for place, identity in enumerate(listed)}
    objects = tuple(replace(thing, id=order[thing.id]) for thing in cut.objects)
    visible = ({order[k]: share for k, share in frame.visible.items()} for frame in cut.frames)
    frames = tuple(replace(f, visible=seen) for f, seen in zip(cut.frames, visible, strict=True))
    return replace(cut, objects=objects, frames=frames)
