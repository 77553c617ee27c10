"""Small videos, written with PyAV: frame ``i`` is grey of level ``8 * i`` with a white upper left quarter."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def picture(index: int, width: int, height: int) -> np.ndarray:
    frame = np.full((height, width, 3), 8 * index % 200, dtype=np.uint8)
    frame[: height // 2, : width // 2] = 255
    return frame


def write_clip(
    path: Path,
    frames: int = 24,
    width: int = 96,
    height: int = 64,
    fps: int = 4,
    codec: str = "libx264",
    keys_every: int = 6,
    turn: int = 0,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={"g": str(keys_every), "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if turn:
            stream.set_display_rotation(turn)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, width, height), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    return path
