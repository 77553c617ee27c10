"""Values of settings that no run can use are refused in one place, by name."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from rft3d.datasets import DetectionSettings, GroundingSettings, VsiSettings
from rft3d.evaluation.headroom import HeadroomConfig
from rft3d.evaluation.predict import PredictConfig
from rft3d.evaluation.questions import QuestionConfig
from rft3d.models.start import LoadConfig
from rft3d.pretraining.encoders import EncoderConfig
from rft3d.scenes import RoomConfig
from rft3d.settings import Checked
from rft3d.training.config import (
    LoRAConfig,
    MemoryConfig,
    OptimConfig,
    Plan,
    RFTConfig,
    SFTConfig,
)
from rft3d.training.recipes import CacheConfig, Recipe

CLASSES = (
    *(
        RFTConfig,
        SFTConfig,
        OptimConfig,
        MemoryConfig,
        LoRAConfig,
        Plan,
        CacheConfig,
        LoadConfig,
    ),
    *(EncoderConfig, RoomConfig, PredictConfig, HeadroomConfig, QuestionConfig),
    *(DetectionSettings, GroundingSettings, VsiSettings),
)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (RFTConfig, {"steps": -3}, "RFTConfig.steps must be at least 1, got -3"),
        (RFTConfig, {"group_size": 1}, "group_size must be at least 2, got 1"),
        (RFTConfig, {"updates_per_rollout": 0}, "updates_per_rollout must be at least 1"),
        (RFTConfig, {"save_every": 0}, "save_every must be at least 1"),
        (RFTConfig, {"loss": "ppo"}, "loss must be one of 'token', 'grpo'.*, got 'ppo'"),
        (RFTConfig, {"temperature": 0.0}, "temperature must be above 0"),
        (
            RFTConfig,
            {"prompts_per_step": {"detection": -1}},
            r"prompts_per_step\['detection'\] must be at least 0",
        ),
        (RFTConfig, {"max_new_tokens": {"detection": 2.5}}, "must be a whole number, got 2.5"),
        (RFTConfig, {"epsilon_high": -0.1}, "epsilon_high must be at least 0"),
        (SFTConfig, {"steps": True}, "steps must be a whole number, got True"),
        (SFTConfig, {"scene_share": {"spatial": 2}}, "at least 0 and at most 1, got 2"),
        (OptimConfig, {"lr": math.inf}, "lr must be a finite number"),
        (OptimConfig, {"betas": (0.9, 1.5)}, r"betas\[1\] must be"),
        (MemoryConfig, {"prefill": -1}, "prefill must be at least 0"),
        (
            Recipe,
            {"out": "o", "model": None, "samples": {}, "stages": (), "trained_dtype": "float16"},
            "trained_dtype must be one of",
        ),
    ],
)
def test_refused(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**values)


@pytest.mark.parametrize("kind", CLASSES)
def test_defaults_are_fine_and_nan_is_no_number(kind: type[Any]) -> None:
    config = kind()
    assert isinstance(config, Checked)
    for name in (f.name for f in dataclasses.fields(kind) if isinstance(getattr(config, f.name), float)):
        with pytest.raises(ValueError, match=rf"{name} must be a finite number, got nan"):
            dataclasses.replace(config, **{name: math.nan})


def test_numpys_numbers_are_numbers() -> None:
    assert SFTConfig(steps=np.int64(3), optim=OptimConfig(lr=np.float32(0.1))).steps == 3  # type: ignore[arg-type]
