"""A folder or a hub name in, a :class:`Policy` out: every layout of :mod:`rft3d.models.checkpoints`."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging as hf_logging

from rft3d.digests import check_list
from rft3d.files import SHIPPED_MODELS, blaming, read_json
from rft3d.models import checkpoints
from rft3d.models.fusion import SpatialConfig, SpatialConfig3, SpatialQwen, SpatialQwen3
from rft3d.models.geometry import BOX_CONVENTIONS, GeometryMerger, check_geometry_fields
from rft3d.models.images import VGLLM_WIDTH
from rft3d.models.policy import META, TEXT_RULES, Policy, without_bars
from rft3d.models.spatial import SpatialModel

OFF = "off"
MERGER_SEED = 0

CLASSES: dict[str, tuple[type[Any], type[Any]]] = {
    "qwen2_5_vl": (SpatialConfig, SpatialQwen),
    "qwen3_vl": (SpatialConfig3, SpatialQwen3),
}


def resolve(where: str | Path) -> Path:
    """A local folder, or the snapshot of a hub repository ``owner/name`` (downloaded when it isn't cached)."""
    folder = Path(where)
    if folder.is_dir():
        return folder
    name = str(where)
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        shipped = ", ".join(SHIPPED_MODELS)
        raise FileNotFoundError(
            f"{name} is neither a shipped model ({shipped}) nor a folder nor a hub repository (owner/name)"
        )
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja"]))


_ODD_CONFIG = (
    StrictDataclassError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError,
    SafetensorError,
)  # fmt: skip


def load_spatial(
    where: str | Path,
    device: str = "cpu",
    *,
    dtype: torch.dtype | None = None,
    geometry: str | Path | None = None,
    box_convention: str | None = None,
    backbone: str | None = None,
) -> Policy:
    """Load a policy in any of the layouts, from a folder or a hub repository.

    ``dtype``: of the weights; None: as they are stored. ``geometry``: folder or hub repository of a geometry
    encoder (``facebook/VGGT-1B``, ``depth-anything/DA3-BASE``, ``yyfz233/Pi3`` ...), needed when the weights hold
    no geometry branch, and replacing its weights when they do; ``"off"``: without the geometry prior.
    ``box_convention``: how the weights write angles, ``intrinsic_zxy`` or ``extrinsic_zxy``; None: as the config
    says, else extrinsic for V1 and intrinsic for everything else. Give ``extrinsic_zxy`` for V2 weights downloaded
    before 2025-11-27. ``backbone``: the name a saved copy carries; None: what the folder says.

    ValueError: a saved model whose files have changed; missing, unknown or misshapen tensors, a config that asks
    for what is not there, or weights without geometry and no word on where to take it from.
    """
    folder = resolve(where)
    check_list(folder)
    with blaming(folder, *_ODD_CONFIG, fix="its config.json or rft3d_policy.json is not as it was saved"):
        raw = checkpoints.read_config(folder)
        layout = checkpoints.layout_of(raw)
        meta = read_json(folder / META) if (folder / META).is_file() else {}
        stored = checkpoints.tensor_files(folder)
        config, fresh = _config(folder, raw, layout, stored, geometry)
        if box_convention is not None:
            config.box_convention = box_convention
        elif layout != "own":
            config.box_convention = raw.get("box_convention", BOX_CONVENTIONS[layout == "v1"])
        checkpoints.check_tied(stored, bool(config.tie_word_embeddings))
        model = _load(folder, layout, config, fresh, dtype)
        if config.use_geometry_encoder and geometry is not None:
            checkpoints.load_geometry(model.geometry_net, resolve(geometry))
        if fresh:
            cast(GeometryMerger, model.geometry_merger).reset(MERGER_SEED)
        model.freeze_encoders()
        torch.nn.Module.to(model, torch.device(device))
        size = meta.get("frame_size", VGLLM_WIDTH)
        told = ((name, meta[name]) for name in TEXT_RULES if name in meta)
        rules: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in told}
        return Policy(
            model.eval(),
            _tokenizer(folder),
            size if isinstance(size, int) else (int(size[0]), int(size[1])),
            meta.get("task_options", {}),
            backbone=backbone or meta.get("backbone") or backbone_of(config),
            **rules,
        )


def backbone_of(config: Any) -> str:
    """The key of ``BACKBONES`` for a config; sizes between the released ones count to the next larger."""
    base = "qwen2.5-vl-3b" if config.text_config.hidden_size <= 2048 else "qwen2.5-vl-7b"
    base = "qwen3-vl-4b" if isinstance(config, SpatialConfig3) else base
    return f"{base}-{config.geometry_encoder_type}"


