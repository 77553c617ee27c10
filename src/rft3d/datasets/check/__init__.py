"""``rft3d data check``: what is in a folder, what is missing, cut off, stale, misaligned or leaking; what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rft3d.datasets.check.angles import BoxSet, Verdict, angle_verdict
from rft3d.datasets.check.annotations import (
    broken_json,
    check_annotations,
    check_samples,
    files_below,
    json_files,
    kind_of,
)
from rft3d.datasets.check.findings import Finding, Report, problem
from rft3d.datasets.check.scans import (
    check_infos,
    check_pictures,
    check_scans,
    check_scenes,
    pointers,
    scan_folders,
)

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
    return Report(str(root), tuple(_findings(root, Path(media) if media is not None else guess, fast)))


def _findings(root: Path, media: Path, fast: bool) -> Iterator[Finding]:
    every = files_below(root)
    files = json_files(every)
    infos = [path for path in every if path.match("embodiedscan_infos*.pkl")]
    yield from pointers([*files, *infos], root)
    if folders := scan_folders(every):
        yield from check_scans(folders, root)
    yield from check_pictures(every, root, fast)
    yield from check_scenes([path.parent for path in every if path.name == "scene.json"], root, fast)
    for path in infos:
        yield from check_infos(path, root, media)
    for path in files:
        kind = kind_of(path)
        if kind == "samples":
            yield from check_samples(path, root)
        elif kind is not None:
            yield from check_annotations(path, kind, root, media)
        elif (reason := broken_json(path)) is not None:
            yield problem("damaged", path.relative_to(root).as_posix(), reason, "get the file again")
