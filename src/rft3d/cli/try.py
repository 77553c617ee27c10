"""``rft3d try``: from the installation to boxes in one command."""

from __future__ import annotations

from dataclasses import dataclass

from rft3d.cli._clip import ModelOptions, answer, show


@dataclass(frozen=True, kw_only=True)
class Args(ModelOptions):
    """Make a room that the shipped model has never seen, let it find the objects, open the page."""

    room: int = 7
    """seed of the room; seeds below 100000 were never trained on"""
    open: bool = True
    """open the page in a browser (where there is a screen)"""


def main(args: Args) -> None:
    import os
    import sys
    import webbrowser
    from pathlib import Path

    from rft3d.evaluation.infer import detection_question
    from rft3d.evaluation.world import world_of
    from rft3d.scenes import frame_refs, make_room
    from rft3d.scenes.clips import clip_of_scene

    config, tasks = world_of(args.model)
    scene = make_room(args.room, config)
    clip = clip_of_scene(scene, config.frames)
    task = tasks["detection"]
    asked = task.samples(scene, frame_refs(scene), args.room)[0]

    def judge(text: str) -> str:
        read = task.score(text, asked).details
        return f"found {read['n_hits']} of {read['n_true']} objects (the same label, IoU above 0.25)"

    record = answer(args, "try", clip, detection_question(clip), 2000, judge)
    show(record, args.json)
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if args.open and sys.stdout.isatty() and screen:
        webbrowser.open(Path(record["files"]["page"]).resolve().as_uri())
