"""Rollouts on vLLM: its stock Qwen2.5-VL, given our fused picture tokens in place of pictures.

vLLM takes precomputed image embeddings, so it needs no model class of ours: a prompt has **one** picture token per
frame, the frames' fused tokens and grids go along, and vLLM places them and computes M-RoPE itself. (Its
``prompt_embeds`` would silently get plain text positions.) The engine lives in this process; weights
are handed over in memory whenever they changed. ``docs/vllm.md`` says how to install it and what was measured.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rft3d.models.fusion import SpatialQwen
from rft3d.models.generate import Asked, Completion, Sampling
from rft3d.models.policy import Policy, without_bars
from rft3d.models.spatial import SpatialModel
from rft3d.models.tokens import token_id

MEMORY = 0.35
"""Share of a GPU for vLLM's own copy of the weights and its cache; the training beside it has the rest."""
LONGEST = 16384
"""Tokens of a prompt with its answer, at most."""
NEVER = -100.0
"""Added to the logits of suppressed tokens: a probability of e^-100, where our own sampling has 0."""


def plain_weights(model: SpatialModel) -> Iterator[tuple[str, Tensor]]:
    """The language model's weights under the hub's names, adapters added in."""
    for name, module in model.named_modules():
        for own, parameter in module.named_parameters(recurse=False):
            full = f"{name}.{own}" if name else own
            if not full.startswith(("model.language_model.", "lm_head.")) or ".lora_" in full:
                continue
            value = parameter.detach()
            holder = model.get_submodule(name.removesuffix(".base_layer"))
            if own == "weight" and name.endswith(".base_layer") and hasattr(holder, "get_delta_weight"):
                value = value + sum(holder.get_delta_weight(a) for a in holder.active_adapters).to(value)  # pyright: ignore
            yield full.replace(".base_layer", "").replace("model.language_model.", "model."), value


def write_stock(policy: Policy, folder: Path) -> None:
    """The policy without its geometry branch, as a stock checkpoint that vLLM loads."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessor

    model = policy.model
    saved = model.config.to_dict()
    kept = ("text_config", "vision_config", "tie_word_embeddings", "image_token_id", "video_token_id",
            "vision_start_token_id", "vision_end_token_id")  # fmt: skip
    config = Qwen2_5_VLConfig(**{name: saved[name] for name in kept if name in saved})
    with torch.device("meta"):
        stock: Any = Qwen2_5_VLForConditionalGeneration(config)
    state = {name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name: value
             for name, value in plain_weights(model)}  # fmt: skip
    state |= {f"model.visual.{name}": value for name, value in model.model.visual.state_dict().items()}
    state.setdefault("lm_head.weight", model.lm_head.weight.detach())
    stock.load_state_dict(state, assign=True)
    stock.tie_weights()
    stock.generation_config.eos_token_id = token_id(policy.tokenizer, "<|im_end|>")
    with without_bars():
        stock.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=10**7).save_pretrained(folder)


class VllmSampler:
    """A :class:`~rft3d.training.rollout.Sampler` on vLLM's offline engine; the first rollout starts it."""

    def __init__(self, policy: Policy) -> None:
        import importlib.util

        if not isinstance(policy.model, SpatialQwen):
            kind = type(policy.model).__name__
            raise ValueError(f"sampler 'vllm' serves Qwen2.5-VL, not {kind}; use sampler='own'")
        if importlib.util.find_spec("vllm") is None:
            missing = "sampler 'vllm' needs vLLM, see docs/vllm.md; or use sampler='own'"
            raise ModuleNotFoundError(missing, name="vllm")
        self.policy = policy
        self.engine: Any = None
        self.seen: tuple[int, ...] = ()
        self.pushes = 0

    def sample(self, asked: Sequence[Asked], per: int, sampling: Sampling) -> list[list[Completion]]:
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        engine = self._ready()
        policy = self.policy
        prompts, settings = [], []
        for row, own, key, limit in asked:
            with torch.no_grad():
                fused = policy.model.fuse([own]).detach().cpu()
            # the merger may have changed what a clip's features are: never those of older weights
            names = [f"{key}/{self.pushes}/{i}" for i in range(len(own.grid))]
            picture = {"image_embeds": fused, "image_grid_thw": own.grid.cpu()}
            shown = {"multi_modal_data": {"image": picture}, "multi_modal_uuids": {"image": names}}
            prompts.append({"prompt_token_ids": self.one_per_frame(row.prefix), **shown})
            digest = hashlib.blake2b(f"{sampling.seed}/{key}".encode(), digest_size=4).digest()
            settings.append(
                SamplingParams(
                    n=per,
                    temperature=sampling.temperature,
                    seed=int.from_bytes(digest, "little") >> 1,
                    max_tokens=sampling.max_new_tokens if limit is None else limit,
                    logprobs=0,
                    stop_token_ids=sorted(policy.stop_ids),
                    logit_bias=dict.fromkeys(policy.model.suppressed.tolist(), NEVER),
                    detokenize=False,
                )
            )
        answers = engine.generate(prompts, settings, use_tqdm=False)
        if policy.device.type == "cuda":
            engine.sleep(level=1)
        return [[_completion(output) for output in answer.outputs] for answer in answers]

    def one_per_frame(self, ids: Sequence[int]) -> list[int]:
        """A prompt as vLLM wants it: every run of picture tokens as one, which it expands by the grid."""
        image = token_id(self.policy.tokenizer, "<|image_pad|>")
        return [t for i, t in enumerate(ids) if t != image or i == 0 or ids[i - 1] != image]

    def _ready(self) -> Any:
        """The engine, awake, with the policy's weights of this moment."""
        model = self.policy.model
        now = tuple(p._version for p in model.parameters() if p.requires_grad)
        if self.engine is None:
            self.engine = self._start()
        elif self.policy.device.type == "cuda":
            self.engine.wake_up()
        if now != self.seen and self.seen:
            # in memory: the engine is in this process
            given = {"weights_iterator": iter([*plain_weights(model)])}
            self.engine.collective_rpc("reload_weights", kwargs=given)
            self.engine.reset_prefix_cache()
            self.pushes += 1
        self.seen = now
        return self.engine

    def _start(self) -> Any:
        # in this process, for weights handed over in memory
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        from vllm import LLM  # pyright: ignore[reportMissingImports]

        cuda = self.policy.device.type == "cuda"
        dtype = str(self.policy.model.lm_head.weight.dtype).removeprefix("torch.")
        folder = Path(tempfile.mkdtemp(prefix="rft3d-vllm-"))
        try:
            write_stock(self.policy, folder)
            return LLM(
                model=str(folder),
                dtype=dtype,  # pyright: ignore[reportArgumentType]
                enable_mm_embeds=True,
                limit_mm_per_prompt={"image": 0, "video": 0},  # their towers need no room
                max_model_len=min(LONGEST, self.policy.model.config.text_config.max_position_embeddings),
                logprobs_mode="processed_logprobs",  # at the sampling temperature, as ours
                enforce_eager=not cuda,
                enable_sleep_mode=cuda,
                gpu_memory_utilization=MEMORY,
                seed=0,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _completion(output: Any) -> Completion:
    tokens = tuple(output.token_ids)
    logps = tuple(float(at[token].logprob) for at, token in zip(output.logprobs, tokens, strict=True))
    return Completion(tokens, logps, output.finish_reason == "length")
