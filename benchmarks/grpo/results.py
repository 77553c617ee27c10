"""Steps that were timed: kept line by line, so that a stopped comparison goes on; tables, bars, time left.

A line of the file is one counted step of one side: the setting, ``side``, ``turn`` (0, 1, ... of the
setting), seconds by phase, CPU seconds, peak memory, and where it was taken (commit, torch, machine). Medians
and ranges are over turns; nothing is ever averaged before it is written.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.grpo.setting import Setting, spread

BARS = {(1024, 64): 4.0, (2048, 64): 6.0}
"""Whole step against stock TRL, 4 layers, d = 256, G = 8, two cores."""
TRAIN_BARS = {(2048, 64): 3.5}
MEMORY_BAR = 1 / 3
PHASES = ("encode", "rollout", "reward", "reference", "train", "step")
START_S = 12.0
"""What starting a side (imports, model) takes, about; only for the time that is left."""

Row = dict[str, Any]


def identity(setting: Setting) -> dict[str, Any]:
    """What makes two steps repetitions of each other."""
    return {
        "prompt": setting.prompt, "completion": setting.completion, "group": setting.group,
        "groups": setting.groups, "beta": setting.beta, "device": setting.device, "dtype": setting.dtype,
        "threads": setting.threads, "size": setting.size,
    }  # fmt: skip


def where() -> dict[str, Any]:
    """Commit, versions and machine of this process."""
    import torch
    import transformers
    import trl

    from rft3d.files import source_commit

    return {
        "commit": source_commit(), "torch": torch.__version__, "transformers": transformers.__version__,
        "trl": trl.__version__, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }  # fmt: skip


class Steps:
    """The rows of one file; without a file they live in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[Row] = []
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            if whole != text:  # killed in the middle of a line
                path.write_text(whole, encoding="utf-8")
            self.rows = [json.loads(line) for line in whole.splitlines()]

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())

    def of(self, setting: Setting, side: str) -> list[Row]:
        """The rows of one side in one setting."""
        wanted = identity(setting) | {"side": side}
        return [row for row in self.rows if all(row.get(k) == v for k, v in wanted.items())]

    def missing(self, setting: Setting, sides: Sequence[str], repeats: int) -> list[tuple[int, str]]:
        """``(turn, side)`` that are still to be taken, turn by turn: the sides alternate."""
        done = {side: {row["turn"] for row in self.of(setting, side)} for side in sides}
        return [(turn, side) for turn in range(repeats) for side in sides if turn not in done[side]]

    def seconds(self, setting: Setting, side: str) -> float | None:
        """About how long a step takes: the median, or that of other settings by their tokens."""
        known = [row["phases"]["step"] for row in self.of(setting, side)]
        if known:
            return float(np.median(known))
        rates = [
            row["phases"]["step"] / _tokens(side, row)
            for row in self.rows
            if row["side"] == side and (row["device"], row["size"]) == (setting.device, setting.size)
        ]
        return float(np.median(rates)) * _tokens(side, identity(setting)) if rates else None

    def left_s(self, plan: Sequence[Setting], sides: Sequence[str], repeats: int) -> float | None:
        """Seconds that the plan still needs; None while a side has never been timed."""
        total = 0.0
        for setting in plan:
            open_turns = self.missing(setting, sides, repeats)
            for side in {side for _, side in open_turns}:
                each = self.seconds(setting, side)
                if each is None:
                    return None
                turns = sum(side == other for _, other in open_turns)
                fresh = not self.of(setting, side)
                total += turns * each + (START_S + each if fresh else 0.0)
        return total


def _tokens(side: str, values: Mapping[str, Any]) -> float:
    """Tokens that a training pass of ``side`` runs."""
    prompt, per, completion = values["prompt"], values["group"], values["completion"]
    dense = side.startswith("trl") or side in ("o1", "o2")
    return values["groups"] * (per * (prompt + completion) if dense else prompt + per * completion)


# --------------------------------------------------------------------------------------- what it says


def phase(rows: Sequence[Row], name: str) -> list[float]:
    return [row["phases"].get(name, 0.0) for row in rows]


def peak_mb(rows: Sequence[Row]) -> float:
    return max(row["peak_mb"] for row in rows)


