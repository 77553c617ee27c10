"""A policy of a few thousand parameters, real rooms of two small frames, and tasks that are easy to learn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rft3d.answers import ParseFailure, ParseMode
from rft3d.models import Policy, TinyConfig, build_tiny
from rft3d.models.tokens import train_tokenizer
from rft3d.rewards import Part, Score
from rft3d.scenes.types import Scene
from rft3d.tasks.types import Sample, Task
from rft3d.training.advantages import assign_advantages
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus, Item, tokenize
from rft3d.training.rollout import Group, Rollouts, step_prompts

TEXTS = [
    'Detect the boxes. ```json\n[\n\t{"label": "chair", "bbox_3d": [1.2, 3.4, -5.1]}\n]```',
    'Detect the boxes. ```json\n[\n\t{"label": "table", "bbox_3d": [0.2, 1.4, -2.0]}\n]```',
]
SIZES: Mapping[str, Any] = {
    "hidden": 64,
    "layers": 2,
    "heads": 4,
    "intermediate": 96,
    "vision_hidden": 32,
    "vision_layers": 1,
    "geometry_dim": 32,
    "geometry_heads": 2,
    "geometry_rounds": 2,
    "merger_hidden": 48,
    "frame_size": (84, 56),
}


def make_policy(
    seed: int = 0,
    spread: float | None = 0.2,
    texts: Iterable[str] = (*TEXTS * 20,),
    words: Sequence[str] = ("chair", "table"),
    **sizes: object,
) -> Policy:
    """``spread``: standard deviation of the language model's weights, large enough for answers to differ
    (None: as a model that is about to be trained starts)."""
    tokenizer = train_tokenizer(texts, words, phrase_count=20, number_count=3)
    policy = build_tiny(TinyConfig(**{**SIZES, **sizes}), tokenizer, seed)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in policy.model.named_parameters():
            if spread is not None and p.ndim == 2 and "language" in name and "embed" not in name:
                p.copy_(torch.randn(p.shape, generator=generator) * spread)
    return policy


@dataclass(frozen=True)
class Digits:
    """Answer with a digit, best the wanted one: something that a few steps can learn."""

    wanted: str = "7"

    name: ClassVar[str] = "digits"

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        prompt = "<image>" * len(frame_refs) + "Detect the boxes. A digit, please: "
        ids = [f"{scene.id}:digits:{i}" for i in range(2)]
        return [Sample(i, self.name, scene.id, tuple(frame_refs), prompt + i[-1], {}) for i in ids]

    def gold(self, sample: Sample) -> str:
        """Any digit, the same one for the same sample."""
        return str(hashlib.blake2b(sample.id.encode()).digest()[0] % 10)

    def parse(self, text: str, sample: Sample, mode: ParseMode | None = None) -> str | ParseFailure:
        return text[0] if text[:1].isdecimal() else ParseFailure("no digit", text[:20])

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        read = self.parse(text, sample)
        failed = isinstance(read, ParseFailure)
        parts = Part("format", float(not failed), "", 0.1), Part("right", float(read == self.wanted), "", 0.9)
        return Score(parts, read if isinstance(read, ParseFailure) else None, truncated)

    def metric(self, samples: Sequence[Sample], scores: Sequence[Score]) -> dict[str, float | None]:
        return {}


def digits_corpus(policy: Policy, clips: Sequence[Sequence[Any]]) -> Corpus:
    """Two :class:`Digits` samples a clip."""
    refs = [tuple(f"{clip}/{i}" for i in range(len(frames))) for clip, frames in enumerate(clips)]
    task = Digits()
    samples = [
        [
            Sample(
                f"{clip}:{i}",
                task.name,
                str(clip),
                names,
                "<image>" * len(names) + f"Digit {i}, please: ",
                {},
            )
            for i in range(2)
        ]
        for clip, names in enumerate(refs)
    ]
    return tokenize(policy, {task.name: task}, {task.name: samples}, policy.encode(clips))


def weights_of(policy: Policy, prefix: str | tuple[str, ...] = "") -> dict[str, torch.Tensor]:
    """Copies of the parameters whose names start with ``prefix``."""
    return {n: p.detach().clone() for n, p in policy.model.named_parameters() if n.startswith(prefix)}


def same_weights(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def farthest(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def sampled_groups(
    policy: Policy,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    config: RFTConfig,
    step: int = 0,
    prompts: Mapping[str, Sequence[Item]] | None = None,
) -> list[Group]:
    """The groups of a step with their advantages."""
    chosen = step_prompts(corpus, config, step) if prompts is None else prompts
    groups = Rollouts(policy, tasks, corpus, config).rollout(chosen, step)
    return assign_advantages(groups, config, policy.tokenizer)
