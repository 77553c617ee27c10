"""The rooms that a model was trained on: ``world.json`` beside its weights, and how it was asked about them."""

from __future__ import annotations

from pathlib import Path

from rft3d.files import model_folder, read_json
from rft3d.scenes.rooms import RoomConfig, read_room_config
from rft3d.tasks import TASKS, make_task
from rft3d.tasks.types import Task


def room_config_of(model: str | Path) -> RoomConfig | None:
    """The rooms of ``model``; None when it has no world of its own (it saw other things than our rooms)."""
    file = model_folder(model) / "world.json"
    return read_room_config(file) if file.is_file() else None


def world_of(model: str | Path) -> tuple[RoomConfig, dict[str, Task]]:
    """The rooms of ``model`` (a shipped name or a folder) and the tasks with the options it was trained with.

    Needs no torch.

    Raises:
        FileNotFoundError: no such model, or one that was not trained on rooms of its own world.
        ValueError: a damaged ``world.json`` or ``rft3d_policy.json``.
    """
    folder = model_folder(model)
    if not folder.is_dir():
        raise FileNotFoundError(f"no model folder: {folder}; give a shipped model, such as rooms")
    for name in ("world.json", "rft3d_policy.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}; give a shipped model, such as rooms")
    options = read_json(folder / "rft3d_policy.json")["task_options"]
    tasks = {name: make_task(name, options=options[name]) for name in TASKS if name in options}
    return read_room_config(folder / "world.json"), tasks
