"""Stage 0, for tiny models only: pre-train the vision tower and the geometry encoder, then freeze them."""

from rft3d.pretraining.encoders import EncoderConfig, pretrain_encoders

__all__ = ["EncoderConfig", "pretrain_encoders"]
