"""Qwen2.5-VL with a frozen geometry encoder: VG-LLM's architecture, composed at one seam.

Vision tokens of Qwen's tower (after its own 2×2 merger) plus VGGT features (merged 2×2, normalised,
projected by a two-layer MLP), element-wise, before they take their places in the language model's
input. The vision tower, its merger and the geometry encoder are frozen; the language model and the
geometry merger are trained. Facts and names follow the released checkpoints (``docs/papers.md``).
"""

from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from rft3d.models.geometry import GeometryFields
from rft3d.models.spatial import SpatialModel


class SpatialConfig(GeometryFields, Qwen2_5_VLConfig):
    """Qwen2.5-VL's config plus the geometry branch."""

    model_type = "rft3d_qwen2_5_vl"


class SpatialQwen(  # pyright: ignore[reportIncompatibleMethodOverride] - forward takes packed rows instead
    SpatialModel, Qwen2_5_VLForConditionalGeneration
):
    """See :class:`SpatialModel`."""

    config_class = SpatialConfig
    config: SpatialConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__(config)
        self.add_geometry(config)


# transformers gives the hub's names (visual.*, model.layers.*) to its own classes only; without this a
# subclass would load a hub checkpoint with a random language model, and only warn. Saving reverses it, so
# what we save has the released layout.
register_checkpoint_conversion_mapping(
    "SpatialQwen",
    [
        WeightRenaming(r"^visual", r"model.visual"),
        WeightRenaming(r"^model(?!\.(language_model|visual))", r"model.language_model"),
    ],
    overwrite=True,
)
AutoConfig.register(SpatialConfig.model_type, SpatialConfig, exist_ok=True)
AutoModelForImageTextToText.register(SpatialConfig, SpatialQwen, exist_ok=True)
