"""Facts from the scene folder next to a sample's pictures: depth as a point cloud, the floor, all objects.

``rft3d rooms``, ``rft3d samples`` and ``write_dataset`` leave such a folder (``scenes/<id>/scene.json``); a
samples file with bare pictures has none, and then a report shows less.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import backproject, transform_points
from rft3d.scenes import RoomConfig
from rft3d.scenes.folder import read_scene
from rft3d.scenes.images import load_depth, load_rgb
from rft3d.scenes.sources import drawn_room
from rft3d.scenes.types import Scene
from rft3d.typed import typed

CLOUD_POINTS = 9000
CLOUD_FRAMES = 12
Cloud = tuple[NDArray[np.float64], NDArray[np.uint8]]


@dataclass(frozen=True)
class SceneFacts:
    """One scene folder, read once; ``frame_of`` maps a picture's resolved path to its frame's index."""

    folder: Path
    scene: Scene
    frame_of: dict[Path, int]


@lru_cache(maxsize=64)
def scene_facts(folder: Path) -> SceneFacts | None:
    """The scene in ``folder``; None when there is none, or when its scene.json cannot be read."""
    if not (folder / "scene.json").is_file():
        return None
    try:
        scene = read_scene(folder)
    except (OSError, ValueError):
        return None  # the pictures alone are still worth showing
    frames = {frame.rgb.resolve(): i for i, frame in enumerate(scene.frames) if isinstance(frame.rgb, Path)}
    return SceneFacts(folder, scene, frames)


def facts_of_pictures(
    frames: tuple[str, ...], folder: Path, inside: Sequence[Path], T_world_camera: NDArray[np.float64]
) -> SceneFacts | None:
    """The scene folder two levels above the first picture (``<scene>/rgb/000.png``), if ``inside`` has it and the
    picture has this pose there too: then sample and folder mean the same world."""
    if not frames or frames[0].startswith("rooms:"):
        return None
    picture = (folder / frames[0]).resolve()
    scene = picture.parent.parent
    if not any(scene.is_relative_to(each.resolve()) for each in inside):
        return None
    facts = scene_facts(scene)
    if facts is None or picture not in facts.frame_of:
        return None
    known = facts.scene.frames[facts.frame_of[picture]].T_world_camera
    return facts if np.allclose(known, T_world_camera, atol=1e-4) else None


def room_config(config: Any) -> RoomConfig:
    """How a run's rooms were made, as far as its ``config.json`` says."""
    found = config.get("rooms") if isinstance(config, dict) else None
    try:
        return typed(RoomConfig, found or {}, "config.json: rooms", extra=True)
    except ValueError:
        return RoomConfig()


def drawn_again(scene: Scene, config: RoomConfig) -> Scene | None:
    """The procedural room that ``scene`` was, with its depth; None for other scenes and other rooms."""
    seed = re.fullmatch(r"rooms-(\d+)", scene.id)
    if seed is None:
        return None
    room = drawn_room(int(seed[1]), config)
    poses = [np.array([frame.T_world_camera for frame in each.frames]) for each in (scene, room)]
    same = poses[0].shape == poses[1].shape and np.allclose(*poses, atol=1e-4)
    return room if same else None


def point_cloud(scene: Scene, most: int = CLOUD_POINTS, frames: int = CLOUD_FRAMES) -> Cloud | None:
    """World points (metres) and colours from the depth of at most so many ``frames``; None where none has any."""
    known = [frame for frame in scene.frames if frame.depth is not None]
    if not known:
        return None
    places = np.unique(np.linspace(0, len(known) - 1, min(frames, len(known))).round().astype(int))
    rng = np.random.default_rng(0)
    points, colours = [], []
    for frame in (known[place] for place in places):
        depth, rgb = load_depth(frame), load_rgb(frame)
        # depth may be coarser than the picture: K is the picture's, so both are taken on the depth's grid
        height, width = depth.shape
        shrink = np.diag([width / frame.width, height / frame.height, 1.0])
        camera = backproject(depth, shrink @ frame.intrinsics).reshape(-1, 3)
        rows = (np.arange(height) * rgb.shape[0] // height)[:, None]
        pixels = rgb[rows, np.arange(width) * rgb.shape[1] // width].reshape(-1, 3)
        valid = np.flatnonzero(depth.reshape(-1) > 0)
        if not len(valid):
            continue
        chosen = rng.choice(valid, min(len(valid), most // len(places)), replace=False)
        points.append(transform_points(frame.T_world_camera, camera[chosen]))
        colours.append(pixels[chosen])
    return (np.concatenate(points), np.concatenate(colours)) if points else None
