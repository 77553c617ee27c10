"""What is asked of annotations and samples alike: which angles their boxes hold, and whose rooms they show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rft3d.datasets.check.angles import BoxSet, angle_verdict
from rft3d.datasets.check.findings import Finding, found, problem
from rft3d.datasets.leaks import leaking

ANGLE_SAMPLES = 2000
"""Records that the angle check looks at."""
LEAST_UPRIGHT = 0.5


def is_training(path: Path, kind: str) -> bool:
    """Whether a file is meant for training: VLM-3R, SpaceR and SPAR always, others by their name."""
    return kind in ("VLM-3R", "SpaceR", "SPAR") or bool(re.search(r"(^|[^a-z])train", path.stem.lower()))


def check_leaks(scans: Iterable[str], where: str, kind: str) -> Iterator[Finding]:
    """Rooms of benchmarks among the scans of a training file."""
    for benchmark, hits in leaking(scans).items():
        yield problem(
            "leak",
            where,
            f"training data about {len(hits)} scans of {benchmark}",
            "leave these scans out (rft3d data prepare vsi does so), or don't report that benchmark",
            hits,
        )


def check_angles(sets: list[BoxSet], where: str, converts: bool) -> Iterator[Finding]:
    """The angle convention of boxes, and whether they stand upright in the world at all."""
    if not sets:
        return
    verdict = angle_verdict(sets)
    if verdict.convention == "extrinsic":
        how = "vgllm(path, old_angles=True) converts them" if converts else "then prepare the samples again"
        what = f"boxes look like the angle convention of before 2025-11-27 ({verdict.words()})"
        yield problem("old-angles", where, what, f"download the files of 2025-11-27 or later; {how}")
    elif verdict.convention == "intrinsic":
        yield found(where, f"angles are intrinsic ZXY ({verdict.words()})")
    else:
        yield Finding("note", "old-angles", where, f"the boxes don't tell their angles ({verdict.words()})")
    if verdict.world_upright is not None and verdict.boxes >= 8 and verdict.world_upright < LEAST_UPRIGHT:
        yield problem(
            "unaligned",
            where,
            f"only {verdict.world_upright:.0%} of boxes are upright in the world",
            "the cameras are not in the axis-aligned world; multiply by axis_align_matrix",
        )