def _config(
    folder: Path,
    raw: Mapping[str, Any],
    layout: str,
    stored: checkpoints.TensorFiles,
    geometry: str | Path | None,
) -> tuple[Any, bool]:
    """The config with the geometry branch's sizes, and whether that branch has to be made."""
    kind = str(raw["model_type"]).removeprefix("rft3d_")
    if kind not in CLASSES:
        raise ValueError(f"{folder / 'config.json'}: model_type is {kind!r}; known are {', '.join(CLASSES)}")
    config_class = CLASSES[kind][0]
    if layout == "own":
        config = config_class.from_pretrained(folder)
        if geometry == OFF:
            config.use_geometry_encoder = False
        return config, bool(config.use_geometry_encoder and geometry and not _has_geometry(stored, layout))
    plain = {k: v for k, v in raw.items() if k not in ("model_type", "architectures", "auto_map")}
    config = config_class.from_dict(plain)
    check_geometry_fields(config)
    config.use_geometry_encoder = geometry != OFF
    if not config.use_geometry_encoder:
        return config, False
    fresh = layout == "qwen"
    if fresh:
        if geometry is None:
            raise ValueError(
                f"{folder} holds a plain {kind} without a geometry encoder; say where to take one from, "
                "geometry='facebook/VGGT-1B' (or another encoder, or a folder), or geometry='off' to do without"
            )
        shapes = checkpoints.tensor_files(resolve(geometry)).shapes()
        config.geometry_encoder_type, sizes = checkpoints.geometry_of(shapes)
    else:
        if not _has_geometry(stored, layout):
            asked = "use_geometry_encoder" if layout == "v2" else "use_vggt_feature"
            raise ValueError(
                f"{folder}: config.json says {asked} but the weights hold no geometry encoder; download them "
                "again, or give geometry='off' to run without the geometry prior"
            )
        shapes = {checkpoints.renamed(name, layout): shape for name, shape in stored.shapes().items()}
        config.geometry_encoder_type, sizes = checkpoints.geometry_of(shapes, _prefix(config))
        merger = shapes.get("geometry_merger.mlp.0.weight")
        if merger is not None:
            config.geometry_merger_hidden_dim = merger[0]
    config.geometry_encoder = sizes.to_dict()
    return config, fresh


def _prefix(config: Any) -> str:
    return f"geometry_encoder.{config.geometry_encoder_type}."


def _has_geometry(stored: checkpoints.TensorFiles, layout: str) -> bool:
    return any(checkpoints.renamed(name, layout).startswith("geometry_encoder.") for name in stored.files)


def _load(folder: Path, layout: str, config: Any, fresh: bool, dtype: torch.dtype | None) -> SpatialModel:
    model_class = next(model for kind, model in CLASSES.values() if isinstance(config, kind))
    odd = blaming(folder / "config.json", RuntimeError, fix="its sizes are not those of the tensors")
    with odd, without_bars(), _without_report():
        loaded: Any = model_class.from_pretrained(
            folder,
            config=config,
            dtype=dtype or "auto",
            output_loading_info=True,
            key_mapping=checkpoints.V1_NAMES if layout == "v1" else None,
            use_safetensors=True,
        )
    model, info = cast("tuple[SpatialModel, dict[str, Any]]", loaded)
    missing = set(info["missing_keys"])
    unexpected = {checkpoints.renamed(name, layout) for name in info["unexpected_keys"]}
    geometry = tuple(f"{part}." for part in ("geometry_encoder", "geometry_merger"))
    if fresh:  # exactly the branch that is made next, nothing more
        missing -= {n for n in model.state_dict() if n.startswith(geometry)}
    if config.use_geometry_encoder:
        prefix, unused = _prefix(config), model.geometry_net.unused
        unexpected = {n for n in unexpected if not (n.startswith(prefix) and unused(n.removeprefix(prefix)))}
    else:
        unexpected = {n for n in unexpected if not n.startswith(geometry)}
    if config.tie_word_embeddings:  # a copy of the embeddings, checked to be one
        unexpected -= {"lm_head.weight"}
    checkpoints.check_keys(folder, missing, unexpected)
    if layout == "v1":
        # transformers would undo the renaming when it saves; what we save is V2.
        del model._weight_conversions
    return model


@contextmanager
def _without_report() -> Iterator[None]:
    """transformers warns of every tensor that is left out; we raise for those that must be there."""
    before = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            # odd sizes fit no tensors: an error
            warnings.filterwarnings("ignore", "Initializing zero-element")
            yield
    finally:
        hf_logging.set_verbosity(before)


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The folder's ``tokenizer.json`` as it is; slow files go through transformers' own class."""
    if (folder / "tokenizer.json").is_file():
        # whatever is odd in the file, the tokenizers library raises a plain Exception
        with blaming(folder / "tokenizer.json", Exception, fix="save or download it again"):
            return PreTrainedTokenizerFast.from_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)
