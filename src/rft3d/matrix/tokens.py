"""Optimizer tokens: what arms get the same of, and how many they really used.

A token counts once for every time that it passes forward and backward in an update: a row of SFT counts its
frames, prompts and answers; a group of RFT counts its prompt once (it is shared) and each of its answers.
Groups that turned out to teach nothing count too. Sampling is on top of that (it needs no backward pass) and
shows in the seconds.
"""

from __future__ import annotations

import json
from pathlib import Path

from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.data import Corpus, shared_rows
from rft3d.training.rollout import step_prompts
from rft3d.training.sft import step_items

PROBED = 4
"""Steps whose mean decides how many steps a budget is."""


def steps_within(corpus: Corpus, stage: SFTConfig | RFTConfig, budget: int) -> int:
    """How many steps of ``stage`` come nearest to ``budget`` optimizer tokens; at least one.

    Known before training: an answer of RFT is taken to be as long as its gold answer.
    """
    costs = [planned_tokens(corpus, stage, step) for step in range(PROBED)]
    return max(1, round(budget * len(costs) / sum(costs)))


def planned_tokens(corpus: Corpus, stage: SFTConfig | RFTConfig, step: int) -> int:
    """Optimizer tokens of 0-based ``step``; exact for SFT."""
    if isinstance(stage, SFTConfig):
        return _sft_tokens(corpus, stage, step)
    updates = stage.updates_per_rollout
    return updates * sum(
        len(item.prompt.prefix) + stage.group_size * len(item.answer)
        for items in step_prompts(corpus, stage, step).values()
        for item in items
    )


def used_tokens(corpus: Corpus, stage: SFTConfig | RFTConfig, folder: Path) -> int:
    """Optimizer tokens of a finished stage, whether or not it was interrupted: from its settings and log."""
    if isinstance(stage, SFTConfig):
        return sum(_sft_tokens(corpus, stage, step) for step in range(stage.steps))
    total = 0.0
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for view, items in step_prompts(corpus, stage, row["step"] - 1).items():
            prompts = sum(len(item.prompt.prefix) for item in items)
            answers = len(items) * stage.group_size * row[f"completion_length/{view}"]
            total += stage.updates_per_rollout * (prompts + answers)
    return round(total)


def logged_seconds(folder: Path) -> float:
    """Seconds that a stage's steps took, over all interruptions."""
    rows = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return sum(json.loads(row).get("seconds", 0.0) for row in rows)


def _sft_tokens(corpus: Corpus, stage: SFTConfig, step: int) -> int:
    rows = [row for items in step_items(corpus, stage, step).values() for _, row in shared_rows(items)]
    return sum(len(row.prefix) + sum(len(suffix) for suffix in row.suffixes) for row in rows)
