"""What a stage writes down about its own rollouts: sampled groups (``rollouts.jsonl``), signals, alarms.

A line is a :class:`rft3d.runfolder.LoggedGroup`; it has the sample's own fields, so that an inspector can read the
boxes again and draw them. The file's size is bounded beforehand: the number of lines is known, a line beyond its
share has its texts cut, ending in "…".
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from rft3d.process import is_main_process
from rft3d.rewards.score import logged
from rft3d.runfolder import ROLLOUTS, LoggedCompletion, LoggedGroup, drop_after
from rft3d.tasks.types import Task
from rft3d.training.config import RFTConfig
from rft3d.training.rollout import Group, by_task, sampling_seed
from rft3d.watching.alarms import AlarmLog, Answered, signals

GOLD_KEPT = 20_000


class StageWatch:
    """Everything that is written about the rollouts of one RFT stage; see :meth:`observe`."""

    def __init__(
        self, folder: Path, config: RFTConfig, tasks: Mapping[str, Task], resume_step: int, console: Console
    ) -> None:
        self.config, self.tasks, self.console = config, tasks, console
        self.alarms = AlarmLog(folder, resume_step)
        self.path = folder / ROLLOUTS
        if is_main_process():
            drop_after(self.path, resume_step)
        self._gold: dict[str, object] = {}

    def observe(self, step: int, groups: Sequence[Group], metrics: Mapping[str, float]) -> dict[str, float]:
        """Log 1-based ``step``; returns what to add to ``metrics`` in ``metrics.jsonl``."""
        if not is_main_process():
            return {}
        began = time.perf_counter()
        found: dict[str, float] = {}
        tasks = by_task(groups)
        for task, mine in tasks.items():
            found |= signals(task, self._answered(task, mine))
        for event in self.alarms.update(step, {**metrics, **found}):
            state = "[yellow]alarm[/yellow]" if event.on else "[green]alarm over[/green]"
            since = f"since step {event.since}; {event.saw}"
            line = f"{state} {event.task}, step {event.step}: {event.title} ({since})"
            self.console.print(line, highlight=False)
        found["alarms"] = float(len(self.alarms.active))
        if logs_rollouts(self.config, step):
            limit = line_limit(self.config)
            seed = sampling_seed(self.config, step - 1)
            # the first groups of each task: prompts are drawn in random order already
            chosen = [g for mine in tasks.values() for g in mine[: self.config.rollouts_per_task]]
            lines = [rollout_line(g, step, seed, limit) for g in chosen]
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(lines))
        found["watch_seconds"] = time.perf_counter() - began
        return found

    def _answered(self, name: str, groups: Sequence[Group]) -> list[Answered]:
        task = self.tasks[name]
        out = []
        for group in groups:
            sample = group.item.sample
            gold = self._gold.get(sample.id)
            if gold is None:
                if len(self._gold) > GOLD_KEPT:
                    self._gold.clear()
                gold = self._gold[sample.id] = task.parse(task.gold(sample), sample)
            for text, score in zip(group.texts, group.scores, strict=True):
                read = score.failure if score.failure is not None else task.parse(text, sample)
                out.append(Answered(sample.id, read, gold, score))
        return out


def logs_rollouts(config: RFTConfig, step: int) -> bool:
    """Whether the rollouts of ``step`` (1-based) are logged: the first, and every k-th from there on."""
    every = config.log_rollouts_every
    return every > 0 and config.rollouts_per_task > 0 and (step - 1) % every == 0


def line_limit(config: RFTConfig) -> int:
    """Bytes that a line may have, so that the whole stage's file stays below ``config.rollouts_mb``."""
    logged = -(-config.steps // max(1, config.log_rollouts_every))
    tasks = sum(1 for count in config.prompts_per_step.values() if count)
    return int(config.rollouts_mb * 1e6 / max(1, logged * max(1, tasks) * config.rollouts_per_task))


def rollout_line(group: Group, step: int, seed: int, limit: int) -> str:
    """One line of ``rollouts.jsonl`` of at most ``limit`` bytes; longer ones lose text, then completions."""
    sample = group.item.sample
    record = asdict(
        LoggedGroup(
            step, sample.task, sample.id, sample.scene, sample.frames, sample.prompt, sample.truth, sample.meta,
            seed, completions=tuple(_completion(group, i) for i in range(len(group.texts))),
        )
    )  # fmt: skip
    line = _line(record)
    kept = 4000
    while len(line) > limit and kept >= 16:
        for completion in record["completions"]:
            completion["text"] = _cut(completion["text"], kept)
            for part in completion["parts"]:
                part["reason"] = _cut(part["reason"], kept)
        line, kept = _line(record), kept // 2
    if len(line) > limit:  # what is left is the sample itself
        record |= {"truth": {}, "meta": {}, "frames": [], "prompt": _cut(sample.prompt, 200)}
        line = _line(record)
    while len(line) > limit and record["completions"]:
        record["completions"] = record["completions"][:-1]
        line = _line(record)
    return line if len(line) <= limit else ""


def _completion(group: Group, index: int) -> LoggedCompletion:
    row = group.advantages[index]
    advantage = round(float(np.mean(row)), 4) if len(row) else 0.0
    return logged(group.scores[index], group.texts[index], len(group.completions[index].tokens), advantage)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"
