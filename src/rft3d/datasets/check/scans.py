"""Scans on disk: ScanNet's raw scans, posed pictures, EmbodiedScan's infos, and the videos of VSI-Bench."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rft3d.datasets.check.annotations import without_path
from rft3d.datasets.check.findings import Finding, found, listed, note, problem
from rft3d.datasets.extract import read_sens
from rft3d.digests import file_digest
from rft3d.scenes.readers._files import read_matrix
from rft3d.scenes.readers.embodiedscan import image_paths, info_records, unaligned
from rft3d.scenes.readers.scannet_export import axis_alignment, export_files, is_export
from rft3d.scenes.sources import folder as read_scenes

PICTURE_BYTES = 160_000
"""A ScanNet JPEG of 1296 x 968, for estimates where none is on disk."""
ANNOTATIONS = (".aggregation.json", "_vh_clean_2.0.010000.segs.json", "_vh_clean_2.ply", ".txt")
_LFS = b"version https://git-lfs"
_ENDS = {
    ".jpg": (b"\xff\xd8", b"\xff\xd9"),
    ".jpeg": (b"\xff\xd8", b"\xff\xd9"),
    ".png": (b"\x89PNG", b"IEND\xaeB`\x82"),
}


def scan_folders(files: Iterable[Path]) -> list[Path]:
    """Folders that look like raw ScanNet scans: they have a recording or an aggregation."""
    return sorted({path.parent for path in files if path.name.endswith((".sens", ".aggregation.json"))})


def check_scans(folders: Sequence[Path], root: Path) -> Iterator[Finding]:
    """Raw scans: files that are missing or cut off, alignment, room for their pictures."""
    missing: dict[str, list[str]] = {}
    truncated, raw, tracked_out = [], [], []
    needed = 0
    for folder in folders:
        scan = folder.name
        for ending in ANNOTATIONS:
            if not (folder / f"{scan}{ending}").is_file():
                missing.setdefault(ending, []).append(scan)
        info = folder / f"{scan}.txt"
        if info.is_file():
            try:
                if unaligned(axis_alignment(info)):
                    raw.append(scan)
            except ValueError:
                raw.append(scan)
        sens = folder / f"{scan}.sens"
        if not sens.is_file():
            missing.setdefault(".sens", []).append(scan)
            continue
        try:
            recording = read_sens(sens)
        except ValueError:
            truncated.append(f"{scan}.sens")
            continue
        if recording.truncated:
            truncated.append(f"{scan}.sens ({len(recording.frames)} of {recording.declared} frames)")
        lost = sum(not np.isfinite(frame.T_world_camera).all() for frame in recording.frames)
        if recording.frames and lost > len(recording.frames) // 2:
            tracked_out.append(scan)
        needed += sum(frame.colour_bytes for frame in recording.frames[::10])
    where = _relative(folders[0].parent, root)
    yield found(where, f"{len(folders)} ScanNet scans", [folder.name for folder in folders])
    yield from listed(
        "truncated",
        where,
        "{n} recordings are cut off or damaged",
        "download these recordings again",
        truncated,
    )
    for ending, scans in missing.items():
        if ending == ".sens":
            what, mend = "{n} scans without a .sens recording (needed only to extract pictures)", ""
        else:
            what, mend = f"{{n}} scans without <scan>{ending}", f"download ScanNet's *{ending} of these scans"
        yield from listed("missing", where, what, mend, scans)
    yield from listed(
        "unaligned",
        where,
        "{n} scans are unaligned (axisAlignment missing or the identity)",
        "download <scan>.txt again; leave scans without alignment (the test scans) out",
        raw,
    )
    yield from listed("damaged", where, "{n} scans where tracking lost most frames", "", tracked_out)
    if needed:
        yield from disk(root, where, needed, "extracting every 10th picture")


def check_pictures(files: Iterable[Path], root: Path, fast: bool) -> Iterator[Finding]:
    """Posed pictures: poses, whole files, repeated frames."""
    parents: dict[Path, set[Path]] = {}
    for path in files:
        if path.name == "intrinsic.txt" or path.match("intrinsic/intrinsic_color.txt"):
            folder = path.parent if path.name == "intrinsic.txt" else path.parent.parent
            parents.setdefault(folder.parent, set()).add(folder)
    for parent, folders in sorted(parents.items()):
        yield from _pictures(sorted(folders), _relative(parent, root), fast)


def check_scenes(folders: Iterable[Path], root: Path, fast: bool) -> Iterator[Finding]:
    """Posed clips and scene folders: readable, and their pictures whole."""
    parents: dict[Path, list[Path]] = {}
    for each in folders:
        parents.setdefault(each.parent, []).append(each)
    for parent, mine in sorted(parents.items()):
        kinds: Counter[str] = Counter()
        damaged, broken, frames = [], [], 0
        for each in mine:
            try:
                (scene,) = read_scenes(each)
            except ValueError as error:
                damaged.append(f"{each.name} ({without_path(error, each / 'scene.json')})")
                continue
            kinds["posed clips" if scene.source == "posed_clip" else "scene folders"] += 1
            frames += len(scene.frames)
            pictures = [frame.rgb for frame in scene.frames if isinstance(frame.rgb, Path)]
            broken += [f"{each.name}/{path.name}" for path in pictures if not fast and not whole(path)]
        where = _relative(parent, root)
        if kinds:
            words = " and ".join(f"{count} {kind}" for kind, count in kinds.items())
            yield found(where, f"{words} with {frames} posed pictures", [each.name for each in mine])
        yield from listed("damaged", where, "{n} scenes cannot be read", "get them again", damaged)
        yield from listed("truncated", where, "{n} pictures are cut off", "get them again", broken)


def _pictures(folders: list[Path], where: str, fast: bool) -> Iterator[Finding]:
    count, broken, twice, poseless, empty = 0, [], [], [], []
    for folder in folders:
        rows = export_files(folder) if is_export(folder) else []
        count += len(rows)
        if not rows:
            empty.append(folder.name)
        poseless += [f"{folder.name}/{rgb.name}" for _, rgb, pose, _ in rows if not _posed(pose)]
        if not fast:
            pictures = [rgb for _, rgb, _, _ in rows]
            broken += [f"{folder.name}/{path.name}" for path in pictures if not whole(path)]
            twice += [f"{folder.name}/{b.name} = {a.name}" for a, b in same_files(pictures)]
    yield found(where, f"{len(folders)} scans with {count} posed pictures", [f.name for f in folders])
    again = "extract them again: rft3d data extract"
    yield from listed("missing", where, "{n} scans without pictures", again, empty)
    broken_step = f"delete these pictures and {again}"
    yield from listed("truncated", where, "{n} pictures are cut off or empty", broken_step, broken)
    yield from listed("missing", where, "{n} pictures without a valid pose (left out)", "", poseless)
    yield from listed(
        "duplicate",
        where,
        "{n} pictures repeat another one of their scan",
        "look at these scans: a repeated frame means a damaged export",
        twice,
    )


def check_infos(path: Path, root: Path, media: Path) -> Iterator[Finding]:
    """An EmbodiedScan pickle: readable, aligned, and its pictures on disk."""
    where = _relative(path, root)
    scans, missing, raw, absent, stated = [], [], [], 0, 0
    try:
        for record, _ in info_records(path):
            dataset, _, scan = record.text("sample_idx").partition("/")
            if dataset != "scannet":
                continue
            scans.append(scan)
            if not record.has("axis_align_matrix") or unaligned(record.array("axis_align_matrix", (4, 4))):
                raw.append(scan)
            gone = [name for name in image_paths(record) if not (media / name).is_file()]
            stated += len(image_paths(record))
            absent += len(gone)
            if gone:
                missing.append(f"{scan} ({len(gone)})")
    except ValueError as error:
        yield problem("damaged", where, str(error), "download the infos again")
        return
    yield found(where, f"EmbodiedScan infos of {len(scans)} ScanNet scans with {stated} pictures")
    yield from listed(
        "unaligned",
        where,
        "{n} scans have the identity as axis_align_matrix",
        "leave these scans out; their boxes are not in an aligned world",
        raw,
    )
    extract = f"rft3d data extract SCANS --out {media}/scannet/posed_images"
    yield from listed(
        "missing",
        where,
        f"{absent} of {stated} pictures are not below {media}",
        f"{extract} (or say where they are with --media)",
        missing,
    )
    if missing:
        yield from disk(media, where, absent * PICTURE_BYTES, f"the {absent} missing pictures")
    twice = sorted({scan for scan in scans if scans.count(scan) > 1})
    yield from listed("duplicate", where, "scans occur twice", "use one infos file a split", twice)


def disk(place: Path, where: str, needed: int, what: str) -> Iterator[Finding]:
    """Whether ``needed`` bytes fit on the disk of ``place``."""
    free = shutil.disk_usage(place if place.exists() else Path()).free
    text = f"{what} needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
    if needed > free:
        yield problem("disk", where, text, "free room, or work on fewer scans at a time")
    else:
        yield note("disk", where, text)


def pointers(paths: Iterable[Path], root: Path) -> Iterator[Finding]:
    """Git LFS pointers in place of annotation files."""
    names = [_relative(path, root) for path in paths if is_pointer(path)]
    yield from listed(
        "missing",
        names[0] if names else "",
        "{n} files are Git LFS pointers, not data",
        "git lfs pull in the data set's checkout",
        names,
    )


def whole(path: Path) -> bool:
    """Whether a JPEG or PNG file begins and ends as one does (zeros may follow); of others, that it isn't empty."""
    size = path.stat().st_size
    ends = _ENDS.get(path.suffix.lower())
    if size == 0 or ends is None:
        return size > 0
    with path.open("rb") as file:
        head = file.read(8)
        file.seek(max(0, size - 64))
        tail = file.read()
    return head.startswith(ends[0]) and tail.rstrip(b"\0").endswith(ends[1])


def is_pointer(path: Path) -> bool:
    """Whether a file is a Git LFS pointer in place of the real one."""
    with path.open("rb") as file:
        return file.read(len(_LFS)) == _LFS


def same_files(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs of files of the same bytes, each later one with the first. Only files of equal size are read."""
    sizes = Counter(path.stat().st_size for path in paths)
    first: dict[str, Path] = {}
    pairs = [(first.setdefault(file_digest(p), p), p) for p in paths if sizes[p.stat().st_size] > 1]
    return [(one, other) for one, other in pairs if one != other]


def _posed(path: Path) -> bool:
    try:
        return bool(np.isfinite(read_matrix(path, (4, 4))).all())
    except ValueError:
        return False


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
