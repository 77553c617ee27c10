"""Stock Qwen2.5-VL under TRL's ``GRPOTrainer``, and our policy with the same weights: the oracle's two sides.

``StockCase`` holds what both get: model folder, frames, questions, completions, rewards. Tests feed fixed
completions and compare gradients; ``benchmarks/grpo_step.py`` lets both sample and times them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import (
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from rft3d.models import Policy, TinyConfig, build_tiny
from rft3d.models.fusion import SpatialConfig, SpatialQwen
from rft3d.models.tokens import VISUAL_SPECIALS, byte_tokenizer, token_id
from rft3d.prompts import SYSTEM

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class FramesProcessor(Qwen2_5_VLProcessor):
    """Qwen's processor without the video half, which needs torchvision. Counts the pictures it prepared."""

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "tokenizer"]

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(image_processor, tokenizer, None, **kwargs)


class CountingImages(Qwen2VLImageProcessorPil):
    """Qwen's image processor, counting pictures in ``seen``."""

    seen = 0

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        flat = images if isinstance(images, (list, tuple)) else [images]
        type(self).seen += sum(len(x) if isinstance(x, (list, tuple)) else 1 for x in flat)
        return super().preprocess(images, *args, **kwargs)


@dataclass(frozen=True)
class Sizes:
    """Of the stock model; the defaults are the tests'."""

    layers: int = 2
    hidden: int = 64
    heads: int = 4
    intermediate: int = 96
    vision_layers: int = 1
    vision_hidden: int = 32
    frame: tuple[int, int] = (84, 56)
    spread: float = 0.2
    """Standard deviation of the language model's matrices; large enough for answers to differ."""


@dataclass(frozen=True)
class StockCase:
    """Scenes with a question each; the same for both sides.

    Attributes:
        folder: the saved stock model (also TRL's reference).
        clips: per scene a list of frames ``(H, W, 3)`` uint8.
        questions: per scene.
        completions: ``completions[scene][i]`` fixed token ids, when the tests want no sampling.
        rewards: ``rewards[scene][i]`` for them.
    """

    folder: Path
    sizes: Sizes
    clips: Sequence[Sequence[NDArray[np.uint8]]]
    questions: Sequence[str]
    completions: Sequence[Sequence[Sequence[int]]] = ()
    rewards: Sequence[Sequence[float]] = ()
    group: int = 8
    perturb: float = 0.0
    """Standard deviation of noise on the trained weights, so that policy and reference differ."""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def stock(self, model_class: type | None = None) -> Qwen2_5_VLForConditionalGeneration:
        model = (model_class or Qwen2_5_VLForConditionalGeneration).from_pretrained(self.folder)
        model.model.visual.requires_grad_(False)
        perturbed(model, self.perturb)
        return model

    def processor(self) -> FramesProcessor:
        tokenizer = byte_tokenizer()
        tokenizer.chat_template = TEMPLATE
        tokenizer.padding_side = "left"
        images = CountingImages(min_pixels=28 * 28, max_pixels=10**8)
        return FramesProcessor(images, tokenizer, chat_template=TEMPLATE)

    def ours(self, perturb: bool = True) -> Policy:
        """Our policy with the stock model's weights, without the geometry branch."""
        stock = Qwen2_5_VLConfig.from_pretrained(self.folder).to_dict()
        config = SpatialConfig(**stock | {"use_geometry_encoder": False})
        model: Any = SpatialQwen.from_pretrained(self.folder, config=config)
        perturbed(model, self.perturb if perturb else 0.0)
        policy = Policy(model.eval(), byte_tokenizer(), self.sizes.frame, {})
        policy.model.suppress([])  # TRL suppresses nothing in its log-probabilities
        return policy


