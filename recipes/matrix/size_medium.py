"""Scaling in model size: a medium language model (hidden 256, 4 layers), 5 M parameters with its encoders.

Its encoders are of the same size but made anew, because they end in the language model's width. The usual size is
rl_beats_sft.py's, the figure scaling.py's.

Command::

    rft3d matrix run --only size_medium

Hardware: two CPU cores, 4 GiB.
Time: not measured yet.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import of_size
from rft3d.matrix.types import Experiment


def config() -> Experiment:
    return of_size("size_medium", hidden=256, layers=4, heads=4, intermediate=704)
