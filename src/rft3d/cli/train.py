"""``rft3d train``: run a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Run a recipe: a Python file that returns a frozen config (see recipes/).

    Its docstring states the command, the hardware, the hours and the expected number. Every other
    option overrides a field of its config, e.g. rft3d train recipes/x.py --seed 3.
    """

    recipe: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """recipe file"""


def main(args: Args, overrides: list[str]) -> None:
    if not args.recipe.is_file():
        raise FileNotFoundError(f"no recipe at {args.recipe}; recipes/ holds the ready ones")
    from rft3d.report.overlay import paint_answer
    from rft3d.training.recipes import run_recipe

    run_recipe(args.recipe, overrides, paint_answer)
