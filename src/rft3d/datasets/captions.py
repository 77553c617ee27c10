"""Scan2Cap: describe the object at a place, given as the centre of its box in the first frame's camera.

The protocol (VG-LLM's): the frames of ScanRefer's samples, then the centre with two decimals. Training asks
about the true box, once a description; validation once an object, about the detected proposal of highest
IoU with it (Mask3D; a prediction counts only where that IoU is at least 0.5), with all descriptions as
references. Without ``proposals`` validation asks about the true centres and ``truth.iou`` is 1: that is
*not* the published protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.datasets.grounding import GroundingSettings, ReferringJob, annotated, choose_frames
from rft3d.datasets.views import match_target
from rft3d.datasets.work import JobOutput
from rft3d.evaluation.records import with_cameras
from rft3d.geometry import box_iou
from rft3d.scenes.readers.records import ReferringRow
from rft3d.scenes.readers.scannet_export import scan_objects
from rft3d.scenes.sources import frame_refs
from rft3d.tasks.captioning import caption_prompt, caption_truth
from rft3d.tasks.types import Sample


@dataclass(frozen=True)
class CaptionSettings(GroundingSettings):
    """As for grounding; ``draws`` is 1: one sample a description."""

    draws: int = 1


def make_captions(job: ReferringJob) -> JobOutput:
    """The samples of one scan: one a description in ``train``, one an object in ``val``."""
    objects = {item.id: item for item in scan_objects(job.annotations)}
    groups: dict[tuple[int, str], list[ReferringRow]] = {}
    for row in job.rows:
        key = row.ann_id if job.settings.split == "train" else ""
        groups.setdefault((row.object_id, key), []).append(row)
    refs = frame_refs(job.scene, job.root)
    samples = []
    for rows in groups.values():
        item = annotated(rows[0], objects, job.annotations)
        box, iou = item.box, 1.0
        if job.settings.split == "val" and job.proposals is not None:
            iou = 0.0  # of a scan in which nothing was detected: the caption never counts
            if len(job.proposals):
                ious = box_iou(item.box[None], job.proposals)[0]
                best = int(np.argmax(ious))
                box, iou = job.proposals[best], float(ious[best])
        target = match_target(item.box, job.scene)
        for draw in range(job.settings.draws if job.settings.split == "train" else 1):
            chosen = choose_frames(target, job.scene, rows[0], draw, job.settings)
            samples.append(_sample(job, rows, box, iou, item.box, chosen, refs, draw))
    return JobOutput(tuple(samples))


def _sample(
    job: ReferringJob,
    rows: list[ReferringRow],
    box: NDArray[np.float64],
    iou: float,
    true_box: NDArray[np.float64],
    chosen: list[int],
    refs: tuple[str, ...],
    draw: int,
) -> Sample:
    first = job.scene.frames[chosen[0]]
    own = tuple(refs[index] for index in chosen)
    words = [row.text.capitalize() for row in rows]
    suffix = f":{rows[0].ann_id}" + (f":{draw}" if job.settings.draws > 1 else "")
    facts: dict[str, Any] = {
        "label": rows[0].object_name,
        "object_id": rows[0].object_id,
        "split": job.settings.split,
        "dataset": "scannet",
    }
    sample = Sample(
        id=f"{job.scene.id}:captioning:{rows[0].object_id}{suffix if job.settings.split == 'train' else ''}",
        task="captioning",
        scene=job.scene.id,
        frames=own,
        prompt=caption_prompt(box[:3], first.T_world_camera, len(own)),
        truth=caption_truth(words, true_box, box, iou),
        meta=facts,
    )
    return with_cameras(sample, job.scene, refs)
