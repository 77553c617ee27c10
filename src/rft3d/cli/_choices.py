"""What several verbs share: names to choose from (spelled out: ``--help`` imports nothing), and ``--force``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from rft3d.cli._words import did_you_mean

TaskName = Literal["detection", "grounding", "spatial", "captioning"]
BenchmarkName = Literal[
    "scannet-detection-4f", "scannet-detection-6f", "scanrefer", "scan2cap", "vsi-bench", "vsi-bench-debiased"
]
FileFormat = Literal["auto", "rft3d", "plain", "lmms-eval", "vlmevalkit"]


def recipe_at(path: Path) -> Path:
    """``path``, where there is a file.

    Raises:
        FileNotFoundError: there is none; names the most alike one beside it.
    """
    if path.is_file():
        return path
    near = did_you_mean(path.name, [each.name for each in path.parent.glob("*.py")])
    raise FileNotFoundError(f"no recipe at {path}{near} (recipes/ holds the ready ones)")


def free(out: Path | None, force: bool, ours: Sequence[str] = ()) -> None:
    """Nothing may stand at ``out`` (a file, or a folder with something in it) unless ``force``.

    ``ours``: names that the verb writes into a folder, as patterns; with ``force`` a folder that holds nothing
    else is emptied. Without it files in a folder are replaced one by one.

    Raises:
        FileExistsError: something is there, or with ``force`` a folder holds what is not ours.
    """
    if out is None or not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise FileExistsError(f"--out {out}: exists; give another name, or --force to replace it")
    if not ours or not out.is_dir():
        return
    strange = [p.name for p in out.iterdir() if not any(fnmatch(p.name, each) for each in ours)]
    if strange:
        raise FileExistsError(f"--out {out}: holds {strange[0]}, which --force does not remove; move it away")
    shutil.rmtree(out)