def ratios(base: Sequence[Row], ours: Sequence[Row]) -> dict[str, float]:
    """Ratios of medians: ``step``, ``cpu`` and ``train`` are base over ours, memory is ours over base.

    ``memory_above`` leaves out what was resident before the first step (libraries, the loaded model).
    """
    step, train = (float(np.median(phase(base, p)) / np.median(phase(ours, p))) for p in ("step", "train"))
    cpu = float(np.median([r["cpu"] for r in base]) / np.median([r["cpu"] for r in ours]))
    above = [max(row["peak_mb"] - row["loaded_mb"] for row in rows) for rows in (ours, base)]
    return {
        "step": step, "cpu": cpu, "train": train, "memory": peak_mb(ours) / peak_mb(base),
        "memory_above": above[0] / max(above[1], 1.0),
    }  # fmt: skip


def verdicts(setting: Setting, found: Mapping[str, float]) -> Iterator[tuple[str, str, bool]]:
    """The bars of a cell against stock TRL: what is asked, what was found, whether it is met."""
    cell = (setting.prompt, setting.completion)
    for what, bars in (("step", BARS), ("train", TRAIN_BARS)):
        if cell in bars:
            yield f"{what} >= {bars[cell]:g}x", f"{found[what]:.2f}x", found[what] >= bars[cell]
    if cell in BARS:
        yield "peak memory <= 1/3", f"{found['memory']:.2f}", found["memory"] <= MEMORY_BAR


def describe(setting: Setting) -> str:
    return f"({setting.prompt}, {setting.completion}), beta {setting.beta:g}"


def cell_lines(steps: Steps, setting: Setting, sides: Sequence[str]) -> list[str]:
    """Rows of the Markdown table: a line a side that was timed."""
    lines = []
    for side in sides:
        rows = steps.of(setting, side)
        if rows:
            cells = " | ".join(spread(phase(rows, p)) if any(phase(rows, p)) else "–" for p in PHASES)
            memory = f"{peak_mb(rows):.0f} ({max(r['loaded_mb'] for r in rows):.0f})"
            lines.append(f"| {describe(setting)} | {side} | {len(rows)} | {cells} | {memory} |")
    return lines


def ratio_lines(steps: Steps, setting: Setting, sides: Sequence[str]) -> list[str]:
    """Ours (or the last rung) against every TRL side of a cell, in words."""
    ours = [side for side in sides if side.startswith("ours")] or [sides[-1]]
    lines = []
    for own, name in ((o, s) for o in ours for s in sides if s.startswith("trl")):
        if not (steps.of(setting, own) and steps.of(setting, name)):
            continue
        found = ratios(steps.of(setting, name), steps.of(setting, own))
        lines.append(
            f"{describe(setting)}: {own} against {name}: step {found['step']:.2f}x (CPU seconds "
            f"{found['cpu']:.2f}x), train {found['train']:.2f}x, memory {found['memory']:.2f} (above the "
            f"loaded model {found['memory_above']:.2f})"
        )
    return lines


def summary(steps: Steps, plan: Sequence[Setting], sides: Sequence[str], repeats: int) -> str:
    """All of it as Markdown: seconds as median [lowest-highest], ratios, bars met and missed."""
    lines = [
        f"| (P, C) | side | n | {' | '.join(p + ' s' for p in PHASES)} | peak MB (loaded) |",
        "|---|---|---|" + "---|" * (len(PHASES) + 1),
    ]
    for setting in plan:
        lines += cell_lines(steps, setting, sides)
    lines.append("")
    for setting in plan:
        lines += [f"- {line}" for line in ratio_lines(steps, setting, sides)]
    lines += ["", "| cell | bar against stock TRL | found | |", "|---|---|---|---|"]
    for setting in plan:
        if setting.size != "small" or not BARS.keys() & {(setting.prompt, setting.completion)}:
            continue
        for side in (side for side in sides if side.startswith("ours")):
            base, ours = steps.of(setting, "trl"), steps.of(setting, side)
            cell = f"{describe(setting)}, {side}"
            if min(len(base), len(ours)) < min(repeats, 5):
                lines.append(f"| {cell} | all | n = {min(len(base), len(ours))} | not measured |")
                continue
            for bar, found, met in verdicts(setting, ratios(base, ours)):
                lines.append(f"| {cell} | {bar} | {found} | {'met' if met else 'MISSED'} |")
    commits = sorted({str(row["commit"]) for row in steps.rows})
    if len(commits) > 1:
        lines += ["", f"Steps of more than one commit are mixed here: {', '.join(commits)}."]
    return "\n".join(lines)
