"""Weights that write box angles in the old convention, and the house's one.

Detection and grounding weights trained before 2025-11-27 write extrinsic z-x-y angles, later ones and
everything in this project intrinsic Z-X-Y (``docs/conventions.md``). A checkpoint says which; the policy
translates at its own boundary, so that tasks, rewards and scores only ever see the house's convention: texts
that it generates are translated after decoding, answers that it is to learn before tokenizing.

Only the last three of nine plain numbers behind ``"bbox_3d"`` are touched; all other text stays as it is,
so what could not be parsed before still can't.
"""

import re
from collections.abc import Callable

import numpy as np

from rft3d.geometry import euler_zxy_from_matrix, matrix_from_euler_zxy, matrix_from_euler_zxy_extrinsic

Angles = list[float]

# Possessive and bounded: model output is untrusted text.
_BOX = re.compile(r'("bbox_3d"\s*+:\s*+\[)([^\[\]]{1,600}+)(?=\])')
_NUMBER = re.compile(r"-?\d{1,12}(?:\.\d{1,17})?(?:[eE][+-]?\d{1,2})?")
TRANSLATED_DECIMALS = 4


def intrinsic_from_extrinsic(angles: Angles) -> Angles:
    """Old angles (a, b, c), ``R = Ry(c) Rx(b) Rz(a)``, to (yaw, roll, pitch) of the same rotation."""
    return euler_zxy_from_matrix(matrix_from_euler_zxy_extrinsic(np.array(angles))).tolist()


def extrinsic_from_intrinsic(angles: Angles) -> Angles:
    """The inverse of :func:`intrinsic_from_extrinsic`: the extrinsic angles of R are minus those of R^T."""
    transposed = matrix_from_euler_zxy(np.array(angles)).T
    return (-euler_zxy_from_matrix(transposed) + 0.0).tolist()


def house_text(text: str, convention: str) -> str:
    """What weights of ``convention`` wrote, with the house's angles (4 decimals)."""
    return _translated(text, convention, intrinsic_from_extrinsic, TRANSLATED_DECIMALS)


def weights_text(text: str, convention: str) -> str:
    """A text with the house's angles as weights of ``convention`` write it, with as many decimals."""
    return _translated(text, convention, extrinsic_from_intrinsic, None)


def _translated(text: str, convention: str, change: Callable[[Angles], Angles], decimals: int | None) -> str:
    def box(match: re.Match[str]) -> str:
        numbers = [part.strip() for part in match[2].split(",")]
        if len(numbers) != 9 or not all(_NUMBER.fullmatch(number) for number in numbers):
            return match[0]
        kept = decimals or max(2, *(len(number.partition(".")[2]) for number in numbers))
        changed = [str(round(angle, kept) + 0.0) for angle in change([float(n) for n in numbers[6:]])]
        return match[1] + ", ".join([*numbers[:6], *changed])

    return text if convention == "intrinsic_zxy" else _BOX.sub(box, text)
