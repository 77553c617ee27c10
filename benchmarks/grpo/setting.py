"""What both sides of the comparison are given, and how they talk to the process that times them."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.equality.stock import Sizes, StockCase, random_clips, save_stock

TOKENS_PER_FRAME = 252
FRAME = (504, 392)
SMALL = Sizes(layers=4, hidden=256, heads=4, intermediate=1024, vision_layers=2, vision_hidden=96,
              frame=FRAME, spread=0.02)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One cell of the benchmark.

    Attributes:
        prompt: wanted prompt tokens; the nearest number of 252-token frames is used.
        completion: tokens of every completion (the end token and those that stand for pictures are suppressed).
        groups: prompts a step.
    """

    prompt: int
    completion: int
    group: int
    groups: int
    beta: float
    folder: str
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 2
    size: str = "small"

    @property
    def frames(self) -> int:
        return max(1, round(self.prompt / TOKENS_PER_FRAME))

    def case(self) -> StockCase:
        questions = [f"List the boxes of everything in room {i}, please." for i in range(self.groups)]
        clips = random_clips(self.groups, self.frames, FRAME)
        return StockCase(Path(self.folder), SMALL, clips, questions, group=self.group)

    def argument(self) -> str:
        return json.dumps(asdict(self))


def setting_of(argument: str) -> Setting:
    setting = Setting(**json.loads(argument))
    torch.set_num_threads(setting.threads)
    return setting


def save_model(folder: Path, size: str) -> None:
    """The model files that both sides load."""
    if size == "small":
        save_stock(folder, SMALL)
        return
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from rft3d.models.tokens import byte_tokenizer, token_id

    tokenizer = byte_tokenizer()
    pad, end = token_id(tokenizer, "<|endoftext|>"), token_id(tokenizer, "<|im_end|>")
    text = {  # Qwen2.5-VL-3B
        "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
        "num_attention_heads": 16, "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "tie_word_embeddings": True, "pad_token_id": pad, "eos_token_id": end,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    vision = {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048,
        "fullatt_block_indexes": [7, 15, 23, 31], "patch_size": 14, "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }  # fmt: skip
    ids = {
        f"{name}_token_id": token_id(tokenizer, f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"), ("video", "video_pad"), ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }  # fmt: skip
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = end, pad
    model.save_pretrained(folder)


def reward_of(text: str) -> float:
    """Some number that depends on the text: both sides pay the same for it."""
    return float(np.frombuffer(text.encode()[:8].ljust(8), np.uint64)[0] % 1000) / 1000


class Clock:
    """Seconds by phase of the step that runs."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.phases: dict[str, float] = {}

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        began = self.now()
        yield
        self.phases[phase] = self.phases.get(phase, 0.0) + self.now() - began

    def wrap(self, owner: Any, name: str, phase: str) -> None:
        """Time every call of ``owner.name``."""
        inner = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.timed(phase):
                return inner(*args, **kwargs)

        setattr(owner, name, call)


def peak_mb(device: str) -> float:
    """Highest memory so far: of the GPU, or resident of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def wait_for_order() -> bool:
    """Block until the parent wants a step; False at the end."""
    return sys.stdin.readline().strip() == "step"


def report(values: Mapping[str, Any]) -> None:
    print("\n@" + json.dumps(values), flush=True)


def serve(take_step: Any, clock: Clock, facts: Mapping[str, Any]) -> None:
    """The worker's loop: one step an order, its phases, CPU seconds and peak memory as the answer."""
    report({"ready": True, "loaded_mb": peak_mb(clock.device), **facts})
    while wait_for_order():
        clock.phases = {}
        cpu, began = time.process_time(), clock.now()
        take_step()
        phases = dict(clock.phases)
        phases["step"] = clock.now() - began
        report({"phases": phases, "cpu": time.process_time() - cpu, "peak_mb": peak_mb(clock.device)})


def spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return f"{np.median(ordered):.2f} [{ordered[0]:.2f}-{ordered[-1]:.2f}]"
