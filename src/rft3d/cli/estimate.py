"""``rft3d estimate``: what a recipe will cost."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import recipe_at


@dataclass(frozen=True)
class Args:
    """Tokens, parameters, memory by part and compute by stage of a recipe, from its config alone.

    A .py recipe is executed, a .toml or .json one only read. Needs neither weights nor a GPU. Every other option
    overrides a field of the recipe, as in rft3d train, e.g. rft3d estimate recipes/rft_4b_detection.py
    --plan.gpus 2 --stages.0.group-size 16.
    """

    recipe: tyro.conf.Positional[Path]
    """recipe file"""
    json: bool = False
    """print JSON (bytes and FLOPs) instead of text"""


def main(args: Args, overrides: list[str]) -> None:
    import json

    recipe_at(args.recipe)
    from rft3d.cost.price import estimate_recipe, show

    found = estimate_recipe(args.recipe, overrides)
    print(json.dumps(found.record(), indent=2) if args.json else show(found))
