"""FLOOR 3': policies. Torch begins here; tasks and models never import each other.

``BACKBONES`` maps the name that a saved policy carries to its loader.
"""

from functools import partial
from pathlib import Path
from typing import Any

from rft3d.files import excerpt, model_folder, read_json
from rft3d.models.geometry import ENCODERS
from rft3d.models.loading import load_spatial
from rft3d.models.policy import META, Policy
from rft3d.models.tiny import TinyConfig, build_tiny
from rft3d.models.tokens import byte_tokenizer
from rft3d.prompts import Generation

LANGUAGE_MODELS = {
    "qwen2.5-vl-3b": "Qwen/Qwen2.5-VL-3B-Instruct",
    "qwen2.5-vl-7b": "Qwen/Qwen2.5-VL-7B-Instruct",
    "qwen3-vl-4b": "Qwen/Qwen3-VL-4B-Instruct",
}

PUBLIC_WEIGHTS = {
    f"{name}-{kind}": (base, encoder.public)
    for name, base in LANGUAGE_MODELS.items()
    for kind, encoder in ENCODERS.items()
}
"""What a backbone (``qwen3-vl-4b-da3`` ...) is made of when only its name is given: language model with tower,
geometry encoder."""

BACKBONES = {name: partial(load_spatial, backbone=name) for name in ("tiny", *PUBLIC_WEIGHTS)}


def load_policy(path: str | Path, device: str = "cpu", **options: Any) -> Policy:
    """Load a policy; the one entry for every kind of weights.

    Args:
        path: the name of a shipped model (:data:`rft3d.files.SHIPPED_MODELS`: ``"rooms"`` after RFT,
            ``"rooms-sft"`` before); a folder that a training stage saved; a folder or hub repository
            (``owner/name``) with VG-LLM or Qwen weights; or a name in
            :data:`PUBLIC_WEIGHTS`, made of its public parts.
        options: ``dtype``, ``geometry``, ``box_convention`` of :func:`rft3d.models.loading.load_spatial`.

    Raises:
        FileNotFoundError: nothing loadable there.
        ValueError: the folder's backbone is unknown, or its tensors don't fit (they are named).

    Examples:
        >>> load_policy("rooms").frame_size
        (252, 168)
    """
    name = str(path)
    folder = model_folder(path)
    if not folder.exists() and name in PUBLIC_WEIGHTS:
        base, geometry = PUBLIC_WEIGHTS[name]
        return BACKBONES[name](base, device, **{"geometry": geometry, **options})
    if (folder / META).is_file():
        saved = read_json(folder / META, dict).get("backbone")
        if not isinstance(saved, str) or saved not in BACKBONES:
            raise ValueError(f"{folder / META}: backbone {excerpt(saved)}; known are {', '.join(BACKBONES)}")
        return BACKBONES[saved](folder, device, **options)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no {META} and no config.json; give a folder that a training stage saved, or one "
            "with VG-LLM or Qwen weights"
        )
    return load_spatial(folder, device, **options)


__all__ = [
    "BACKBONES", "PUBLIC_WEIGHTS", "Generation", "Policy", "TinyConfig", "build_tiny", "byte_tokenizer",
    "load_policy",
]  # fmt: skip
