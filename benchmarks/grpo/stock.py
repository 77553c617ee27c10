"""TRL's GRPOTrainer, one optimizer step an order: ``python -m benchmarks.grpo.stock SETTING VARIANT``.

``trl`` is stock; ``trl-cached`` keeps image features inside the model by content (the trick that anybody can
add in a few lines); ``trl-pd1`` has one row a micro-batch, as the paper chunks its backward pass.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import warnings
from typing import Any

import torch
from benchmarks.grpo.setting import Clock, peak_mb, report, reward_of, setting_of, wait_for_order
from tests.equality.stock import trl_trainer, visual_ids
from transformers.modeling_outputs import BaseModelOutputWithPooling


def cache_features(model: Any) -> None:
    """Let ``model`` run its frozen vision tower once for each different picture it has been shown."""
    kept: dict[bytes, torch.Tensor] = {}
    inner = model.model.get_image_features

    def cached(pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, **kwargs: Any) -> Any:
        pieces = pixel_values.split(image_grid_thw.prod(-1).tolist())
        keys = [hashlib.blake2b(p.float().cpu().numpy().tobytes(), digest_size=16).digest() for p in pieces]
        for key, piece, grid in zip(keys, pieces, image_grid_thw, strict=True):
            if key not in kept:
                with torch.no_grad():
                    kept[key] = torch.cat(list(inner(piece, grid[None], **kwargs).pooler_output))
        return BaseModelOutputWithPooling(pooler_output=tuple(kept[key] for key in keys))  # type: ignore[arg-type]

    model.model.get_image_features = cached


def main() -> None:
    setting, variant = setting_of(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    case = setting.case()
    rows = 1 if variant == "trl-pd1" else setting.group
    model = case.stock().to(getattr(torch, setting.dtype))
    clock = Clock(setting.device)

    def reward(completions: list[Any], **_: Any) -> list[float]:
        return [reward_of(c if isinstance(c, str) else c[-1]["content"]) for c in completions]

    trainer = trl_trainer(
        case, os.path.join(setting.folder, "out"), model, reward,  # type: ignore[arg-type]
        loss_type="grpo", beta=setting.beta, per_device_train_batch_size=rows,
        gradient_accumulation_steps=setting.groups * setting.group // rows, max_steps=10_000,
        num_train_epochs=10_000, learning_rate=1e-5, max_completion_length=setting.completion,
        generation_kwargs={
            "min_new_tokens": setting.completion, "suppress_tokens": visual_ids(case.processor().tokenizer),
        },
        use_cpu=setting.device == "cpu", use_bias_correction_kl=False,
    )  # fmt: skip
    if variant == "trl-cached":
        cache_features(model)
        if trainer.ref_model is not None:
            cache_features(trainer.accelerator.unwrap_model(trainer.ref_model))
    clock.wrap(trainer, "_generate", "rollout")
    clock.wrap(trainer, "_calculate_rewards", "reward")
    clock.wrap(trainer, "_prepare_inputs", "prepare")
    logps = trainer._get_per_token_logps_and_entropies

    def fixed(*args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            return logps(*args, **kwargs)
        with clock.timed("reference"):
            return logps(*args, **kwargs)

    trainer._get_per_token_logps_and_entropies = fixed
    _serve(trainer, clock)


def _serve(trainer: Any, clock: Clock) -> None:
    from transformers import TrainerCallback

    began = {"step": 0.0, "cpu": 0.0}

    class Orders(TrainerCallback):
        """TRL runs its own loop: hold it between two steps."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not wait_for_order():
                os._exit(0)
            clock.phases = {}
            began["cpu"], began["step"] = time.process_time(), clock.now()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            phases = dict(clock.phases)
            phases["step"] = clock.now() - began["step"]
            prepare = phases.pop("prepare")
            phases["train"] = phases["step"] - prepare
            known = sum(phases.get(name, 0.0) for name in ("rollout", "reward", "reference"))
            phases["rollout"] += prepare - known  # pictures prepared again, padding, advantages
            cpu = time.process_time() - began["cpu"]
            report({"phases": phases, "cpu": cpu, "peak_mb": peak_mb(clock.device)})

    trainer.add_callback(Orders())
    report({"ready": True, "loaded_mb": peak_mb(clock.device)})
    trainer.train()


if __name__ == "__main__":
    main()
