"""``rft3d rooms``: procedural rooms and questions about them."""

from dataclasses import dataclass
from pathlib import Path

from rft3d.cli._choices import WorldName, free
from rft3d.evaluation import world_of_model, write_dataset
from rft3d.scenes import WORLDS, iter_rooms


@dataclass(frozen=True)
class Args:
    """Make furnished rooms and questions about them, all from a seed.

    Writes every room as a folder (pictures, depth, cameras, objects) and one samples file a task:
    samples.detection.jsonl, samples.grounding.jsonl, samples.spatial.jsonl, samples.captioning.jsonl.
    """

    seed: int
    """seed of the first room; the others follow it"""
    count: int
    """how many rooms"""
    out: Path
    """folder to write"""
    force: bool = False
    """replace what is at --out"""
    like: str | None = None
    """make rooms like those that this model was trained on, with its tasks' options: rooms, rooms-sft or a
    model folder with a world.json"""
    world: WorldName | None = None
    """which rooms: 6-15 things, few large ones, or 20-40; asked as --like says"""


def main(args: Args) -> None:
    free(args.out, args.force, ours=("scenes", "samples.*"))
    if args.count < 1:
        raise ValueError(f"--count must be at least 1, got {args.count}")
    if args.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {args.seed}")
    config, tasks = world_of_model(args.like) if args.like else (None, None)
    config = WORLDS[args.world] if args.world else config
    rooms = iter_rooms(range(args.seed, args.seed + args.count), config)
    counts = write_dataset(rooms, args.out, tasks=tasks, seed=args.seed)
    print(
        f"{args.out}: {args.count} rooms, " + ", ".join(f"{n} {task} samples" for task, n in counts.items())
    )
