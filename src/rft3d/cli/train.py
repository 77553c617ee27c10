"""``rft3d train``: run a recipe."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import recipe_at


@dataclass(frozen=True)
class Args:
    """Run a recipe (see recipes/): a .py file that returns a frozen config, or a .toml or .json file of its fields.

    A .py recipe is executed: run only those that you trust. A .toml or .json recipe is only read.

    Its docstring states the command, the hardware, the hours and the expected number. Every other
    option overrides a field of its config, e.g. rft3d train recipes/x.py --seed 3.
    """

    recipe: tyro.conf.Positional[Path]
    """recipe file; with --help behind it, its fields are listed"""
    dry_run: bool = False
    """print the resolved config, what the run will cost and each task's first prompt; train nothing"""


def main(args: Args, overrides: list[str]) -> None:
    recipe_at(args.recipe)
    if args.dry_run:
        _dry_run(args.recipe, overrides)
        return
    from rft3d.training.recipes import run_recipe

    run_recipe(args.recipe, overrides)


def _dry_run(path: Path, overrides: list[str]) -> None:
    import json
    from dataclasses import asdict

    from rft3d.cost.price import estimate_recipe, show
    from rft3d.files import plain
    from rft3d.tasks import read_samples
    from rft3d.training.recipes import apply_overrides, check_recipe, load_recipe

    recipe = apply_overrides(load_recipe(path), overrides)
    check_recipe(recipe, path)
    print(f"config\n{json.dumps(asdict(recipe), indent=2, default=plain)}\n")
    try:
        print(f"cost\n{show(estimate_recipe(path, overrides))}")
    except ValueError as error:  # a recipe that does not say what it starts from can be shown all the same
        print(f"cost: not known; {error}")
    for task, file in recipe.samples.items():
        first = next(iter(read_samples(file)), None) if file.is_file() else None
        print(f"\n{task}: {file}", "" if file.is_file() else "(not there yet)")
        print("(no sample)" if first is None else f"first prompt, of {first.id}\n{first.prompt}")
