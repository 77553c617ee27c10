"""The geometry branch of a backbone: what its config says, what the frozen encoders hand on, the merger.

Plain parts that :class:`rft3d.models.spatial.SpatialModel` puts together.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from rft3d.models.blocks import GeometryEncoder
from rft3d.models.da3 import DA3
from rft3d.models.vggt import VGGT, Pi3

ENCODERS: dict[str, type[GeometryEncoder]] = {"vggt": VGGT, "da3": DA3, "pi3": Pi3}
"""Geometry encoders by the name that configs carry (``geometry_encoder_type``)."""

BOX_CONVENTIONS = ("intrinsic_zxy", "extrinsic_zxy")


@dataclass
class GeometryFields:
    """What a backbone's config says about the geometry branch (names of VG-LLM V2 where they exist).

    ``geometry_encoder``: sizes, fields of the encoder's own config (:data:`ENCODERS`); None: its defaults.
    ``reference_frame``: ``first``, or ``last`` for weights trained with the frames reversed for the geometry
    encoder. ``box_convention``: how the weights write a box's angles; the policy translates
    (:mod:`rft3d.models.convention`).
    """

    use_geometry_encoder: bool = True
    geometry_encoder_type: str = "vggt"
    geometry_encoder: dict[str, Any] | None = None
    geometry_merger_type: str = "mlp"
    geometry_merger_hidden_dim: int = 4096
    feature_fusion_method: str = "add"
    reference_frame: str = "first"
    box_convention: str = "intrinsic_zxy"


def check_geometry_fields(config: Any) -> None:
    """ValueError naming the first field whose value has no implementation here."""
    allowed = {
        "geometry_encoder_type": tuple(ENCODERS),
        "geometry_merger_type": ("mlp",),
        "feature_fusion_method": ("add",),
        "reference_frame": ("first", "last"),
        "box_convention": BOX_CONVENTIONS,
    }
    for name, values in allowed.items():
        if getattr(config, name) not in values:
            raise ValueError(f"config: {name}={getattr(config, name)!r} is not supported, only {values}")


@dataclass(frozen=True)
class FrozenFeatures:
    """What the frozen encoders say of one clip; computed once, reused by every pass over it.

    ``vision``: ``(T, hidden)`` vision tokens of all frames, frame-major; of a backbone with deepstack features
    ``(T, (1 + levels) * hidden)``, the levels behind the tokens. ``geometry``: ``(T, 4, width)`` the four patches
    under each vision token, row-major inside the cell; None when the geometry prior is off. ``grid``: ``(frames,
    3)`` Qwen's ``image_grid_thw`` (in patches, before the 2×2 merge).
    """

    vision: Tensor
    geometry: Tensor | None
    grid: Tensor

    def cpu(self) -> "FrozenFeatures":
        """The same in main memory."""
        geometry = None if self.geometry is None else self.geometry.cpu()
        return FrozenFeatures(self.vision.cpu(), geometry, self.grid.cpu())

    def nbytes(self) -> int:
        return self.vision.nbytes + (0 if self.geometry is None else self.geometry.nbytes)


class GeometryMerger(nn.Module):
    """RMSNorm each patch, lay the 2×2 cell side by side, project with a two-layer MLP."""

    def __init__(self, patch_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.ln_q = nn.RMSNorm(patch_dim, eps=1e-6)
        layers = nn.Linear(4 * patch_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, out_dim)
        self.mlp = nn.Sequential(*layers)

    def reset(self, seed: int) -> None:
        """A fresh merger as VG-LLM starts one: weights N(0, 0.02), biases 0, norm 1; not zero."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            nn.init.ones_(cast(Tensor, self.ln_q.weight))
            for layer in (self.mlp[0], self.mlp[2]):
                linear = cast(nn.Linear, layer)
                linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) * 0.02)
                nn.init.zeros_(linear.bias)

    def forward(self, cells: Tensor) -> Tensor:
        """``(T, 4, patch_dim)`` -> ``(T, out_dim)``."""
        return self.mlp(self.ln_q(cells).flatten(-2))


def cells_of(patches: Tensor) -> Tensor:
    """Patches ``(..., h, w, D)`` to 2×2 cells ``(..., h//2 * w//2, 4, D)``; odd borders are dropped."""
    *lead, h, w, dim = patches.shape
    even = patches[..., : h // 2 * 2, : w // 2 * 2, :]
    grouped = even.reshape(*lead, h // 2, 2, w // 2, 2, dim)
    grouped = grouped.transpose(-4, -3)
    return grouped.reshape(*lead, (h // 2) * (w // 2), 4, dim)
