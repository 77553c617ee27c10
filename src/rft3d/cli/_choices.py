"""What several verbs share: names to choose from, the options of scoring, ``--out`` and ``--force``, printing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.console import Console

from rft3d.cli._words import did_you_mean
from rft3d.evaluation import BENCHMARKS, ScoreConfig
from rft3d.files import write_json
from rft3d.locks import only_writer, outputs
from rft3d.scenes import SOURCES, WORLDS
from rft3d.tasks import TASKS

if TYPE_CHECKING:  # a type checker knows no names that are only there at run time
    TaskName = BenchmarkName = SourceName = WorldName = str
else:
    TaskName = Literal[tuple(TASKS)]
    BenchmarkName = Literal[tuple(BENCHMARKS)]
    SourceName = Literal[("auto", *SOURCES)]
    WorldName = Literal[tuple(WORLDS)]


@dataclass(frozen=True, kw_only=True)
class JsonOut:
    """Options of verbs that print a table and can write it as JSON."""

    out: Path | None = None
    """JSON file to write"""
    force: bool = False
    """replace what is at --out"""

    def write(self, value: Any) -> None:
        """Write ``value`` where ``--out`` asks for it."""
        if self.out is not None:
            write_json(self.out, value)


@dataclass(frozen=True, kw_only=True)
class Scoring(ScoreConfig, JsonOut):
    """Options of verbs that score predictions files."""

    samples: Path
    """samples file that the predictions answer"""
    task: TaskName | None = None
    """score by this task's metric"""
    benchmark: BenchmarkName | None = None
    """score by every protocol of this benchmark instead"""
    options: tyro.conf.Suppress[Mapping[str, Any]] = field(default_factory=dict[str, Any])

    def check(self) -> None:
        """ValueError for options that do not go together."""
        if (self.task is None) == (self.benchmark is None):
            raise ValueError("give either --task or --benchmark")
        if self.task and (self.compat is not None or self.proposals is not None):
            raise ValueError("--compat and --proposals need --benchmark")
        if self.benchmark and (self.classes is not None or self.boxes != "house"):
            raise ValueError("--classes and --boxes go with --task; a benchmark has its own")


def recipe_at(path: Path) -> Path:
    """``path``, where there is a file; FileNotFoundError names the most alike one beside it."""
    if path.is_file():
        return path
    near = did_you_mean(path.name, [each.name for each in path.parent.glob("*.py")])
    raise FileNotFoundError(f"no recipe at {path}{near} (recipes/ holds the ready ones)")


def free(out: Path | None, force: bool, ours: Sequence[str] = ()) -> None:
    """Nothing may stand at ``out`` (a file, or a folder with something in it) unless ``force``; it is this verb's.

    ``ours``: names that the verb writes into a folder, as patterns; with ``force`` a folder that holds nothing
    else is emptied. Without it files in a folder are replaced one by one. InUse: another process is writing it.
    """
    if out is None:
        return
    outputs.enter_context(only_writer(out))
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise FileExistsError(f"--out {out}: exists; give another name, or --force to replace it")
    if not ours or not out.is_dir():
        return
    strange = [p.name for p in out.iterdir() if not any(fnmatch(p.name, each) for each in ours)]
    if strange:
        raise FileExistsError(f"--out {out}: holds {strange[0]}, which --force does not remove; move it away")
    shutil.rmtree(out)


def tell(line: str) -> None:
    """Print ``line`` on standard error."""
    print(line, file=sys.stderr, flush=True)


def say(*things: Any) -> None:
    """Print tables and lines of text."""
    console = Console()
    for thing in things:
        console.print(thing, highlight=False, soft_wrap=isinstance(thing, str))
