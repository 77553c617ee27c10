"""ScanNet recordings to the posed pictures that EmbodiedScan's infos name, every 10th frame.

Writes ``<out>/<scan>/{00000.jpg, 00000.txt, intrinsic.txt}``. The JPEG bytes are those of the recording,
not encoded again. Files that are there are kept, so that a stopped run goes on.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from rft3d.files import write_bytes, write_text
from rft3d.locks import only_writer
from rft3d.process import end_with_parent, progress
from rft3d.scenes.readers.scannet_sens import SensFile, read_sens, recordings


def extract_scan(sens: Path, out: Path, every: int = 10) -> int:
    """Write the pictures and poses of one recording; returns how many pictures are there afterwards.

    Raises:
        ValueError: a damaged or truncated recording, or one whose pictures are no JPEGs.
        InUse: another process writes the same scan.
    """
    recording = read_sens(sens).whole()
    if recording.colour_kind != "jpeg":
        raise ValueError(f"{sens}: its pictures are {recording.colour_kind}, only JPEG is copied")
    folder = out / sens.stem
    with only_writer(folder):
        return _write_scan(recording, folder, every)


def _write_scan(recording: SensFile, folder: Path, every: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    K = np.eye(4)
    K[:3, :3] = recording.K_colour
    write_text(folder / "intrinsic.txt", _matrix(K))
    chosen = recording.frames[::every]
    for frame in chosen:
        name = f"{frame.index:05d}"
        picture, pose = folder / f"{name}.jpg", folder / f"{name}.txt"
        if not picture.is_file() or picture.stat().st_size != frame.colour_bytes:
            write_bytes(picture, recording.colour_data(frame), synced=False)  # its size is looked at above
        text = _matrix(frame.T_world_camera)
        if not pose.is_file() or pose.read_text(encoding="utf-8") != text:
            write_text(pose, text, synced=False)
    return len(chosen)


def extract_recordings(scans: Path, out: Path, every: int = 10, workers: int = 1) -> tuple[str, bool]:
    """:func:`extract_scan` of the recording ``scans`` or of those below it, in parallel processes.

    Returns:
        What was done and what was left out and why, and whether all was done.

    Raises:
        ValueError: no recordings there, or none that can be extracted.
    """
    files = recordings(scans)
    work = partial(_extract, out=out, every=every)
    total, left_out = 0, []
    context = multiprocessing.get_context("spawn")
    with (
        progress(Console(stderr=True), "recordings", len(files)) as advance,
        ProcessPoolExecutor(workers, context, end_with_parent) if workers > 1 else nullcontext() as pool,
    ):
        for found in pool.map(work, files) if pool else map(work, files):
            if isinstance(found, str):
                left_out.append(found)
            else:
                total += found
            advance(1, f"{total} pictures")
    if len(left_out) == len(files):
        raise ValueError(left_out[0])
    words = [f"{total} pictures of {len(files) - len(left_out)} recordings"]
    return "\n".join([*words, *(f"  left out: {reason}" for reason in left_out)]), not left_out


def _extract(sens: Path, out: Path, every: int) -> int | str:
    try:
        return extract_scan(sens, out, every)
    except ValueError as problem:  # one recording must not stop the others
        return str(problem)


def _matrix(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.9g}" for value in row) for row in matrix) + "\n"
