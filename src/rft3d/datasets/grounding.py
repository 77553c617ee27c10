"""ScanRefer and Scan2Cap: the described objects of scans, and the frames that they are shown with.

ScanRefer asks for the frame and box that answer a description. The protocol (VG-LLM's): 32 frames of
EmbodiedScan's pictures; the answer is the ScanNet axis-aligned box (annotated vertices in the aligned world) in
the camera of the sampled frame that shows the object largest; scored is the box in the world. Validation keeps
every description and never looks at the object when it draws frames; training draws again until one shows it,
twice per description. The cameras stay in ``truth`` and ``meta``: RFT and scoring need them.

``like="vg-llm"`` keeps upstream's quirks: frames wrap around in time, the target frame is found by the
EmbodiedScan box, descriptions whose object matches no instance (IoU < 0.5) are left out of training, boxes
keep their raw angles. Its frames are drawn by unseeded workers upstream, so equal settings give equal
conventions, not equal draws.

Scan2Cap asks to describe the object at a place, given as the centre of its box in the first frame's camera. The
protocol (VG-LLM's): the frames of ScanRefer's samples, then the centre with two decimals. Training asks about
the true box, once a description; validation once an object, about the detected proposal of highest IoU with it
(Mask3D; a prediction counts only where that IoU is at least 0.5), with all descriptions as references. Without
``proposals`` validation asks about the true centres and ``truth.iou`` is 1: that is *not* the published
protocol.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np

from rft3d.datasets.detection import Like, Split
from rft3d.datasets.views import (
    Target,
    any_frame,
    frames_showing,
    match_target,
    rotated_frames,
    spaced_frames,
    target_frame,
)
from rft3d.datasets.work import Job, JobOutput
from rft3d.evaluation.records import with_cameras
from rft3d.geometry import box_iou
from rft3d.geometry.rotations import Array
from rft3d.scenes.readers.records import ReferringRow
from rft3d.scenes.readers.scanrefer import scan_objects
from rft3d.scenes.sources import frame_refs
from rft3d.scenes.types import Expression, Scene, SceneObject
from rft3d.settings import Checked, Count
from rft3d.tasks.captioning import caption_prompt, caption_truth
from rft3d.tasks.grounding import Grounding
from rft3d.tasks.types import Sample


@dataclass(frozen=True)
class GroundingSettings(Checked):
    """What decides the samples.

    Attributes:
        split: ``val`` keeps every description, ``train`` those that some frame shows.
        frames: of a sample; 32 in the released files.
        draws: samples per description in ``train``, with different frames.
        seed: of the frames.
        like: ``rft3d`` or upstream's conventions.
    """

    split: Split = "val"
    frames: Count = 32
    draws: Count = 2
    seed: int = 0
    like: Like = "rft3d"


@dataclass(frozen=True)
class ReferringJob:
    """One scan: its scene (EmbodiedScan), its descriptions, and the folder of its ScanNet annotations."""

    scene: Scene
    rows: tuple[ReferringRow, ...]
    unique: Mapping[tuple[str, int], bool]
    annotations: Path
    proposals: Array | None = None


def referring_jobs(
    scenes: Iterable[Scene],
    rows: Sequence[ReferringRow],
    unique: Mapping[tuple[str, int], bool],
    scans: Path,
    proposals: Mapping[str, Array] | None = None,
) -> Iterator[Job]:
    """A job a scan that has descriptions, in the order of the infos.

    ValueError: descriptions of a scan that the infos don't have (after all others were yielded), or a scan
    without proposals where there are proposals.
    """
    by_scan: dict[str, list[ReferringRow]] = {}
    for row in rows:
        by_scan.setdefault(row.scene, []).append(row)
    for scene in scenes:
        mine = tuple(by_scan.pop(scene.id, ()))
        if mine:
            boxes = None if proposals is None else proposals.get(scene.id)
            if proposals is not None and boxes is None:
                raise ValueError(
                    f"the proposals file has no scan {scene.id}; it holds {len(proposals)} scans, such as "
                    f"{next(iter(proposals), 'none')}; use the proposals of the validation split"
                )
            known = {key: value for key, value in unique.items() if key[0] == scene.id}
            yield Job(scene.id, ReferringJob(scene, mine, known, scans / scene.id, boxes))
    if by_scan:
        raise ValueError(
            f"the infos have no entry for {len(by_scan)} described scans, such as {min(by_scan)}; "
            "use the infos of the same split"
        )


def make_grounding(job: ReferringJob, settings: GroundingSettings, root: Path) -> JobOutput:
    """The samples of one scan."""
    upstream, training = settings.like == "vg-llm", settings.split == "train"
    task = Grounding(canonical=not upstream, rounding="plain" if upstream else "safe")
    objects = {item.id: item for item in scan_objects(job.annotations)}
    refs = frame_refs(job.scene, root)
    targets: dict[int, Target] = {}
    samples: list[Sample] = []
    skipped: Counter[str] = Counter()
    for row in job.rows:
        item = annotated(row, objects, job.annotations)
        target = targets.setdefault(row.object_id, match_target(item.box, job.scene))
        if training and upstream and target.instance is None:
            skipped["object matches no EmbodiedScan instance"] += 1
            continue
        for draw in range(settings.draws if training else 1):
            chosen = choose_frames(target, job.scene, row, draw, settings)
            frames = tuple(job.scene.frames[index] for index in chosen)
            best = target_frame(target, frames, upstream=upstream)
            if best is None and training:
                skipped["no drawn frame shows the object"] += 1
                continue
            place = any_frame(target, frames) if best is None else best
            thing = SceneObject(row.object_id, row.object_name, item.box)
            asked = (Expression(row.text, row.object_id, place),)
            cut = replace(job.scene, frames=frames, objects=(thing,), expressions=asked)
            own = [refs[index] for index in chosen]
            (sample,) = task.samples(cut, own, 0)
            shared = {"split": settings.split, "dataset": "scannet", "object_id": row.object_id}
            facts = {"seen": best is not None, **shared, "ann_id": row.ann_id, "draw": draw}
            meta = {key: value for key, value in sample.meta.items() if key != "unique"}
            if (row.scene, row.object_id) in job.unique:  # unknown without ScanNet's label table
                meta["unique"] = job.unique[row.scene, row.object_id]
            again = f":{draw}" if training else ""
            identity = f"{row.scene}:grounding:{row.object_id}:{row.ann_id}{again}"
            samples.append(with_cameras(replace(sample, id=identity, meta={**meta, **facts}), cut, own))
    return JobOutput(tuple(samples), dict(skipped))


def annotated(row: ReferringRow, objects: Mapping[int, SceneObject], where: Path) -> SceneObject:
    """The ScanNet object of a description; ValueError when the annotations don't have it."""
    if row.object_id not in objects:
        raise ValueError(
            f"{where}: no object {row.object_id} in the aggregation file, but ScanRefer describes it "
            f"({row.object_name!r}); the scan's annotations are of another version"
        )
    return objects[row.object_id]


