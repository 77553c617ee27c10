"""Writing a run folder (:mod:`rft3d.runfolder`): settings and environment, timed stages, metrics, trackers."""

import json
import os
import platform
import resource
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from rft3d import files
from rft3d.files import read_json
from rft3d.process import is_main_process
from rft3d.runfolder import append_records, drop_after
from rft3d.settings import differing


def write_json_on_main(path: Path, value: Any) -> None:
    """:func:`rft3d.files.write_json` on the main process only; a stage's numbers may be NaN."""
    if is_main_process():
        files.write_json(path, value, allow_nan=True)


def environment() -> dict[str, Any]:
    """Versions, commit and machine facts that a number depends on."""
    from importlib.metadata import version

    packages = ("torch", "transformers", "accelerate", "numpy")
    return {
        "commit": files.source_commit(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        **{name: version(name) for name in packages},
    }


@dataclass
class Run:
    """A run folder. A new one gets config and environment; an existing one must match (ValueError)."""

    root: Path
    config: Any
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        file = self.root / "config.json"
        wanted = json.loads(json.dumps(self.config, default=files.plain))
        if file.is_file():
            found = read_json(file)
            if found != wanted:
                keys = differing(found, wanted)
                raise ValueError(
                    f"{file} was written with another config (differs in {', '.join(keys)}); "
                    "give another folder, or delete this one to start again"
                )
        else:
            write_json_on_main(file, wanted)
        write_json_on_main(self.root / "env.json", environment())

    def stage(self, name: str) -> Path:
        path = self.root / "stages" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def done(self, name: str) -> bool:
        return (self.stage(name) / "done.json").is_file()

    @contextmanager
    def timed(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage; what the body puts into the dictionary goes to ``stages.json`` with it."""
        self.console.rule(f"[bold]{name}")
        facts: dict[str, Any] = {}
        started = time.perf_counter()
        yield facts
        entry = {"stage": name, "seconds": round(time.perf_counter() - started, 2)}
        entry["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        entry.update(facts)
        if entry.get("tokens") and entry["seconds"]:
            entry["tokens_per_s"] = round(entry["tokens"] / entry["seconds"])
        write_json_on_main(self.stage(name) / "done.json", entry)
        self.write_stages()

    def write_stages(self) -> None:
        """Write ``stages.json``, made anew from the stages' own files: stages side by side do not lose each
        other's facts."""
        ended = sorted(self.root.glob("stages/*/done.json"), key=lambda file: file.stat().st_mtime_ns)
        write_json_on_main(self.root / "stages.json", [read_json(f) for f in ended])


class MetricsLog:
    """``metrics.jsonl``, one object a step; on resume, lines past the checkpoint are dropped.

    ``steps``: how many there will be, for ``rft3d watch``. ``lost``: those up to ``resume_step`` that have no
    line, though the checkpoint holds them (a damaged disk).
    """

    def __init__(self, path: Path, resume_step: int = 0, steps: int | None = None) -> None:
        self.path = path
        self.lost: list[int] = []
        if is_main_process():
            kept = drop_after(path, resume_step)
            self.lost = [step for step in range(1, resume_step + 1) if step not in kept]
        write_json_on_main(path.with_name("stage.json"), {"steps": steps, "resumed_at": resume_step})

    def write(self, step: int, values: dict[str, float]) -> None:
        if not is_main_process():
            return
        record = {"step": step, "time": round(time.time(), 3)}
        record.update({k: round(float(v), 6) for k, v in values.items()})
        append_records(self.path, [record])


@dataclass(frozen=True)
class Tracking:
    """Trackers beside ``metrics.jsonl`` (TensorBoard, W&B, trackio ...) by name, through accelerate; the folder of
    those that write files, and the run's name."""

    trackers: Sequence[str] = ()
    folder: Path = Path()
    run: str = ""

    def accelerator(self) -> Accelerator:
        """An accelerator that logs to them; ValueError when one is not installed."""
        if not self.trackers:
            return Accelerator()
        with warnings.catch_warnings():  # we raise instead, below
            warnings.simplefilter("ignore", UserWarning)
            made = Accelerator(log_with=list(self.trackers), project_dir=str(self.folder))
        found = {str(getattr(t, "value", t)) for t in made.log_with}
        missing = [name for name in self.trackers if name not in found]
        if missing:  # accelerate would go on without them
            raise ValueError(f"tracker {', '.join(missing)} is not installed, or accelerate does not know it")
        made.init_trackers(self.run)
        return made
