"""A policy: network, tokenizer and image preparation together; text and frames in, text out.

This is the only face of a model that the floors above see. ``encode`` runs the frozen encoders once a
clip; everything else works on their features.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from rft3d.digests import write_list
from rft3d.files import excerpt, replacing
from rft3d.models.convention import house_text, weights_text
from rft3d.models.features import FeatureCache, content_key, encoder_key
from rft3d.models.generate import Asked, Completion, Sampling, generate
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.images import GEOMETRY_PATCH, FrameSize, plan, prepare_frames
from rft3d.models.prefix import Row
from rft3d.models.spatial import SpatialModel
from rft3d.models.tokens import VISUAL_SPECIALS, mrope_positions, prompt_ids, token_id
from rft3d.prompts import Generation, Prompt

META = "rft3d_policy.json"
CLIPS_AT_ONCE = 16
PATCHES_AT_ONCE = 16384
"""Patches of the clips that are encoded together: 16 clips of the demo's, one of 32 frames of 518x392."""
TEXT_RULES = ("answer_end", "stops", "suppress_visual")
"""Fields of a policy about texts that are saved with it."""
SHARD_SIZE = "5GB"
FROZEN = ("model.visual.", "geometry_encoder.")


@dataclass
class Policy:
    """See the module's docstring.

    Attributes:
        model: the network; its vision side is frozen.
        tokenizer: with Qwen's special tokens.
        frame_size: ``(width, height)`` frames are resized to, both multiples of 28; or a width (a multiple of
            14), to which the height follows, as VG-LLM's 518.
        task_options: options of the tasks that the model was trained with (decimals ...), saved with it.
        features: frozen features of the clips seen lately; policies with the same frozen encoders may share one
            (``dataclasses.replace(policy, features=FeatureCache(folder))``).
        backbone: key of ``BACKBONES``; says how a saved folder is loaded.
        answer_end: what is trained behind an answer; VG-LLM trains the chat layout's line break too.
        stops: tokens that end a sampled answer. VG-LLM's generation stops at ``<|im_end|>`` alone.
        suppress_visual: visual special tokens have probability 0 in sampling, RL and SFT alike; False: they
            count in the softmax, as in VG-LLM's SFT loss.
    """

    model: SpatialModel
    tokenizer: PreTrainedTokenizerBase
    frame_size: FrameSize
    task_options: dict[str, dict[str, Any]]
    features: FeatureCache = field(default_factory=FeatureCache)
    backbone: str = "tiny"
    answer_end: str = "<|im_end|>\n"
    stops: tuple[str, ...] = ("<|im_end|>", "<|endoftext|>")
    suppress_visual: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.frame_size, int):
            if self.frame_size < 2 * GEOMETRY_PATCH or self.frame_size % GEOMETRY_PATCH:
                raise ValueError(f"frame_size={self.frame_size} must be a multiple of 14, 28 or more")
        elif self.frame_size[0] % 28 or self.frame_size[1] % 28:
            raise ValueError(f"frame_size={self.frame_size} must be multiples of 28 (patch 14, 2x2 merge)")
        hidden = VISUAL_SPECIALS if self.suppress_visual else ()
        self.model.suppress([token_id(self.tokenizer, token) for token in hidden])

    @property
    def device(self) -> torch.device:
        return self.model.lm_head.weight.device

    @property
    def box_convention(self) -> str:
        """How the *weights* write angles; texts in and out of the policy are always intrinsic ZXY."""
        return str(self.model.config.box_convention)

    @property
    def pad_id(self) -> int:
        return token_id(self.tokenizer, "<|endoftext|>")

    @property
    def stop_ids(self) -> frozenset[int]:
        return frozenset(token_id(self.tokenizer, token) for token in self.stops)

    def prepare(self, frames: Sequence[NDArray[np.uint8]]) -> Tensor:
        """``(S, 3, H, W)`` float in [0, 1] at ``frame_size`` (bicubic); frames are ``(h, w, 3)`` uint8."""
        return prepare_frames(frames, self.frame_size)

    def grid(self, frames: int, height: int, width: int) -> Tensor:
        """``(frames, 3)`` patch grid that :meth:`encode` will give a clip of pictures of this size."""
        planned = plan(self.frame_size, height, width)
        return torch.tensor([[1, planned.rows // 2 * 2, planned.cols // 2 * 2]] * frames)

    def encode(self, clips: Sequence[Sequence[NDArray[np.uint8]]]) -> list[FrozenFeatures]:
        """Frozen features of each clip, in order; a clip that was seen lately is not encoded again.

        Clips of equal frame count and size are encoded together, others one after the other; at most
        :data:`CLIPS_AT_ONCE` clips and :data:`PATCHES_AT_ONCE` patches at once.
        """
        return [features for _, features in self.encode_keyed(clips)]

    def encode_keyed(self, clips: Sequence[Sequence[NDArray[np.uint8]]]) -> list[tuple[str, FrozenFeatures]]:
        """:meth:`encode`, and the key of each clip in ``features``."""
        self.model.eval()
        keys = [self.clip_key(clip) for clip in clips]
        found = {key: known for key in set(keys) if (known := self.features.remembered(key)) is not None}
        alike: dict[tuple[int, int, int], dict[str, Sequence[NDArray[np.uint8]]]] = {}
        for key, clip in zip(keys, clips, strict=True):
            if key in found:
                continue
            if not clip:
                raise ValueError("a clip needs at least one frame")
            grid = plan(self.frame_size, *clip[0].shape[:2])
            alike.setdefault((len(clip), grid.rows, grid.cols), {})[key] = clip
        for (frames, rows, cols), members in alike.items():
            together = max(1, min(CLIPS_AT_ONCE, PATCHES_AT_ONCE // (frames * rows * cols)))
            for at in range(0, len(members), together):
                chunk = dict(list(members.items())[at : at + together])
                found |= self._encode_chunk(chunk)
        return [(key, found[key]) for key in keys]

    def clip_key(self, clip: Sequence[NDArray[np.uint8]]) -> str:
        """The name of a clip's features: by its pixels and, on disk, the frozen encoders and the preparation."""
        content = content_key(clip)
        return content if self.features.folder is None else f"{content}/{self._encoder_id}"

    @cached_property
    def _encoder_id(self) -> str:
        preparation = ("bicubic", self.frame_size, self.model.config.reference_frame)
        return encoder_key(self.model, preparation, FROZEN)

    def _encode_chunk(self, clips: Mapping[str, Sequence[NDArray[np.uint8]]]) -> dict[str, FrozenFeatures]:
        """Features of clips of equal length from disk, or all of them together from the encoders: what these give
        depends in its last bits on how many clips they get."""
        stored = {key: known for key in clips if (known := self.features.get(key)) is not None}
        if len(stored) == len(clips):
            return stored
        images = torch.stack([self.prepare(clip) for clip in clips.values()]).to(self.device)
        tower_images = None
        if self.model.patch != GEOMETRY_PATCH:
            tower = [prepare_frames(clip, self.frame_size, self.model.patch) for clip in clips.values()]
            tower_images = torch.stack(tower).to(self.device)
        encoded = self.model.encode(images, tower_images)
        return {key: self.features.put(key, f) for key, f in zip(clips, encoded, strict=True)}

    @cached_property
    def _ids_of(self) -> Callable[[str], tuple[int, ...]]:
        """Token ids of a text; prompts are made of few different pieces."""
        return lru_cache(100_000)(lambda text: tuple(self.tokenizer.encode(text, add_special_tokens=False)))

    def row(self, prompt: Prompt, grid: Tensor) -> Row:
        """The prompt's token ids and positions, without continuations; ``grid`` of its frames' features.

        ValueError: more tokens than the model has positions for (attention would take their square in memory).
        """
        per_frame = [h * w // 4 for _, h, w in grid.tolist()]
        ids = prompt_ids(self.tokenizer, self._ids_of, prompt, per_frame)
        longest = self.model.config.text_config.max_position_embeddings
        if len(ids) > longest:
            raise ValueError(
                f"the prompt {excerpt(prompt.text)} has {len(ids)} tokens, the model takes {longest}; "
                "shorten it, or show fewer frames"
            )
        image = token_id(self.tokenizer, "<|image_pad|>")
        return Row(ids, mrope_positions(ids, image, grid), [], [])

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer and of ``answer_end``, in the weights' own box convention."""
        return [*self._ids_of(weights_text(text, self.box_convention)), *self._ids_of(self.answer_end)]

    def text_of(self, completion: Completion) -> Generation:
        """The text of a completion, in the house's box convention."""
        text = str(self.tokenizer.decode(list(completion.tokens), skip_special_tokens=True))
        return Generation(house_text(text, self.box_convention), completion.truncated, len(completion.tokens))

    def sample(self, asked: Sequence[Asked], per: int, sampling: Sampling) -> list[list[Completion]]:
        """``per`` completions of every prompt, see :func:`rft3d.models.generate.generate`."""
        return generate(self.model, asked, per, sampling, self.stop_ids, self.pad_id)

    def sample_texts(
        self,
        prompts: Sequence[Prompt],
        frames: Sequence[Sequence[NDArray[np.uint8]]],
        per: int = 1,
        *,
        max_new_tokens: int = 256,
        seed: int = 0,
        temperature: float = 0.0,
    ) -> list[list[Generation]]:
        """``per`` texts of each prompt, which is run once. Greedy at ``temperature=0``."""
        features = self.encode(frames)
        pairs = enumerate(zip(prompts, features, strict=True))
        asked = [Asked(self.row(prompt, own.grid), own, str(i)) for i, (prompt, own) in pairs]
        sampled = self.sample(asked, per, Sampling(max_new_tokens, temperature, seed))
        return [[self.text_of(each) for each in completions] for completions in sampled]

    def save(self, path: Path) -> None:
        """Write model, tokenizer, options and digests to a folder, which appears complete or not at all.

        Raises:
            FloatingPointError: weights are NaN or infinite.
        """
        named = dict(self.model.named_parameters())
        if bad := non_finite(list(named.values())):
            raise FloatingPointError(
                f"{path}: not saved, because {len(bad)} of {len(named)} weight tensors hold NaN or infinity "
                f"(first {list(named)[bad[0]]}); go back to an earlier checkpoint, with a smaller learning rate"
            )
        with replacing(path) as staging:
            staging.mkdir()
            with without_bars():
                self.model.save_pretrained(staging, max_shard_size=SHARD_SIZE)
            self.tokenizer.save_pretrained(staging)
            size = self.frame_size if isinstance(self.frame_size, int) else list(self.frame_size)
            meta = {"backbone": self.backbone, "frame_size": size, "task_options": self.task_options}
            meta |= {name: getattr(self, name) for name in TEXT_RULES}
            (staging / META).write_text(json.dumps(meta, indent=1))
            write_list(staging)


def non_finite(tensors: Sequence[Tensor]) -> list[int]:
    """The places of ``tensors`` that hold NaN or infinity (of a sharded one, in this rank's share)."""
    local = [getattr(each, "to_local", lambda each=each: each)().detach() for each in tensors]
    own = {place: each for place, each in enumerate(local) if each.numel()}
    if not own:
        return []
    norms = torch._foreach_norm(list(own.values()), math.inf)  # pyright: ignore[reportPrivateImportUsage]
    finite = torch.stack([norm.float() for norm in norms]).isfinite().tolist()
    return [place for place, good in zip(own, finite, strict=True) if not good]


@contextmanager
def without_bars() -> Iterator[None]:
    """Without transformers' progress bars: small files load in milliseconds."""
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            hf_logging.enable_progress_bar()
