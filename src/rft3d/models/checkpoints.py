"""Checkpoints in: what is in a folder, under which names, and what may be missing.

Layouts, told apart by ``config.json``:

========== ===================================== ===========================================================
layout     config says                           tensors are called
========== ===================================== ===========================================================
own        ``model_type`` is one of ours         as V2 (Qwen3-VL: as on the hub)
VG-LLM V2  ``use_geometry_encoder``              ``geometry_encoder.vggt.*`` (``pi3``), ``geometry_merger.*``
VG-LLM V1  ``use_vggt_feature``                  ``vggt.*``, ``merger.*``
Qwen       plain ``qwen2_5_vl``, ``qwen3_vl``    ``visual.*``, ``model.layers.*`` ...
========== ===================================== ===========================================================

Sizes of the geometry branch are read from the tensors' shapes, so a config need not state them. Only
safetensors are read (one file or shards with an index); nothing is unpickled. A tensor that is missing, or
that nothing here knows, is an error; heads, and rounds after the used one, are left out knowingly.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rft3d.files import blaming, read_json
from rft3d.models.blocks import GeometryEncoder
from rft3d.models.geometry import ENCODERS

V1_NAMES = {r"^vggt\.": "geometry_encoder.vggt.", r"^merger\.": "geometry_merger."}
"""Anchored: ``visual.merger`` is Qwen's own."""


@dataclass(frozen=True)
class TensorFiles:
    """The safetensors of a folder: ``files[name]`` holds tensor ``name``."""

    folder: Path
    files: Mapping[str, Path]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for path in dict.fromkeys(self.files.values()):
            with opened_tensors(path) as handle:
                for name in handle.keys():  # noqa: SIM118 - not a dict
                    shapes[name] = tuple(handle.get_slice(name).get_shape())
        return shapes

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        with ExitStack() as stack:
            handles = {path: stack.enter_context(opened_tensors(path)) for path in set(self.files.values())}
            return {name: handles[self.files[name]].get_tensor(name) for name in names}


@contextmanager
def opened_tensors(path: Path) -> Iterator[Any]:
    """``safe_open`` of a file; ValueError naming it when it is damaged; declared sizes are checked first."""
    with blaming(path, SafetensorError), safe_open(path, framework="pt") as handle:
        yield handle


def tensor_files(folder: Path) -> TensorFiles:
    """The weights of ``folder``; FileNotFoundError: there are none, a shard is missing, or they are not
    safetensors."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        with blaming(index, KeyError, TypeError, AttributeError):
            weight_map = {str(key): str(name) for key, name in read_json(index)["weight_map"].items()}
        for name in set(weight_map.values()):
            if Path(name).name != name:
                raise ValueError(f"{index}: {name!r} is not a file name")
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{index} names {name}, which is not in {folder}; download it again")
        return TensorFiles(folder, {key: folder / name for key, name in weight_map.items()})
    single = folder / "model.safetensors"
    if not single.is_file():
        others = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth"))
        hint = f"; {others[0]} is a pickle, which is not read: convert it to safetensors" if others else ""
        raise FileNotFoundError(f"{folder} holds no model.safetensors and no index{hint}")
    with opened_tensors(single) as handle:
        return TensorFiles(folder, dict.fromkeys(handle.keys(), single))


def read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no config.json; give a folder laid out as in docs/models.md")
    return read_json(path, dict)


def layout_of(config: Mapping[str, Any]) -> str:
    """``own``, ``v2``, ``v1`` or ``qwen``; ValueError for anything else."""
    kind = str(config.get("model_type"))
    if kind.startswith("rft3d_"):
        return "own"
    if kind not in ("qwen2_5_vl", "qwen3_vl"):
        raise ValueError(f"config.json: model_type={kind!r}; known are Qwen2.5-VL, Qwen3-VL, models of them")
    if config.get("use_geometry_encoder"):
        return "v2"
    if config.get("use_vggt_feature"):
        return "v1"
    return "qwen"


def renamed(name: str, layout: str) -> str:
    """``name`` of a tensor as V2 calls it."""
    if layout == "v1":
        for pattern, target in V1_NAMES.items():
            name = re.sub(pattern, target, name)
    return name


def geometry_of(shapes: Mapping[str, tuple[int, ...]], prefix: str = "") -> tuple[str, Any]:
    """Which of :data:`ENCODERS` the tensors under ``prefix`` are, and its sizes; ValueError: none that is known."""
    inside = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    for kind, encoder in ENCODERS.items():
        try:
            return kind, encoder.sizes(inside)
        except KeyError:
            continue
    raise ValueError(f"no geometry encoder: the weights hold none of {', '.join(ENCODERS)} under {prefix!r}")


def check_keys(where: object, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """ValueError that counts and names what does not fit; silent when nothing is left over."""
    problems = []
    for title, names in (("lacks", sorted(missing)), ("has unknown", sorted(unexpected))):
        if names:
            shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
            problems.append(f"{title} {len(names)} tensors: {shown}")
    if problems:
        raise ValueError(f"{where}: the checkpoint {'; '.join(problems)}")


def load_geometry(encoder: GeometryEncoder, folder: Path) -> list[str]:
    """Load a released geometry encoder (``facebook/VGGT-1B`` ...) into ``encoder``, by name. Returns the names
    that were left out: heads and unused rounds. ValueError: missing, unknown or misshapen tensors."""
    stored = tensor_files(folder)
    skipped = [name for name in stored.files if encoder.unused(name)]
    used = set(stored.files) - set(skipped)
    own = encoder.state_dict()
    check_keys(folder, own.keys() - used, used - own.keys())
    shapes = stored.shapes()
    sizes = {name: tuple(value.shape) for name, value in own.items()}
    wrong = [f"{n} {shapes[n]} instead of {size}" for n, size in sizes.items() if shapes[n] != size]
    if wrong:
        raise ValueError(f"{folder}: {len(wrong)} tensors have another shape, e.g. {wrong[0]}")
    with torch.no_grad():
        for name, value in stored.read(sorted(used)).items():
            own[name].copy_(value)  # converts to the model's type
    return sorted(skipped)


def check_tied(stored: TensorFiles, tied: bool) -> None:
    """ValueError when the config ties the head to the embeddings but the file holds two different ones."""
    head = "lm_head.weight"
    embeddings = [n for n in stored.files if n.endswith("embed_tokens.weight")]
    if not tied or head not in stored.files or not embeddings:
        return
    values = stored.read([head, embeddings[0]])
    if not torch.equal(values[head], values[embeddings[0]]):
        raise ValueError(
            f"{stored.folder}: config.json ties the embeddings, but {head} and {embeddings[0]} differ; "
            'set "tie_word_embeddings": false if the head was trained by itself'
        )
