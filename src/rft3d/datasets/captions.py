"""Scan2Cap: describe the object at a place, given as the centre of its box in the first frame's camera.

The protocol (VG-LLM's): the frames of ScanRefer's samples, then the centre with two decimals. Training asks
about the true box, once a description; validation once an object, about the detected proposal of highest
IoU with it (Mask3D; a prediction counts only where that IoU is at least 0.5), with all descriptions as
references. Without ``proposals`` validation asks about the true centres and ``truth.iou`` is 1: that is
*not* the published protocol.
"""

from pathlib import Path

import numpy as np

from rft3d.datasets.grounding import GroundingSettings, ReferringJob, annotated, choose_frames
from rft3d.datasets.views import match_target
from rft3d.datasets.work import JobOutput
from rft3d.evaluation.records import with_cameras
from rft3d.geometry import box_iou
from rft3d.geometry.rotations import Array
from rft3d.scenes.readers.records import ReferringRow
from rft3d.scenes.readers.scannet_export import scan_objects
from rft3d.scenes.sources import frame_refs
from rft3d.tasks.captioning import caption_prompt, caption_truth
from rft3d.tasks.types import Sample


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
            sample = Sample(
                id=f"{job.scene.id}:captioning:{row.object_id}{f':{row.ann_id}{again}' if training else ''}",
                task="captioning",
                scene=job.scene.id,
                frames=tuple(refs[index] for index in chosen),
                prompt=caption_prompt(box[:3], job.scene.frames[chosen[0]].T_world_camera, len(chosen)),
                truth=caption_truth([each.text.capitalize() for each in rows], true_box, box, iou),
                meta={
                    "label": row.object_name,
                    "object_id": row.object_id,
                    "split": settings.split,
                    "dataset": "scannet",
                },
            )
            samples.append(with_cameras(sample, job.scene, refs))
    return JobOutput(tuple(samples))


def _asked_about(true_box: Array, proposals: Array | None) -> tuple[Array, float]:
    """The proposal of highest IoU with the true box, and that IoU; 0 where nothing was detected."""
    if proposals is None or not len(proposals):
        return true_box, 1.0 if proposals is None else 0.0
    ious = box_iou(true_box[None], proposals)[0]
    best = int(np.argmax(ious))
    return proposals[best], float(ious[best])
