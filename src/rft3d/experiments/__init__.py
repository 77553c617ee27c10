"""Experiments on procedural rooms: arms that start from one policy, judged on the same fresh rooms.

Stands between the roof and everything else. An experiment is a file in ``recipes/experiments``, or the demo;
:func:`run_experiments` trains and judges what is missing, side by side where cores allow;
:func:`write_results` makes the page of results.
"""

from __future__ import annotations

from rft3d.experiments.demo import run_demo
from rft3d.experiments.load import load_experiments
from rft3d.experiments.page import write_results
from rft3d.experiments.run import listing, run_experiments
from rft3d.experiments.types import Arm, Claim, Experiment, Scratch, World

__all__ = [
    "Arm",
    "Claim",
    "Experiment",
    "Scratch",
    "World",
    "listing",
    "load_experiments",
    "run_demo",
    "run_experiments",
    "write_results",
]
