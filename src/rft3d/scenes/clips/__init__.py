"""A clip to ask about: a video, a picture, or a folder of pictures (posed or not).

    clip = read_clip("kitchen.mp4", ClipSampling(frames=4, every_s=1.0))
    clip.frames[0].shape        # (H, W, 3) uint8, turned as a player would show it

Unlike a :class:`rft3d.scenes.types.Scene` a clip may know neither camera nor poses. It holds the chosen
frames only, and none with a side above 1920 pixels, so that an hour of video fits into memory.
"""

from rft3d.scenes.clips._clip import Clip, ClipSampling, spread_indices, with_fov, with_intrinsics
from rft3d.scenes.clips._reading import clip_of_scene, read_clip
from rft3d.scenes.clips._video import read_video, write_video

__all__ = [
    "Clip", "ClipSampling", "clip_of_scene", "read_clip", "read_video", "spread_indices", "with_fov",
    "with_intrinsics", "write_video",
]  # fmt: skip
