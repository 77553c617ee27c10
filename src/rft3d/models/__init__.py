"""FLOOR 3': policies. Torch begins here; tasks and models never import each other.

``BACKBONES`` maps the name that a saved policy carries to its loader.
"""

from __future__ import annotations

import json
from pathlib import Path

from rft3d.models.policy import META, Generation, Policy, load_spatial_qwen
from rft3d.models.tiny import TinyConfig, build_tiny

BACKBONES = {"tiny": load_spatial_qwen}


def load_policy(path: str | Path, device: str = "cpu") -> Policy:
    """Load the policy saved in folder ``path``.

    Raises:
        FileNotFoundError: the folder holds no saved policy.
        ValueError: the folder's backbone is unknown, or tensors are missing.
    """
    path = Path(path)
    if not (path / META).is_file():
        raise FileNotFoundError(f"{path} holds no {META}; give a folder that a training stage saved")
    name = json.loads((path / META).read_text(encoding="utf-8")).get("backbone")
    if name not in BACKBONES:
        raise ValueError(f"{path / META}: backbone {name!r} is none of {', '.join(BACKBONES)}")
    return BACKBONES[name](path, device)


__all__ = ["BACKBONES", "Generation", "Policy", "TinyConfig", "build_tiny", "load_policy"]
