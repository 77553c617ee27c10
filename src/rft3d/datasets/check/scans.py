"""Scans on disk: ScanNet's raw scans, posed pictures, EmbodiedScan's infos, and the videos of VSI-Bench."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from rft3d.datasets.check.annotations import without_path
from rft3d.datasets.check.findings import Finding
from rft3d.datasets.extract import read_sens
from rft3d.digests import file_digest
from rft3d.scenes.readers.embodiedscan import info_entries
from rft3d.scenes.readers.scanrefer import axis_alignment
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


def check_scans(files: Iterable[Path], root: Path) -> Iterator[Finding]:
    """ScanNet's raw scans: files that are missing or cut off, alignment, room for their pictures."""
    folders = sorted({path.parent for path in files if path.name.endswith((".sens", ".aggregation.json"))})
    missing: dict[str, list[str]] = {}
    truncated, raw, tracked_out, needed = [], [], [], 0
    for folder in folders:
        scan = folder.name
        for ending in (*ANNOTATIONS, ".sens"):
            if not (folder / f"{scan}{ending}").is_file():
                missing.setdefault(ending, []).append(scan)
        if (info := folder / f"{scan}.txt").is_file() and not _aligned(info):
            raw.append(scan)
        sens = folder / f"{scan}.sens"
        if not sens.is_file():
            continue
        try:
            recording = read_sens(sens)
        except ValueError:
            truncated.append(sens.name)
            continue
        if recording.truncated:
            truncated.append(f"{sens.name} ({len(recording.frames)} of {recording.declared} frames)")
        lost = sum(not np.isfinite(frame.T_world_camera).all() for frame in recording.frames)
        if recording.frames and lost > len(recording.frames) // 2:
            tracked_out.append(scan)
        needed += sum(frame.colour_bytes for frame in recording.frames[::10])
    if not folders:
        return
    where = _relative(folders[0].parent, root)
    yield Finding("present", where, "{n} ScanNet scans", examples=[folder.name for folder in folders])
    what = "{n} recordings are cut off or damaged"
    yield Finding("truncated", where, what, "download these recordings again", truncated)
    for ending, scans in missing.items():
        if ending == ".sens":
            what, mend = "{n} scans without a .sens recording (needed only to extract pictures)", ""
        else:
            what, mend = f"{{n}} scans without <scan>{ending}", f"download ScanNet's *{ending} of these scans"
        yield Finding("missing", where, what, mend, scans)
    what = "{n} scans are unaligned (axisAlignment missing or the identity)"
    mend = "download <scan>.txt again; leave scans without alignment (the test scans) out"
    yield Finding("unaligned", where, what, mend, raw)
    yield Finding("damaged", where, "{n} scans where tracking lost most frames", "", tracked_out)
    if needed:
        yield _disk(root, where, needed, "extracting every 10th picture")


def check_pictures(files: Iterable[Path], root: Path, fast: bool) -> Iterator[Finding]:
    """Posed pictures: poses, whole files, repeated frames."""
    for parent, folders in _by_parent({path.parent for path in files if path.name == "intrinsic.txt"}):
        count, broken, twice, poseless, empty = 0, [], [], [], []
        for folder in folders:
            pictures = sorted(path for path in folder.glob("*.jpg") if path.stem.isdecimal())
            count += len(pictures)
            if not pictures:
                empty.append(folder.name)
            poseless += [f"{folder.name}/{path.name}" for path in pictures if not _posed(path)]
            pictures = [] if fast else pictures
            broken += [f"{folder.name}/{path.name}" for path in pictures if not whole(path)]
            twice += [f"{folder.name}/{b.name} = {a.name}" for a, b in same_files(pictures)]
        where, again = _relative(parent, root), "extract them again: rft3d data extract"
        what = f"{{n}} scans with {count} posed pictures"
        yield Finding("present", where, what, examples=[folder.name for folder in folders])
        yield Finding("missing", where, "{n} scans without pictures", again, empty)
        mend = f"delete these pictures and {again}"
        yield Finding("truncated", where, "{n} pictures are cut off or empty", mend, broken)
        yield Finding("missing", where, "{n} pictures without a valid pose (left out)", "", poseless)
        mend = "look at these scans: a repeated frame means a damaged export"
        yield Finding("duplicate", where, "{n} pictures repeat another one of their scan", mend, twice)


def check_scenes(files: Iterable[Path], root: Path, fast: bool) -> Iterator[Finding]:
    """Posed clips and scene folders: readable, and their pictures whole."""
    for parent, folders in _by_parent({path.parent for path in files if path.name == "scene.json"}):
        kinds: Counter[str] = Counter()
        damaged, broken, frames = [], [], 0
        for each in folders:
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
            names = [each.name for each in folders]
            yield Finding("present", where, f"{words} with {frames} posed pictures", examples=names)
        yield Finding("damaged", where, "{n} scenes cannot be read", "get them again", damaged)
        yield Finding("truncated", where, "{n} pictures are cut off", "get them again", broken)


def check_infos(path: Path, root: Path, media: Path) -> Iterator[Finding]:
    """An EmbodiedScan pickle: readable, aligned, and its pictures on disk."""
    where = _relative(path, root)
    missing, raw, absent, stated = [], [], 0, 0
    scans: Counter[str] = Counter()
    try:
        for _, entry, _ in info_entries(path):
            if (scan := entry.scan) is None:
                continue
            scans[scan] += 1
            if not entry.is_aligned:
                raw.append(scan)
            gone = sum(not (media / image.img_path).is_file() for image in entry.images)
            stated, absent = stated + len(entry.images), absent + gone
            if gone:
                missing.append(f"{scan} ({gone})")
    except ValueError as error:
        yield Finding("damaged", where, str(error), "download the infos again")
        return
    words = f"EmbodiedScan infos of {scans.total()} ScanNet scans with {stated} pictures"
    yield Finding("present", where, words)
    mend = "leave these scans out; their boxes are not in an aligned world"
    yield Finding("unaligned", where, "{n} scans have the identity as axis_align_matrix", mend, raw)
    what = f"{absent} of {stated} pictures are not below {media}"
    mend = f"rft3d data extract SCANS --out {media}/scannet/posed_images (or say where they are with --media)"
    yield Finding("missing", where, what, mend, missing)
    if missing:
        yield _disk(media, where, absent * PICTURE_BYTES, f"the {absent} missing pictures")
    twice = sorted(scan for scan, times in scans.items() if times > 1)
    yield Finding("duplicate", where, "scans occur twice", "use one infos file a split", twice)


def _disk(place: Path, where: str, needed: int, what: str) -> Finding:
    """Whether ``needed`` bytes fit on the disk of ``place``."""
    free = shutil.disk_usage(place if place.exists() else Path()).free
    text = f"{what} needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
    mend = "free room, or work on fewer scans at a time" if needed > free else ""
    return Finding("disk", where, text, mend)


def _by_parent(folders: Iterable[Path]) -> Iterator[tuple[Path, list[Path]]]:
    for parent, group in groupby(sorted(folders, key=lambda f: (f.parent, f)), lambda f: f.parent):
        yield parent, list(group)


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


def _aligned(info: Path) -> bool:
    try:
        return bool(np.abs(axis_alignment(info) - np.eye(4)).max() > 1e-9)
    except ValueError:
        return False


def _posed(picture: Path) -> bool:
    try:
        text = picture.with_suffix(".txt").read_text(encoding="ascii")
        matrix = np.array(text.split(), dtype=np.float64)
    except (FileNotFoundError, ValueError):
        return False
    return matrix.size == 16 and bool(np.isfinite(matrix).all())


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
