"""Every task by name, and the one place where tasks are made from a name and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from rft3d.answers.types import ParseMode
from rft3d.tasks.detection import Detection
from rft3d.tasks.grounding import Grounding
from rft3d.tasks.spatial import Spatial
from rft3d.tasks.types import Task

TASKS: dict[str, Callable[..., Task]] = {
    "detection": Detection,
    "grounding": Grounding,
    "spatial": Spatial,
}


def make_task(name: str, mode: ParseMode | None = None, options: Mapping[str, Any] | None = None) -> Task:
    """The task called ``name`` with its defaults but for ``options``, reading answers in ``mode``.

    ``options`` may come from JSON: lists become the tuples that frozen configs hold.

    Raises:
        ValueError: no such task, or it has no such option, or only one way to read answers.
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
