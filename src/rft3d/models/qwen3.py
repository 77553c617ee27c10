"""Qwen3-VL with the same geometry encoder: the second backbone, all of it in this file.

What differs from Qwen2.5-VL: the tower's patches are 16 pixels (frames are resized twice from the original,
onto the same grid of patches, so that a vision token and a geometry cell still cover the same part of the
picture), pixels are normalised to [-1, 1], and three deepstack levels of the tower are added to the first
layers of the language model (they travel behind the tokens in ``FrozenFeatures.vision``). Geometry is added
to the tokens only. Frames are images, so Qwen3-VL's time stamps between video frames don't occur.

Nobody has published weights of this combination; start from ``Qwen/Qwen3-VL-4B-Instruct`` and a fresh merger.
"""

from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from rft3d.models.geometry import GeometryFields
from rft3d.models.spatial import SpatialModel


class SpatialConfig3(GeometryFields, Qwen3VLConfig):
    """Qwen3-VL's config plus the geometry branch."""

    model_type = "rft3d_qwen3_vl"


class SpatialQwen3(  # pyright: ignore[reportIncompatibleMethodOverride] - forward takes packed rows instead
    SpatialModel, Qwen3VLForConditionalGeneration
):
    """See :class:`SpatialModel`."""

    config_class = SpatialConfig3
    config: SpatialConfig3  # pyright: ignore[reportIncompatibleVariableOverride]

    patch = 16
    pixel_mean = (0.5, 0.5, 0.5)
    pixel_std = (0.5, 0.5, 0.5)

    def __init__(self, config: SpatialConfig3) -> None:
        super().__init__(config)
        vision: Any = config.vision_config
        if (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size) != (self.patch, 2, 2):
            raise ValueError(
                f"vision_config: patch_size={vision.patch_size}, spatial_merge_size="
                f"{vision.spatial_merge_size}, temporal_patch_size={vision.temporal_patch_size}; only 16, 2, "
                "2 are supported"
            )
        self.add_geometry(config)


AutoConfig.register(SpatialConfig3.model_type, SpatialConfig3, exist_ok=True)
AutoModelForImageTextToText.register(SpatialConfig3, SpatialQwen3, exist_ok=True)
