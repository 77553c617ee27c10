"""The SFT model that the package ships, ``rooms-sft``, from nothing.

    python recipes/weights/rooms.py --out runs/weights          # or: make weights

Hardware: one GPU and some cores that draw rooms (--workers), or two CPU cores. Hours: many on two CPU cores (not
measured); a stopped run goes on. What the shipped files were made with, and how ``rooms`` was made from this by
RFT, is in their cards (``src/rft3d/models/weights/*/README.md``). ``--steps`` shortens all stages to see that
everything runs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tyro
from rich.console import Console

from rft3d.pretraining.weights import WeightsConfig, make_weights, ship

CONFIG = WeightsConfig()


def main(out: Path = Path("runs/weights"), steps: int = 0, workers: int = 1, rooms: int = 0) -> None:
    """Make the SFT model and the files that are shipped.

    Args:
        out: run folder; the same command goes on with what is there.
        steps: of each stage; 0: as shipped.
        workers: processes that draw rooms ahead.
        rooms: in a step; 0: as shipped.
    """
    config = replace(CONFIG, workers=workers)
    if steps:
        stages = {
            name: replace(getattr(config, name), steps=steps) for name in ("encoder", "sft", "questions")
        }
        config = replace(config, **stages)
    if rooms:
        mixes = {name: replace(getattr(config, name), rooms=rooms) for name in ("mix", "question_mix")}
        config = replace(config, **mixes)
    console = Console(stderr=True)
    model = make_weights(config, out, console)
    shipped = ship(
        model, out / "shipped" / "rooms-sft", "rooms", "# rooms-sft\nMade by `recipes/weights/rooms.py`.\n"
    )
    console.print(f"{shipped}: ready", highlight=False)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
