"""The paper's claims as a matrix of arms: each is trained from a shared base, judged on the same rooms.

Stands between the roof and the demo, whose first stages (rooms, encoders, features) it shares. An experiment
is a file in ``recipes/matrix``; :func:`run_matrix` trains what is missing, :func:`write_results` turns the
run folders into ``docs/results.md``.
"""

from __future__ import annotations

from rft3d.matrix.load import load_experiments
from rft3d.matrix.run import run_matrix
from rft3d.matrix.table import write_results
from rft3d.matrix.types import Arm, Claim, Experiment, World

__all__ = ["Arm", "Claim", "Experiment", "World", "load_experiments", "run_matrix", "write_results"]
