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


def lazily(package: str, *modules: str) -> object:
    """``__getattr__`` of a package whose names (``__all__``, typed in ``__init__.pyi``) are made when asked for.

    ``modules``: where they live, below the package, cheap ones first.
    """

    def find(name: str) -> object:
        import importlib  # here, so that importing the package loads nothing at all
        import sys

        known = sys.modules[package].__all__
        if name in known:
            for module in modules:
                if hasattr(found := importlib.import_module(f"{package}.{module}"), name):
                    return getattr(found, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(known)}")

    return find


__getattr__ = lazily(__name__, "geometry", "scenes", "tasks", "evaluation", "models")
