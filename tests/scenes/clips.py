"""A tiny clip in the posed RGB-D format, written from a procedural room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rft3d.scenes import RoomConfig, load_depth, load_rgb, make_room


def clip_data(seed: int = 3) -> tuple[dict[str, Any], Any]:
    """The JSON of a clip with every optional field, and the room that it came from."""
    room = make_room(seed, RoomConfig(frames=3, width=60, height=40))
    frames = [
        {
            "index": k,
            "rgb": f"rgb/{k:03d}.png",
            "depth": f"depth/{k:03d}.png",
            "camera_to_scene": np.round(frame.T_world_camera, 6).tolist(),
            "visible": [{"box": i, "in_view_fraction": round(s, 3)} for i, s in frame.visible.items()],
        }
        for k, frame in enumerate(room.frames)
    ]
    data = {
        "scene_id": "clip_000",
        "intrinsics": room.frames[0].intrinsics.tolist(),
        "image_size": [60, 40],
        "depth_scale": 500,
        "boxes": [{"id": o.id, "label": o.label, "bbox_9dof": o.box.tolist()} for o in room.objects],
        "expressions": [
            {"text": e.text, "target": e.target, "best_frame": e.best_frame} for e in room.expressions
        ],
        "frames": frames,
    }
    return data, room


def write_clip(folder: Path, **changes: Any) -> Path:
    """Write the clip; ``changes`` replace top-level fields (None removes one)."""
    data, room = clip_data()
    for key, value in changes.items():
        data.pop(key) if value is None else data.update({key: value})
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for k, frame in enumerate(room.frames):
        Image.fromarray(load_rgb(frame)).save(folder / f"rgb/{k:03d}.png")
        depth = np.round(load_depth(frame) * 500).astype(np.uint16)
        Image.fromarray(depth).save(folder / f"depth/{k:03d}.png")
    (folder / "scene.json").write_text(json.dumps(data))
    return folder
