"""A task's reward as a callable with TRL's signature ``f(completions, **columns) -> list[float | None]``.

For trainers outside this project; nothing here imports TRL::

    rewards = [as_trl("detection", "format"), as_trl("detection", "f1@0.25")]
    trl.GRPOTrainer(model, reward_funcs=rewards, train_dataset=rows)

``rows`` have a column ``truth`` beside the prompt: what a line of a samples file has there, as a dict or as JSON
text (Arrow cannot hold dicts of different shapes in one column). A row whose truth is None is not this task's and
earns None, so data sets of several tasks can be mixed; so does a row whose answers have no such part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rft3d.tasks.registry import make_task
from rft3d.tasks.types import Sample, Task

Completion = str | Sequence[Mapping[str, Any]]
"""A string or a conversation ``[{"role": ..., "content": ...}]``, of which the last assistant turn is read."""
TrlReward = Callable[..., list[float | None]]


def as_trl(task: str | Task, part: str | None = None, **options: Any) -> TrlReward:
    """The reward of ``task``, or one ``part`` of it, for ``GRPOTrainer(reward_funcs=[...])``.

    Args:
        task: a task, or the name of one to make with ``options``.
        part: one of the task's ``rewards``, whichever of them its ``reward`` option asks for; None: the total.

    Raises:
        ValueError: no such task, option or part.
    """
    made = make_task(task, options=options) if isinstance(task, str) else task
    if part is not None and isinstance(task, str) and "reward" in getattr(made, "__dataclass_fields__", ()):
        made = make_task(task, options={"reward": part, **options})  # an unknown part is named here
    elif part is not None and part not in made.rewards:
        raise ValueError(f"task {made.name!r} has no reward {part!r}; it has {', '.join(made.rewards)}")

    def reward(completions: Sequence[Completion], truth: Sequence[Any], **_: Any) -> list[float | None]:
        if len(truth) != len(completions):
            raise ValueError(f"column truth has {len(truth)} rows for {len(completions)} completions")
        return [_earned(made, part, text_of(c), row) for c, row in zip(completions, truth, strict=True)]

    reward.__name__ = made.name if part is None else f"{made.name}_{part}"  # TRL logs by it
    return reward


def _earned(task: Task, part: str | None, text: str, truth: Mapping[str, Any] | str | None) -> float | None:
    if truth is None:
        return None
    record = json.loads(truth) if isinstance(truth, str) else dict(truth)
    score = task.score(text, Sample("", task.name, "", (), "", record))
    if part is None:
        return score.total
    return next((p.value for p in score.parts if p.name == part), None)


def text_of(completion: Completion) -> str:
    """The text of a completion: itself, or the content of its last assistant turn ("" when there is none)."""
    if isinstance(completion, str):
        return completion
    for message in reversed(completion):
        if message.get("role") == "assistant":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return "".join(block.get("text") or "" for block in content if block.get("type") == "text")
    return ""
