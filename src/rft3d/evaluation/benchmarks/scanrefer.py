"""ScanRefer as video grounding: name a frame and a box in that frame's camera (VG-LLM, 3D-RFT).

Protocol
    All descriptions of ScanRefer's validation split (9,508). The answer's box is moved to the axis-aligned
    world by ``E = axis_align @ camera_to_world[frame the answer names]``; IoU with the axis-aligned true box;
    the prediction stays oriented. Acc@0.25 and Acc@0.5 with >=; a failure is IoU 0. The frame is not scored.
    *Unique*: the object is the only one of its NYU40 class (20 valid ids) in the scene; *multiple*: the rest.
    **raw** scores the box as written. **proposal-refined** replaces it by the Mask3D proposal of highest IoU,
    if any overlaps (typically 36.4/11.8 -> 53.5/47.5). The two must never be compared with one another.
Source
    ScanRefer (arXiv 1912.08830); VG-LLM (arXiv 2505.24625), ``tasks/scanrefer/utils.py`` and its script for
    proposal matching; proposals: ``metadata/scannet_val_pred_box.json`` of Video-3D-LLM's data,
    ``{"scannet/<scene>": [[x, y, z, dx, dy, dz], ...]}`` in the axis-aligned world; unique/multiple after
    M3DRef-CLIP.
Deviations of our own variant
    1. Answers are read as JSON over any number of lines; upstream reads the first line with bbox_3d.
    2. A truncated answer earns nothing. IoU is exact at any thickness; a negative size is invalid.
    3. *Unique* and *multiple* are reported beside the overall numbers.
``--compat vg-llm`` undoes them; there ``True`` is frame 1, as in Python, and a line with a call or an attribute is
a failure, and listed: nothing is executed. Neither imitates pytorch3d's errors, which cost a published Acc@0.5
0.3 to 1.9 % of the pairs (:mod:`rft3d.evaluation.benchmarks.types`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rft3d.answers import FrameBox, ParseFailure
from rft3d.answers.vgllm import vgllm_frame_box
from rft3d.evaluation.benchmarks.types import PYTORCH3D, Benchmark, Inputs, Variant, upstream_solid
from rft3d.evaluation.solving.places import scene_key
from rft3d.geometry import box_iou, transform_boxes
from rft3d.scenes.readers.scanrefer import read_proposals
from rft3d.tasks.grounding import Grounding, pool_iou
from rft3d.tasks.types import Sample

HEADLINE = (
    "acc@0.25", "acc@0.5", "acc@0.25/unique", "acc@0.5/unique", "acc@0.25/multiple", "acc@0.5/multiple",
)  # fmt: skip
Box = tuple[float, ...]


def refine(box: Box, proposals: NDArray[np.float64]) -> Box:
    """The proposal of highest IoU with ``box`` (both in the world); ``box`` itself when none overlaps it."""
    if not len(proposals):
        return box
    iou = box_iou(np.array([box]), proposals)[0]
    best = int(np.argmax(iou))
    return tuple(proposals[best].tolist()) if iou[best] > 0 else box


def variants(inputs: Inputs) -> list[Variant]:
    """raw, refined (with proposals), and both as upstream reads when asked for."""
    proposals = None if inputs.proposals is None else read_proposals(inputs.proposals)
    if proposals is not None:
        missing = sorted({scene_key(s.scene) for s in inputs.samples} - proposals.keys())
        if missing:
            raise ValueError(
                f"{inputs.proposals}: no proposals for {len(missing)} scenes such as {missing[0]!r}; "
                "give the proposals of the split that the samples are from"
            )
    reader = Grounding()
    pairs = list(zip(inputs.predictions, inputs.samples, strict=True))
    read: list[FrameBox | ParseFailure] = [
        ParseFailure("truncated") if p.truncated else reader.parse(p.text, s) for p, s in pairs
    ]
    found = _both("ours", "JSON over any number of lines, exact IoU", inputs, read, proposals, upstream=False)
    if inputs.compat == "vg-llm":
        again = [vgllm_frame_box(p.text, len(s.truth["T_world_camera"])) for p, s in pairs]
        note = f"upstream's reading of one line, thin boxes unmatchable; {PYTORCH3D}"
        found += _both("vg-llm", note, inputs, again, proposals, upstream=True)
    return found


def _both(
    name: str,
    note: str,
    inputs: Inputs,
    read: Sequence[FrameBox | ParseFailure],
    proposals: Mapping[str, NDArray[np.float64]] | None,
    upstream: bool,
) -> list[Variant]:
    world = [_in_world(answer, sample, upstream) for answer, sample in zip(read, inputs.samples, strict=True)]
    reasons = (answer.reason for answer in read if isinstance(answer, ParseFailure))
    unreadable = Counter(reason for reason in reasons if reason != "truncated")
    lists: list[tuple[str, str, list[Box | None]]] = [(name, f"raw: {note}", world)]
    if proposals is not None:
        pairs = zip(world, inputs.samples, strict=True)
        refined = [box and refine(box, proposals[scene_key(sample.scene)]) for box, sample in pairs]
        lists.append((f"{name}, refined", "snapped to the Mask3D proposal of highest IoU", refined))
    truncated = "scored when its line is whole" if upstream else "earns nothing, unread"
    found = []
    for title, footnote, boxes in lists:
        pools = []
        for box, sample, answer in zip(boxes, inputs.samples, read, strict=True):
            right_frame = isinstance(answer, FrameBox) and answer.frame == sample.truth.get("frame")
            pools.append(pool_iou(sample, _iou(box, sample, upstream), right_frame))
        finish = Grounding().metric_from
        found.append(Variant(title, footnote, pools, finish, HEADLINE, unreadable, truncated))
    return found


def _in_world(answer: FrameBox | ParseFailure, sample: Sample, upstream: bool) -> Box | None:
    if isinstance(answer, ParseFailure):
        return None
    box = upstream_solid(answer.box) if upstream else answer.box
    pose = np.asarray(sample.truth["T_world_camera"][answer.frame], dtype=np.float64)
    if not np.isfinite(box).all():
        return None
    return tuple(transform_boxes(pose, np.array([box]))[0].tolist())


def _iou(box: Box | None, sample: Sample, upstream: bool) -> float:
    if box is None:
        return 0.0
    truth: Sequence[float] = sample.truth["box_world"]
    if upstream:
        box, truth = upstream_solid(box), upstream_solid(truth)
    return float(box_iou(np.array([box]), np.array([truth]))[0, 0])


SCANREFER = Benchmark(
    name="scanrefer",
    title="ScanRefer (video grounding)",
    task="grounding",
    protocol=__doc__ or "",
    variants=variants,
    official={"samples": 9508, "scenes": 141},
)