def visual_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that stand for pictures: an answer with one of them fits no features, on either side."""
    return [token_id(tokenizer, token) for token in VISUAL_SPECIALS]


def perturbed(model: torch.nn.Module, spread: float) -> None:
    """Add seeded noise to the language model."""
    generator = torch.Generator().manual_seed(17)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if spread and "language_model" in name:
                p.add_(torch.randn(p.shape, generator=generator).to(p) * spread)


def save_stock(folder: Path, sizes: Sizes, seed: int = 0) -> None:
    """A random stock Qwen2.5-VL of these sizes in ``folder``, in the hub's format."""
    tiny = TinyConfig(
        hidden=sizes.hidden, layers=sizes.layers, heads=sizes.heads, intermediate=sizes.intermediate,
        vision_hidden=sizes.vision_hidden, vision_layers=sizes.vision_layers, use_geometry=False,
        frame_size=sizes.frame,
    )  # fmt: skip
    config = build_tiny(tiny, byte_tokenizer()).model.config.to_dict()
    keep = ("text_config", "vision_config", "tie_word_embeddings", "image_token_id", "video_token_id",
            "vision_start_token_id", "vision_end_token_id")  # fmt: skip
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**{k: config[k] for k in keep}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 2 and "language" in name and "embed" not in name:
                p.copy_(torch.randn(p.shape, generator=generator) * sizes.spread)
    text = config["text_config"]
    model.generation_config.eos_token_id = text["eos_token_id"]
    model.generation_config.pad_token_id = text["pad_token_id"]
    model.save_pretrained(folder)


def random_clips(
    count: int, frames: int, size: tuple[int, int], seed: int = 0
) -> list[list[NDArray[np.uint8]]]:
    """``count`` clips of noise; ``size`` is ``(width, height)``."""
    rng = np.random.default_rng(seed)
    shape = (size[1], size[0], 3)
    return [[rng.integers(0, 255, shape, dtype=np.uint8) for _ in range(frames)] for _ in range(count)]


def trl_trainer(
    case: StockCase,
    out: Path,
    model: Any = None,
    reward: Callable[..., list[float]] | None = None,
    **settings: Any,
) -> Any:
    """A ``GRPOTrainer`` on ``case``: one step of all scenes, learning rate 0, no clipping of gradients.

    With ``case.completions`` it does not sample but returns those.
    """
    from trl import GRPOConfig, GRPOTrainer

    from datasets import Dataset

    rows = {
        "prompt": [
            [{"role": "system", "content": SYSTEM}, {"role": "user", "content": q}] for q in case.questions
        ],
        "images": [[Image.fromarray(f) for f in clip] for clip in case.clips],
        "scene": list(range(len(case.clips))),
    }
    config = {
        "num_generations": case.group, "max_steps": 1, "report_to": [], "save_strategy": "no",
        "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "max_grad_norm": 0.0,
        "learning_rate": 0.0, "disable_tqdm": True, "seed": 0, "logging_strategy": "no",
    } | settings  # fmt: skip
    if case.completions:
        config["max_completion_length"] = max(len(c) for group in case.completions for c in group)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = GRPOTrainer(
            model=case.stock() if model is None else model,
            reward_funcs=reward or _fixed_rewards(case),
            args=GRPOConfig(str(out), **config),
            train_dataset=Dataset.from_dict(rows),
            processing_class=case.processor(),
        )
    if case.completions:
        trainer._generate_single_turn = _fixed_completions(case, trainer)
    return trainer


def _fixed_rewards(case: StockCase) -> Callable[..., list[float]]:
    def reward(completions: Sequence[Any], scene: Sequence[int], **_: Any) -> list[float]:
        return [case.rewards[s][i] for s, i in _numbered(scene)]

    return reward


def _fixed_completions(case: StockCase, trainer: Any) -> Callable[..., tuple[list[list[int]], None]]:
    def generate(prompt_ids: Sequence[Sequence[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        tokenizer = trainer.processing_class.tokenizer
        texts = [tokenizer.decode(ids) for ids in prompt_ids]
        scenes = [next(s for s, q in enumerate(case.questions) if q in text) for text in texts]
        return [list(case.completions[s][i]) for s, i in _numbered(scenes)], None

    return generate


def _numbered(scenes: Sequence[int]) -> list[tuple[int, int]]:
    """``(scene, how often it came before)``."""
    seen: dict[int, int] = {}
    out = []
    for scene in scenes:
        out.append((scene, seen.get(scene, 0)))
        seen[scene] = seen.get(scene, 0) + 1
    return out


def trl_gradients(
    case: StockCase, out: Path, **settings: Any
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The gradients of one optimizer step of TRL, by parameter name, and its logged metrics."""
    from transformers import TrainerCallback

    found: dict[str, torch.Tensor] = {}
    trainer = trl_trainer(case, out, **settings)

    class Capture(TrainerCallback):
        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            named = trainer.accelerator.unwrap_model(trainer.model).named_parameters()
            found.update({n: p.grad.clone() for n, p in named if p.grad is not None})

    trainer.add_callback(Capture())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()
    return found, {k: float(v) for record in trainer.state.log_history for k, v in record.items()}
