"""Floor 1: the world as records. Types, procedural rooms, readers; no prompts, no tensors."""

from rft3d.scenes.folder import read_posed_clip, read_scene, write_scene
from rft3d.scenes.images import load_depth, load_instances, load_rgb
from rft3d.scenes.rooms import WORLDS, RoomConfig, iter_rooms, make_room
from rft3d.scenes.sources import SOURCES, frame_refs, load_frame_ref, open_scenes
from rft3d.scenes.types import CATE8, CATE20, CATE31, Expression, Frame, Scene, SceneObject, validate_scene
from rft3d.scenes.windows import select_frames, sliding_windows, spread_frames

__all__ = [
    "CATE8", "CATE20", "CATE31", "SOURCES", "WORLDS", "Expression", "Frame", "RoomConfig", "Scene",
    "SceneObject", "frame_refs", "iter_rooms", "load_depth", "load_frame_ref", "load_instances", "load_rgb",
    "make_room", "open_scenes", "read_posed_clip", "read_scene", "select_frames", "sliding_windows",
    "spread_frames", "validate_scene", "write_scene",
]  # fmt: skip
