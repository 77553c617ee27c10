"""Experiments on procedural rooms: arms that start from one policy, judged on the same fresh rooms.

Stands between the roof and everything else. An experiment is a file in ``recipes/experiments``, or the demo;
:func:`run_experiments` trains and judges what is missing, side by side where cores allow;
:func:`write_results` makes the page of results.
"""

# pyright: reportUnsupportedDunderAll=false
# (they are made when asked for: a name of the configs costs no torch)

from rft3d import lazily

__all__ = [
    "Arm", "Claim", "Experiment", "Scratch", "World", "listing", "load_experiments", "run_demo",
    "run_experiments", "write_results",
]  # fmt: skip

__getattr__ = lazily(__name__, "types", "places", "run", "page", "demo")
