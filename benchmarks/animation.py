"""The moving picture of the README: a room, and the boxes that models name in it, one after another.

Run: python benchmarks/animation.py docs/images/boxes.gif --room 34 --models rooms-sft rooms
Green: true boxes. Orange: predicted ones, whether they hit or not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rft3d.evaluation.dataset import world_of
from rft3d.evaluation.infer import boxes_in_frame, detection_question, infer
from rft3d.geometry import invert_pose, transform_boxes
from rft3d.models import load_policy
from rft3d.report.draw import draw_boxes
from rft3d.scenes import frame_refs, make_room
from rft3d.scenes.clips import clip_of_scene

SHOWN = (0, 2)  # frames side by side
TITLES = {"rooms-sft": "after SFT", "rooms": "after RFT"}
STEP_MS, HOLD_MS = 450, 2500


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/boxes.gif"))
    parser.add_argument("--room", type=int, default=34)
    parser.add_argument("--models", nargs="+", default=["rooms-sft", "rooms"])
    args = parser.parse_args()
    config, tasks = world_of(args.models[-1])
    scene, task = make_room(args.room, config), tasks["detection"]
    clip = clip_of_scene(scene, config.frames)
    asked = task.samples(scene, frame_refs(scene), 0)[0]
    first = clip.T_world_camera[0]
    true = transform_boxes(first, np.array([row["bbox_3d"] for row in asked.truth["boxes"]]))
    pictures, times = [], []
    for name in args.models:
        found = infer(load_policy(name), clip, detection_question(clip))
        details = task.score(found.text, asked).details
        title = TITLES.get(name, name)
        caption = f"{title}: {details['n_hits']} of {details['n_true']} objects found"
        for count in range(len(found.boxes) + 1):
            strip = []
            for frame in SHOWN:
                known = transform_boxes(invert_pose(clip.T_world_camera[frame]), true)
                picture = draw_boxes(clip.frames[frame], known, clip.K[frame], "#18a558", scale=2)
                labels, boxes = boxes_in_frame(found, clip, frame)
                K = clip.K[frame] * np.array([[2.0], [2.0], [1.0]])
                strip.append(draw_boxes(picture, boxes[:count], K, "#ff7f0e", labels[:count]))
            sheet = Image.fromarray(np.concatenate(strip, axis=1))
            painter = ImageDraw.Draw(sheet)
            painter.rectangle((0, 0, sheet.width, 24), fill="#0f172a")
            font = ImageFont.load_default(size=15)
            painter.text((8, 3), caption if count == len(found.boxes) else title, fill="#ffffff", font=font)
            pictures.append(sheet.quantize(96, dither=Image.Dither.NONE))
            times.append(HOLD_MS if count == len(found.boxes) else STEP_MS)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        args.out, save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True
    )
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, {len(pictures)} pictures")


if __name__ == "__main__":
    main()
