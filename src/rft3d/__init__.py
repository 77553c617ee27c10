"""rft3d: reinforcement fine-tuning for video-based 3D scene understanding.

A stack of floors; imports go down only (``docs/floors.md``). Importing this package loads
nothing heavy: torch begins with :mod:`rft3d.models`. What is asked for most can be had from here::

    import rft3d

    iou = rft3d.box_iou(boxes_a, boxes_b)      # (N, M), exact, metres and radians
    policy = rft3d.load_policy("rooms")        # needs rft3d[train]
"""

# pyright: reportUnsupportedDunderAll=false
# (they are made when asked for, below)

__version__ = "0.1.0"

__all__ = [
    "as_trl", "box_iou", "load_policy", "make_room", "make_task", "score_files",
]  # fmt: skip

_HOMES = {  # their types: __init__.pyi
    "as_trl": "rft3d.tasks",
    "box_iou": "rft3d.geometry",
    "load_policy": "rft3d.models",
    "make_room": "rft3d.scenes",
    "make_task": "rft3d.tasks",
    "score_files": "rft3d.evaluation",
}


def __getattr__(name: str) -> object:
    import importlib  # here, so that importing the package loads nothing at all

    if name not in _HOMES:
        raise AttributeError(f"module 'rft3d' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)
