"""``rft3d data check``: what is in a folder, what is missing, cut off, stale, misaligned or leaking; what to do."""

from collections.abc import Iterator
from pathlib import Path

from rft3d.datasets.check.angles import BoxSet, Verdict, angle_verdict
from rft3d.datasets.check.annotations import broken_json, check_file, files_below, json_files, kind_of
from rft3d.datasets.check.findings import Finding, Report
from rft3d.datasets.check.scans import check_infos, check_pictures, check_scans, check_scenes, is_pointer

__all__ = ["BoxSet", "Finding", "Report", "Verdict", "angle_verdict", "check_folder"]


def check_folder(root: Path | str, media: Path | str | None = None, *, fast: bool = False) -> Report:
    """Everything known below ``root``.

    Args:
        media: folder that picture paths of annotations start in; None: ``root/media`` if there is one, else
            ``root``.
        fast: don't open the pictures (no check for cut-off or repeated ones).

    Raises:
        FileNotFoundError: no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder at {root}")
    guess = root / "media" if (root / "media").is_dir() else root
    found = _findings(root, Path(media) if media is not None else guess, fast)
    return Report(str(root), tuple(each for each in found if each.examples is None or len(each.examples)))


def _findings(root: Path, media: Path, fast: bool) -> Iterator[Finding]:
    every = files_below(root)
    files = json_files(every)
    infos = [path for path in every if path.match("embodiedscan_infos*.pkl")]
    pointers = [path.relative_to(root).as_posix() for path in (*files, *infos) if is_pointer(path)]
    what, mend = "{n} files are Git LFS pointers, not data", "git lfs pull in the data set's checkout"
    yield Finding("missing", pointers[0] if pointers else "", what, mend, pointers)
    yield from check_scans(every, root)
    yield from check_pictures(every, root, fast)
    yield from check_scenes(every, root, fast)
    for path in infos:
        yield from check_infos(path, root, media)
    for path in files:
        kind = kind_of(path)
        if kind is not None:
            yield from check_file(path, kind, root, media)
        elif (reason := broken_json(path)) is not None:
            yield Finding("damaged", path.relative_to(root).as_posix(), reason, "get the file again")
