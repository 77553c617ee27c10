"""Every task by name, and the one place where tasks are made from a name and options; their rewards for TRL."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from rft3d.answers.types import ParseMode
from rft3d.tasks.captioning import Captioning
from rft3d.tasks.detection import Detection
from rft3d.tasks.grounding import Grounding
from rft3d.tasks.spatial import Spatial
from rft3d.tasks.types import Sample, Task

TASKS: dict[str, Callable[..., Task]] = {
    "detection": Detection,
    "grounding": Grounding,
    "spatial": Spatial,
    "captioning": Captioning,
}


def task_of(view: str) -> str:
    """``spatial-think`` -> ``spatial``: a *view* is a task's name, with a suffix where its options differ."""
    return view.partition("-")[0]


def make_task(name: str, mode: ParseMode | None = None, options: Mapping[str, Any] | None = None) -> Task:
    """The task called ``name`` with its defaults but for ``options``, reading answers in ``mode``.

    ``options`` may come from JSON: lists become the tuples that frozen configs hold.

    Raises:
        ValueError: no such task, or it has no such option, or only one way to read answers.

    Examples:
        >>> make_task("detection", options={"reward": "f1@0.25+hungarian"}).reward
        'f1@0.25+hungarian'
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    known = inspect.signature(TASKS[name]).parameters
    fields: dict[str, Any] = {
        key: tuple(cast("list[Any]", value)) if isinstance(value, list) else value
        for key, value in (options or {}).items()
    }
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise ValueError(f"task {name!r} has no options {unknown}")
    if mode is not None:
        if "mode" not in known:
            raise ValueError(f"task {name!r} has only one way to read answers; leave the mode out")
        fields["mode"] = mode
    return TASKS[name](**fields)


Completion = str | Sequence[Mapping[str, Any]]
"""A string or a conversation ``[{"role": ..., "content": ...}]``, of which the last assistant turn is read."""
TrlReward = Callable[..., list[float | None]]


def as_trl(task: str | Task, part: str | None = None, **options: Any) -> TrlReward:
    """The reward of ``task``, or one ``part`` of it, as TRL calls it: ``f(completions, **columns)``.

    For trainers outside this project; nothing here imports TRL::

        rewards = [as_trl("detection", "format"), as_trl("detection", "f1@0.25")]
        trl.GRPOTrainer(model, reward_funcs=rewards, train_dataset=rows)

    ``rows`` have a column ``truth`` beside the prompt: what a line of a samples file has there, as a dict or as
    JSON text (Arrow cannot hold dicts of different shapes in one column). A row whose truth is None is not this
    task's and earns None, so data sets of several tasks can be mixed; so does a row whose answers have no such
    part.

    Args:
        task: a task, or the name of one to make with ``options``.
        part: one of the task's ``rewards``, whichever of them its ``reward`` option asks for; None: the total.

    Raises:
        ValueError: no such task, option or part.
    """
    made = make_task(task, options=options) if isinstance(task, str) else task
    if part and isinstance(task, str) and "reward" in inspect.signature(TASKS[task]).parameters:
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