def choose_frames(
    target: Target, scene: Scene, row: ReferringRow, draw: int, settings: GroundingSettings
) -> list[int]:
    """Indices into ``scene.frames`` for one sample, decided by seed, description and draw alone."""
    rng = Random(f"{settings.seed}:{row.scene}:{row.object_id}:{row.ann_id}:{draw}")
    count, upstream, training = len(scene.frames), settings.like == "vg-llm", settings.split == "train"

    def drawn() -> list[int]:
        if upstream:
            return rotated_frames(count, settings.frames, rng)
        return spaced_frames(count, settings.frames, rng if training else None)

    return frames_showing(target, scene, drawn, upstream=upstream) if training else drawn()


def make_captions(job: ReferringJob, settings: GroundingSettings, root: Path) -> JobOutput:
    """The samples of one scan: one a description in ``train``, one an object in ``val``."""
    training = settings.split == "train"
    objects = {item.id: item for item in scan_objects(job.annotations)}
    groups: dict[tuple[int, str], list[ReferringRow]] = {}
    for row in job.rows:
        groups.setdefault((row.object_id, row.ann_id if training else ""), []).append(row)
    refs = frame_refs(job.scene, root)
    samples = []
    for rows in groups.values():
        row, true_box = rows[0], annotated(rows[0], objects, job.annotations).box
        box, iou = (true_box, 1.0) if training else _asked_about(true_box, job.proposals)
        target = match_target(true_box, job.scene)
        for draw in range(settings.draws if training else 1):
            chosen = choose_frames(target, job.scene, row, draw, settings)
            again = f":{draw}" if settings.draws > 1 else ""
            again = f":{row.ann_id}{again}" if training else ""
            identity = f"{job.scene.id}:captioning:{row.object_id}{again}"
            prompt = caption_prompt(box[:3], job.scene.frames[chosen[0]].T_world_camera, len(chosen))
            truth = caption_truth([each.text.capitalize() for each in rows], true_box, box, iou)
            meta = {"label": row.object_name, "object_id": row.object_id, "split": settings.split}
            meta["dataset"] = "scannet"
            frames = tuple(refs[index] for index in chosen)
            sample = Sample(identity, "captioning", job.scene.id, frames, prompt, truth, meta)
            samples.append(with_cameras(sample, job.scene, refs))
    return JobOutput(tuple(samples))


def _asked_about(true_box: Array, proposals: Array | None) -> tuple[Array, float]:
    """The proposal of highest IoU with the true box, and that IoU; 0 where nothing was detected."""
    if proposals is None or not len(proposals):
        return true_box, 1.0 if proposals is None else 0.0
    ious = box_iou(true_box[None], proposals)[0]
    best = int(np.argmax(ious))
    return proposals[best], float(ious[best])
