"""Scaling in model size: a smaller language model (hidden 128, 2 layers), 1.6 M parameters with its encoders.

Its encoders are of the same size but made anew, because they end in the language model's width. The usual size is
rl_beats_sft.py's, the figure scaling.py's.

Command::

    rft3d matrix run --only size_small

Hardware: two CPU cores, 4 GiB.
Time: 16 to 22 minutes a seed where two or three seeds run at once, everything included.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import of_size
from rft3d.matrix.types import Experiment


def config() -> Experiment:
    return of_size("size_small", hidden=128, layers=2, heads=4, intermediate=320)
