"""Time and peak memory of a stage, and the file that keeps what was measured."""

from __future__ import annotations

import ctypes
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

GIB = 2**30


class Meter:
    """Time and peak memory of the work it is given."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.cuda, self.repeats = device.type == "cuda", repeats
        self.base = 0 if self.cuda else _settled()

    def measure(self, work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
        """The last of ``1 + repeats`` runs; the peak is that of all of them."""
        self._reset()
        found, seconds = None, []
        for _ in range(1 + self.repeats):
            del found
            began = time.perf_counter()
            found = work()
            if self.cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        # what was freed since the base was taken, or moved out by the system, must not make it negative
        peak = torch.cuda.max_memory_allocated() if self.cuda else max(0, resident("VmHWM") - self.base)
        return found, {
            "seconds": round(seconds[-1], 4),
            "first_seconds": round(seconds[0], 4),
            "peak_gib": peak / GIB,
        }

    def _reset(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far


def _settled() -> int:
    """What is resident once garbage and the allocator's free pages are given back: they would count as used."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return resident("VmRSS")


def resident(field: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (peak since the last reset) of this process, bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


class Results:
    """``results.jsonl``: a line a stage, written as soon as it is known."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "results.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        self.done = {row["stage"]: row for row in map(json.loads, lines) if "failed" not in row}

    def add(self, row: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if "failed" not in row:
            self.done[row["stage"]] = row
        print(line_of(row), flush=True)


def line_of(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"{row['stage']:34} FAILED: {row['failed']}"
    told = f"{row['stage']:34} {row['seconds']:9.3f} s  {row['peak_gib']:7.2f} GiB"
    if "estimate_gib" in row:
        told += f", estimated {row['estimate_gib']:7.2f} ({row['peak_gib'] / row['estimate_gib'] - 1:+.0%})"
    if "flops" in row:
        told += f"  {row['flops'] / 1e12:8.2f} TFLOP, {row['flops'] / 1e12 / row['seconds']:7.1f} TFLOP/s"
    known = ("stage", "seconds", "first_seconds", "peak_gib", "estimate_gib", "flops", "where", "at")
    return told + "".join(f"  {k} {v}" for k, v in row.items() if k not in known)
