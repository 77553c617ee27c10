"""Qwen2.5-VL and Qwen3-VL with a frozen geometry encoder: VG-LLM's architecture, composed at one seam.

Vision tokens of Qwen's tower (after its own 2×2 merger) plus VGGT features (merged 2×2, normalised,
projected by a two-layer MLP), element-wise, before they take their places in the language model's
input. The vision tower, its merger and the geometry encoder are frozen; the language model and the
geometry merger are trained. Facts and names follow the released checkpoints (``docs/papers.md``).
"""

from typing import Any

import transformers
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from rft3d.models.geometry import GeometryFields
from rft3d.models.spatial import SpatialModel


class SpatialConfig(GeometryFields, transformers.Qwen2_5_VLConfig):
    """Qwen2.5-VL's config plus the geometry branch."""

    model_type = "rft3d_qwen2_5_vl"


class SpatialQwen(  # pyright: ignore[reportIncompatibleMethodOverride] - forward takes packed rows instead
    SpatialModel, transformers.Qwen2_5_VLForConditionalGeneration
):
    """See :class:`SpatialModel`."""

    config_class = SpatialConfig
    config: SpatialConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__(config)
        self.add_geometry(config)


class SpatialConfig3(GeometryFields, transformers.Qwen3VLConfig):
    """Qwen3-VL's config plus the geometry branch."""

    model_type = "rft3d_qwen3_vl"


class SpatialQwen3(  # pyright: ignore[reportIncompatibleMethodOverride]
    SpatialModel, transformers.Qwen3VLForConditionalGeneration
):
    """What differs from Qwen2.5-VL: the tower's patches are 16 pixels (frames are resized twice from the original,
    onto the same grid of patches, so that a vision token and a geometry cell still cover the same part of the
    picture), pixels are normalised to [-1, 1], and three deepstack levels of the tower are added to the first
    layers of the language model (they travel behind the tokens in ``FrozenFeatures.vision``). Geometry is added
    to the tokens only. Frames are images, so Qwen3-VL's time stamps between video frames don't occur.

    Nobody has published weights of this combination; start from ``Qwen/Qwen3-VL-4B-Instruct`` and a fresh merger.
    """

    config_class = SpatialConfig3
    config: SpatialConfig3  # pyright: ignore[reportIncompatibleVariableOverride]

    patch = 16
    pixel_mean = (0.5, 0.5, 0.5)
    pixel_std = (0.5, 0.5, 0.5)

    def __init__(self, config: SpatialConfig3) -> None:
        super().__init__(config)
        vision: Any = config.vision_config
        sizes = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        if sizes != (self.patch, 2, 2):
            raise ValueError(
                f"vision_config: patch_size={sizes[0]}, spatial_merge_size={sizes[1]}, "
                f"temporal_patch_size={sizes[2]}; only 16, 2, 2 are supported"
            )
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
for _config, _model in ((SpatialConfig, SpatialQwen), (SpatialConfig3, SpatialQwen3)):
    transformers.AutoConfig.register(_config.model_type, _config, exist_ok=True)
    transformers.AutoModelForImageTextToText.register(_config, _model, exist_ok=True)
