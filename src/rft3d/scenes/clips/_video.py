"""Video files: decode a few frames of any length of video, write a short one. Needs PyAV (the extra ``video``).

Reading makes two passes. The first reads packets without decoding them and so learns every frame's time;
the second seeks to the keyframe before each chosen frame and decodes from there. Memory holds the chosen
frames only.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.files import replacing
from rft3d.scenes.clips._clip import LONGEST_SIDE, Clip, ClipSampling, spread_indices
from rft3d.scenes.images import MAX_PIXELS
from rft3d.scenes.readers.records import nearest_place

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of ITU-T H.273 that need tone mapping to look right."""
WHOLE = 0.9
"""Videos shorter than this share of what their file declares get a note."""
_CONTAINERS = "mov,matroska,avi,mpeg,mpegts"
NEAR_FRAMES = 2
"""A chosen frame may be replaced by a decoded one at most so many frame times away (interlaced streams)."""


@dataclass(frozen=True)
class _Index:
    """Times of all frames in the stream's time base, ascending, and those of the keyframes."""

    pts: list[int]
    keys: list[int]
    time_base: Fraction

    def seconds(self, pts: int) -> float:
        return float((pts - self.pts[0]) * self.time_base)


def read_video(path: Path | str, sampling: ClipSampling | None = None) -> Clip:
    """The chosen frames of a video file, turned upright as its metadata says.

    Raises:
        ModuleNotFoundError: PyAV is not installed.
        ValueError: no video in the file, no decoder for it, or a damaged file; says which.
    """
    path, sampling = Path(path), sampling or ClipSampling()
    with _opened(path) as (container, stream):
        index = _index(container, stream, path)
        places, words = _choose(index, sampling, path)
        declared_s = float(container.duration or 0) / 1e6
    with _opened(path) as (container, stream):  # a container that was read to its end can't always seek back
        decoded = list(_decode(container, stream, index, [index.pts[place] for place in places], path))
    frames = tuple(frame for frame, _, _ in decoded)
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        found = ", ".join(sorted(f"{shape[1]}x{shape[0]}" for shape in shapes))
        raise ValueError(f"{path}: the size of the picture changes in the video ({found}); cut it first")
    transfer = next((HDR_TRANSFERS[t] for _, _, t in decoded if t in HDR_TRANSFERS), None)
    notes = []
    if transfer:
        notes.append(f"HDR video ({transfer}): without tone mapping, colours are flatter than in training")
    length_s = index.seconds(index.pts[-1])
    if length_s < WHOLE * declared_s - 1.0:
        notes.append(f"the file says {declared_s:.1f} s but holds {length_s:.1f} s: it may be cut off")
    size = decoded[0][1]
    times, scale = tuple(index.seconds(index.pts[place]) for place in places), frames[0].shape[1] / size[0]
    total = len(index.pts)
    return Clip(path.stem, frames, tuple(places), total, times, size, scale, words, notes=tuple(notes))


