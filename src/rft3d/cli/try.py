"""``rft3d try``: from the installation to boxes in one command."""

from dataclasses import dataclass, fields

from rft3d.cli import detect


@dataclass(frozen=True, kw_only=True)
class Args(detect.ModelOptions):
    """Make a room that the shipped model has never seen, let it find the objects, open the page."""

    room: int = detect.ROOM
    """seed of the room; seeds below 100000 were never trained on"""
    open: bool = True
    """the page in a browser, where there is a screen; --no-open leaves it closed"""


def main(args: Args) -> None:
    shared = {field.name: getattr(args, field.name) for field in fields(detect.ModelOptions)}
    answer = detect.find(detect.Args(source=f"rooms:{args.room}", **shared), "try")
    if args.open:
        detect.open_page(answer)
