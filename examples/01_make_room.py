"""A seed becomes a furnished room and a short posed clip of it.

    python examples/01_make_room.py [--seed 7] [--out room]

Prints what is in the room, writes it as a scene folder with a contact sheet, and reads it back.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from rft3d.scenes import RoomConfig, load_rgb, make_room, read_scene, write_scene


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=None, help="folder (default: a temporary one)")
    args = parser.parse_args()

    scene = make_room(args.seed, RoomConfig(width=320, height=240))
    print(f"room {scene.id}: {len(scene.frames)} frames, {len(scene.objects)} objects")
    for item in scene.objects:
        x, y, z, dx, dy, dz, yaw = item.box[:7]
        words = " ".join(item.attributes.values())
        print(f"  {item.id} {item.label:13} {words:14} at ({x:5.2f} {y:5.2f} {z:5.2f}) m,", end=" ")
        print(f"{dx:.2f} x {dy:.2f} x {dz:.2f} m, front towards {np.degrees(yaw):4.0f} deg")
    for frame in scene.frames:
        seen = ", ".join(f"{scene.objects[k].label} {share:.0%}" for k, share in frame.visible.items())
        print(f"  frame {frame.name} sees {seen or 'nothing'}")
    for e in scene.expressions:
        print(f"  '{e.text}' is object {e.target}, best seen in frame {e.best_frame}")

    with tempfile.TemporaryDirectory() as temporary:
        folder = write_scene(scene, args.out or temporary)
        sheet = np.concatenate([load_rgb(frame) for frame in read_scene(folder).frames], axis=1)
        Image.fromarray(sheet).save(folder / "sheet.png")
        print(f"wrote and read back {len(list(folder.rglob('*.png')))} pictures", end="")
        print(f" in {args.out}" if args.out else "")


if __name__ == "__main__":
    main()