def write_video(path: Path | str, frames: Iterable[NDArray[np.uint8]], fps: float = 10.0) -> Path:
    """Write ``(H, W, 3)`` uint8 frames of one size as H.264 in MP4, atomically; odd sizes lose a row or column.

    Raises:
        ModuleNotFoundError: PyAV is not installed.
        ValueError: no frames.
    """
    import av

    path = Path(path)
    encoder = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    faststart = {"movflags": "faststart"}  # so that a browser plays it while it loads
    with replacing(path) as unfinished, av.open(str(unfinished), "w", "mp4", options=faststart) as container:
        stream: Any = None
        for frame in frames:
            even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
            if stream is None:
                stream = container.add_stream(encoder, rate=Fraction(fps).limit_denominator(1000))
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": "18"}  # thin lines stay sharp
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            container.mux(stream.encode(picture))
        if stream is None:
            raise ValueError(f"{path}: no frames to write")
        container.mux(stream.encode())
    return path


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Container and video stream of ``path``; what FFmpeg says of a bad file becomes a ValueError."""
    import av
    from av.error import FFmpegError

    try:
        # the container is told by the file's content; playlists and lists of other files are none of these
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
        with av.open(str(path), container_options=options) as container:
            if not container.streams.video:
                kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
                raise ValueError(f"{path} holds no video, only {', '.join(kinds)}")
            stream: Any = container.streams.video[0]
            context = getattr(stream, "codec_context", None)  # None where FFmpeg knows no decoder
            if context is None:
                raise ValueError(
                    f"{path}: this FFmpeg has no decoder for the video; convert it first, "
                    "e.g. ffmpeg -i IN -c:v libx264 OUT.mp4"
                )
            if (context.width or 0) * (context.height or 0) > MAX_PIXELS:
                raise ValueError(f"{path}: frames of {context.width}x{context.height}, over {MAX_PIXELS=}")
            stream.thread_type = "AUTO"
            yield container, stream
    except (FFmpegError, UnicodeDecodeError) as error:  # a stream's name may be any bytes
        reason = (getattr(error, "strerror", "") or type(error).__name__).rstrip(".")
        raise ValueError(
            f"{path} cannot be read as a video ({reason}); a file that was cut off or only partly copied "
            "looks like this"
        ) from error


def _index(container: Any, stream: Any, path: Path) -> _Index:
    packets = [
        (packet.pts, packet.is_keyframe)
        for packet in container.demux(stream)
        if packet.size and not packet.is_discard
    ]
    if not packets:
        raise ValueError(f"{path} holds no frames")
    if any(pts is None for pts, _ in packets):
        raise ValueError(
            f"{path}: its frames carry no times; put it into a container that has them, "
            "e.g. ffmpeg -i IN -c copy OUT.mp4"
        )
    pts = sorted({pts for pts, _ in packets})
    keys = sorted({pts for pts, key in packets if key}) or pts[:1]
    return _Index(pts, keys, stream.time_base)


def _choose(index: _Index, sampling: ClipSampling, path: Path) -> tuple[list[int], str]:
    """Places of the chosen frames in ``index.pts``, and the rule in words."""
    times = [index.seconds(pts) for pts in index.pts]
    first = bisect_left(times, sampling.start_s - 1e-6)
    last = len(times) if sampling.end_s is None else bisect_right(times, sampling.end_s + 1e-6)
    if first >= last:
        raise ValueError(
            f"{path} is {times[-1]:.1f} s long; nothing lies between start={sampling.start_s:g} s and "
            f"end={'its end' if sampling.end_s is None else f'{sampling.end_s:g} s'}"
        )
    step = sampling.every_s
    if step is not None and times[first] + (sampling.frames - 1) * step <= times[last - 1] + 1e-6:
        wanted = [times[first] + k * step for k in range(sampling.frames)]
        places = [nearest_place(times, time) for time in wanted]
        if len(set(places)) == len(places):
            return places, f"one frame every {step:g} s from {times[first]:.2f} s on"
    spread = [first + place for place in spread_indices(last - first, sampling.frames)]
    why = "" if step is None else f" (too short, or too few frames, for one every {step:g} s)"
    return spread, f"spread over {times[first]:.2f} to {times[last - 1]:.2f} s{why}"


def _decode(
    container: Any, stream: Any, index: _Index, wanted: Sequence[int], path: Path
) -> Iterator[tuple[NDArray[np.uint8], tuple[int, int], int]]:
    """For each wanted time (ascending) the picture, its size as shown, and its transfer characteristic."""
    span = index.pts[-1] - index.pts[0]
    tolerance = NEAR_FRAMES * max(1, span // max(1, len(index.pts) - 1))
    decoder: Iterator[tuple[Any, bool]] | None = None
    frame: Any = None
    sound = True
    for target in wanted:
        key = index.keys[max(bisect_right(index.keys, target) - 1, 0)]
        if decoder is None or (frame is not None and key > frame.pts):
            decoder, frame = _from_key(container, stream, index, key), None
        while frame is None or frame.pts < target:
            following = next(decoder, None)
            if following is None:
                break
            frame, sound = following
        if frame is None or abs(frame.pts - target) > tolerance or not sound:
            raise ValueError(
                f"{path}: the frame at {index.seconds(target):.2f} s is damaged and cannot be decoded; "
                "choose an undamaged part with --start and --end"
            )
        yield _upright(frame, stream, path)


def _from_key(container: Any, stream: Any, index: _Index, key: int) -> Iterator[tuple[Any, bool]]:
    """Frames from the one at ``key`` on, or from earlier: some containers seek by guess and land behind it."""
    if key > index.keys[0]:
        container.seek(key, stream=stream, backward=True)
        decoder = _sound_frames(container, stream)
        first = next(decoder, None)
        if first is not None and first[0].pts <= key:
            return chain([first], decoder)
    container.seek(min(0, index.pts[0]), stream=stream, backward=True)
    return _sound_frames(container, stream)


def _sound_frames(container: Any, stream: Any) -> Iterator[tuple[Any, bool]]:
    """Decoded frames, and whether nothing was damaged since the last keyframe that they are predicted from."""
    from av.error import InvalidDataError

    sound = True
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except InvalidDataError:  # what comes after the next keyframe can still be good
            sound = False
            continue
        for frame in frames:
            sound = (sound or frame.key_frame) and not frame.is_corrupt
            if frame.pts is not None:
                yield frame, sound


def _upright(frame: Any, stream: Any, path: Path) -> tuple[NDArray[np.uint8], tuple[int, int], int]:
    aspect = float(stream.sample_aspect_ratio or 1)  # square pixels unless the file says otherwise
    width, height = round(frame.width * aspect), frame.height
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    shown = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = frame.reformat(*shown, format="rgb24", interpolation="BICUBIC").to_ndarray()
    turns, rest = divmod(round(frame.rotation), 90)
    if rest:
        raise ValueError(f"{path}: its frames are turned by {frame.rotation} degrees; only quarters are read")
    size = (height, width) if turns % 2 else (width, height)
    return np.ascontiguousarray(np.rot90(pixels, turns)), size, int(frame.color_trc or 0)
