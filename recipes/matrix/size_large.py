"""Scaling in model size: a larger language model (hidden 384, 6 layers), 12 M parameters with its encoders.

Its encoders are of the same size but made anew, because they end in the language model's width. The usual size is
rl_beats_sft.py's, the figure scaling.py's.

Command::

    rft3d matrix run --only size_large

Hardware: two CPU cores, 4 GiB.
Time: 116 minutes a seed where three seeds run at once, everything included.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import of_size
from rft3d.matrix.types import Experiment


def config() -> Experiment:
    return of_size("size_large", hidden=384, layers=6, heads=6, intermediate=1024)
