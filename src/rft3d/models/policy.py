"""A policy: network, tokenizer and image preparation together; text and frames in, text out.

This is the only face of a model that the floors above see. ``encode`` runs the frozen encoders once a
clip; everything else works on their features.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging as hf_logging

from rft3d.models.fusion import FrozenFeatures, SpatialQwen
from rft3d.models.generate import Completion, Sampling, generate
from rft3d.models.prefix import Row
from rft3d.models.tokens import VISUAL_SPECIALS, mrope_positions, prompt_ids, token_id
from rft3d.prompts import Prompt

META = "rft3d_policy.json"
FEATURES_KEPT = 512


def _content_key(clip: Sequence[NDArray[np.uint8]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for frame in clip:
        digest.update(str(frame.shape).encode())
        digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Generation:
    """A generated text; ``truncated`` when it hit the token limit before it stopped."""

    text: str
    truncated: bool
    tokens: int


@dataclass
class Policy:
    """See the module's docstring.

    Attributes:
        model: the network; its vision side is frozen.
        tokenizer: with Qwen's special tokens.
        frame_size: ``(width, height)`` frames are resized to; both multiples of 28.
        task_options: options of the tasks that the model was trained with (decimals ...), saved with it.
        features: the latest clips' frozen features by content, at most ``FEATURES_KEPT``.
    """

    model: SpatialQwen
    tokenizer: PreTrainedTokenizerBase
    frame_size: tuple[int, int]
    task_options: dict[str, dict[str, Any]]
    features: dict[str, FrozenFeatures] = field(default_factory=dict)
    _pieces: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        width, height = self.frame_size
        if width % 28 or height % 28:
            raise ValueError(f"frame_size={self.frame_size} must be multiples of 28 (patch 14, 2x2 merge)")
        self.model.suppress([token_id(self.tokenizer, token) for token in VISUAL_SPECIALS])

    @property
    def device(self) -> torch.device:
        return self.model.lm_head.weight.device

    @property
    def pad_id(self) -> int:
        return token_id(self.tokenizer, "<|endoftext|>")

    @property
    def stop_ids(self) -> frozenset[int]:
        return frozenset(token_id(self.tokenizer, token) for token in ("<|im_end|>", "<|endoftext|>"))

    def prepare(self, frames: Sequence[NDArray[np.uint8]]) -> Tensor:
        """``(S, 3, H, W)`` float in [0, 1] at ``frame_size`` (bicubic); frames are ``(h, w, 3)`` uint8."""
        from PIL import Image

        resized = [
            frame
            if (frame.shape[1], frame.shape[0]) == self.frame_size
            else np.asarray(Image.fromarray(frame).resize(self.frame_size, Image.Resampling.BICUBIC))
            for frame in frames
        ]
        return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255

    def encode(self, clips: Sequence[Sequence[NDArray[np.uint8]]], batch: int = 16) -> list[FrozenFeatures]:
        """Frozen features of each clip, in order; a clip that was seen lately is not encoded again.

        Clips of equal frame count are encoded together. Give policies with the same frozen encoders one
        ``features`` store and they share it.
        """
        self.model.eval()
        keys = [_content_key(clip) for clip in clips]
        fresh = {key: clip for key, clip in zip(keys, clips, strict=True) if key not in self.features}
        by_length: dict[int, list[str]] = {}
        for key, clip in fresh.items():
            by_length.setdefault(len(clip), []).append(key)
        found = {key: self.features[key] for key in set(keys) - set(fresh)}
        for members in by_length.values():
            for at in range(0, len(members), batch):
                chunk = members[at : at + batch]
                images = torch.stack([self.prepare(fresh[key]) for key in chunk]).to(self.device)
                found.update(zip(chunk, self.model.encode(images), strict=True))
        for key in fresh:
            self.features[key] = found[key]
        while len(self.features) > FEATURES_KEPT:
            del self.features[next(iter(self.features))]
        return [found[key] for key in keys]

    def _encode_cached(self, text: str) -> tuple[int, ...]:
        """Token ids of ``text``; prompts are made of few different pieces."""
        ids = self._pieces.get(text)
        if ids is None:
            if len(self._pieces) > 100_000:
                self._pieces.clear()
            ids = self._pieces[text] = tuple(self.tokenizer.encode(text, add_special_tokens=False))
        return ids

    def row(self, prompt: Prompt, grid: Tensor) -> Row:
        """The prompt's token ids and positions, without continuations; ``grid`` of its frames' features."""
        per_frame = [h * w // 4 for _, h, w in grid.tolist()]
        ids = prompt_ids(self.tokenizer, self._encode_cached, prompt, per_frame)
        image = token_id(self.tokenizer, "<|image_pad|>")
        return Row(ids, mrope_positions(ids, image, grid), [], [])

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer with its stop token."""
        return [*self._encode_cached(text), *self._encode_cached("<|im_end|>")]

    def text_of(self, completion: Completion) -> Generation:
        text = self.tokenizer.decode(list(completion.tokens), skip_special_tokens=True)
        return Generation(str(text), completion.truncated, len(completion.tokens))

    def sample(
        self,
        rows: Sequence[Row],
        features: Sequence[FrozenFeatures],
        keys: Sequence[str],
        per: int,
        sampling: Sampling,
    ) -> list[list[Completion]]:
        return generate(self.model, rows, features, keys, per, sampling, self.stop_ids, self.pad_id)

    def generate_texts(
        self,
        prompts: Sequence[Prompt],
        frames: Sequence[Sequence[NDArray[np.uint8]]],
        *,
        max_new_tokens: int = 256,
        seed: int = 0,
        temperature: float = 0.0,
    ) -> list[Generation]:
        """One text per prompt. Greedy at ``temperature=0``."""
        features = self.encode(frames)
        rows = [self.row(p, f.grid) for p, f in zip(prompts, features, strict=True)]
        keys = [str(i) for i in range(len(prompts))]
        sampled = self.sample(rows, features, keys, 1, Sampling(max_new_tokens, temperature, seed))
        return [self.text_of(completions[0]) for completions in sampled]

    def save(self, path: Path) -> None:
        """Write model, tokenizer and options to a folder; the folder appears complete or not at all."""
        path = Path(path)
        staging = path.with_name(path.name + ".tmp")
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
        with _without_bars():
            self.model.save_pretrained(staging)
        self.tokenizer.save_pretrained(staging)
        meta = {"backbone": "tiny", "frame_size": list(self.frame_size), "task_options": self.task_options}
        (staging / META).write_text(json.dumps(meta, indent=1))
        if path.exists():
            shutil.rmtree(path)
        staging.rename(path)


@contextmanager
def _without_bars() -> Iterator[None]:
    """transformers draws a progress bar for a file that takes milliseconds; not here."""
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            hf_logging.enable_progress_bar()


def load_spatial_qwen(path: Path, device: str = "cpu") -> Policy:
    """Load what :meth:`Policy.save` wrote; ValueError when tensors are missing."""
    meta = json.loads((path / META).read_text(encoding="utf-8"))
    with _without_bars():
        loaded: Any = SpatialQwen.from_pretrained(path, output_loading_info=True)
        model, info = cast("tuple[SpatialQwen, dict[str, Any]]", loaded)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ValueError(f"{path}: the checkpoint lacks {len(missing)} tensors, e.g. {missing[:3]}")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    width, height = meta["frame_size"]
    torch.nn.Module.to(model, torch.device(device))
    return Policy(model.eval(), tokenizer, (width, height), meta["task_options"])
