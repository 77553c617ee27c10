"""The moving picture of the README: the boxes of one dense room after SFT and as RL goes on.

Run: rft3d experiment run --only few_rooms
     python benchmarks/animation.py RUN docs/images/boxes.gif --sample rooms-900220:detection:0
RUN is the folder of the experiment's seed 0.
Green: true boxes. Orange: answers of the SFT policy and of RFT at each checkpoint that the run kept, dashed where
wrong. On the way from one answer to the next a box moves evenly from its place to that of the nearest one with its
label; these pictures between are no answers, and nothing is counted on them.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rft3d.evaluation.infer import detection_question, infer
from rft3d.files import read_json
from rft3d.geometry import invert_pose, transform_boxes
from rft3d.models import load_policy
from rft3d.report.draw import PREDICTED_COLOUR, TRUE_COLOUR, draw_boxes
from rft3d.report.samples import KnownQuestion
from rft3d.report.scene_facts import room_config
from rft3d.rewards import Comparison
from rft3d.scenes import make_room
from rft3d.scenes.clips import clip_of_scene
from rft3d.tasks import make_task, read_samples

SHOWN = (0, 2)  # frames side by side
STEPS, STEP_MS, HOLD_MS = 7, 110, 2200
Boxes = list[tuple[str, NDArray[np.float64], bool]]  # label, box in the first camera, whether it is a miss


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/boxes.gif"))
    parser.add_argument("--sample", required=True)
    parser.add_argument("--before", default="sft")
    parser.add_argument("--arm", default="rft_ours")
    args = parser.parse_args()
    asked = next(s for s in read_samples(args.run / "eval/detection.samples.jsonl") if s.id == args.sample)
    scores = read_json(args.run / "eval" / args.arm / "detection.scores.json")
    task = make_task("detection", scores["protocol"].get("mode"), scores["options"])
    rooms = room_config(read_json(args.run / "config.json"))
    clip = clip_of_scene(make_room(int(asked.scene.removeprefix("rooms-")), rooms), rooms.frames)
    true = np.array([row["bbox_3d"] for row in asked.truth["boxes"]])
    saved = sorted((args.run / "stages" / args.arm / "checkpoints").glob("step-*"))
    stages: list[tuple[str, Path]] = [("SFT", args.run / "models" / args.before / "model.safetensors")]
    stages += [(f"RFT, step {int(path.name[5:])}", path / "model.safetensors") for path in saved]
    answers: list[tuple[str, Boxes]] = []
    for title, weights in stages:
        found = infer(policy_with(args.run / "models" / args.arm, weights), clip, detection_question(clip))
        both = task.score(found.text, asked).evidence_of(Comparison)
        hits = len(both.match.pairs)
        said = f"{title}: {hits} of {len(both.truth)} found, {len(both.predicted) - hits} wrong"
        print(said, flush=True)
        seen, _ = KnownQuestion(asked, task).boxes_of(task.parse(found.text, asked))
        boxes = [
            (b.label, np.array(b.bbox_3d), v.match is None) for b, v in zip(found.boxes, seen, strict=True)
        ]
        answers.append((said, boxes))
    pictures, times = [], []
    for place, (said, boxes) in enumerate(answers):
        pictures.append(picture(clip, true, boxes, said))
        times.append(HOLD_MS)
        following = answers[(place + 1) % len(answers)]
        for step in range(1, STEPS if place + 1 < len(answers) else 1):
            title = f"{said.partition(':')[0]} -> {following[0].partition(':')[0]}"
            pictures.append(picture(clip, true, between(boxes, following[1], step / STEPS), title))
            times.append(STEP_MS)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        args.out, save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True
    )
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, {len(pictures)} pictures")


def policy_with(model: Path, weights: Path) -> Any:
    """The policy in the folder ``model``, with other weights of its kind."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        shutil.copytree(model, folder, ignore=shutil.ignore_patterns("digests.json", "model.safetensors"))
        shutil.copy(weights, folder / "model.safetensors")
        return load_policy(folder)


def between(before: Boxes, after: Boxes, share: float) -> Boxes:
    """``after``'s boxes on their way from the nearest of ``before`` with their label; new ones grow in place."""
    moved: Boxes = []
    for label, box, missed in after:
        near = [old for name, old, _ in before if name == label]
        old = min(near, key=lambda o: float(np.linalg.norm(o[:3] - box[:3])), default=None)
        if old is None or np.linalg.norm(old[:3] - box[:3]) > 1.5:
            old = np.concatenate([box[:3], 0.05 * box[3:6], box[6:]])
        turn = (box[6:] - old[6:] + np.pi) % (2 * np.pi) - np.pi
        at = np.concatenate([old[:6] + share * (box[:6] - old[:6]), old[6:] + share * turn])
        moved.append((label, at, missed))
    return moved


def picture(clip: Any, true: NDArray[np.float64], boxes: Boxes, caption: str) -> Image.Image:
    strip = []
    for frame in SHOWN:
        here = invert_pose(clip.T_world_camera[frame]) @ clip.T_world_camera[0]
        both = np.concatenate([true, *(box[None] for _, box, _ in boxes)])
        colours = [TRUE_COLOUR] * len(true) + [PREDICTED_COLOUR] * len(boxes)
        dashed = [False] * len(true) + [missed for _, _, missed in boxes]
        strip.append(
            draw_boxes(
                clip.frames[frame],
                transform_boxes(here, both),
                clip.K[frame],
                colours,
                dashed=dashed,
                scale=2,
            )
        )
    sheet = Image.fromarray(np.concatenate(strip, axis=1))
    painter = ImageDraw.Draw(sheet)
    painter.rectangle((0, 0, sheet.width, 24), fill="#0f172a")
    painter.text((8, 3), caption, fill="#ffffff", font=ImageFont.load_default(size=15))
    return sheet.quantize(96, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
