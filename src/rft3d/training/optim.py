"""Optimizers, learning rates, and the error of a step whose loss or gradient is NaN or infinite."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from rft3d.training.config import OptimConfig


class Muon(torch.optim.Muon):
    """``torch.optim.Muon`` (``adjust_lr_fn="original"``) whose CPU parameters are orthogonalised in float32.

    torch does it in bfloat16, which a CPU without such units multiplies 20 to 30 times more slowly: two thirds of a
    training step of the shipped model. Elsewhere the step is torch's own.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        if any(p.device.type != "cpu" for group in self.param_groups for p in group["params"]):
            return super().step(closure)
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad)
                kept = self.state[p]["momentum_buffer"]
                kept.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(kept, group["momentum"]) if group["nesterov"] else kept
                p.mul_(1 - group["lr"] * group["weight_decay"])
                scale = math.sqrt(max(1, p.shape[0] / p.shape[1]))  # adjust_lr_fn="original"
                p.sub_(_orthogonal(update, group), alpha=group["lr"] * scale)
        return loss


def _orthogonal(matrix: torch.Tensor, group: Mapping[str, Any]) -> torch.Tensor:
    """The nearest half-orthogonal matrix, nearly: Newton-Schulz steps (https://kellerjordan.github.io/posts/muon)."""
    a, b, c = group["ns_coefficients"]
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / x.norm().clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that get gradients, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def build_optimizers(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon on the layers' 2-D matrices beside AdamW on everything else (adapters too); weight decay
    leaves vectors (norms, biases) alone. Base learning rates are the peaks; the schedule scales them."""

    def inner(name: str) -> bool:
        return (".layers." in name or name.startswith("geometry_merger.")) and ".lora_" not in name

    return optimizers_of(trainable_parameters(model), config, inner)


def optimizers_of(
    params: Mapping[str, nn.Parameter], config: OptimConfig, for_muon: Callable[[str], bool]
) -> list[torch.optim.Optimizer]:
    """Optimizers of ``params``; with Muon, it takes the matrices whose names ``for_muon`` accepts."""
    matrices = {n: p for n, p in params.items() if p.ndim == 2 and for_muon(n)}
    chosen = matrices if config.name == "muon" else {}
    rest = {n: p for n, p in params.items() if n not in chosen}
    groups = [
        {"params": [p for p in rest.values() if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=1e-8)
    optimizers: list[torch.optim.Optimizer] = [adamw]
    if chosen:
        mine, decay = list(chosen.values()), config.weight_decay
        muon = Muon(
            mine, lr=config.muon_lr, momentum=config.momentum, weight_decay=decay, adjust_lr_fn="original"
        )
        optimizers.append(muon)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]  # what step_all scales
    return optimizers


def set_rates(optimizers: Sequence[torch.optim.Optimizer], scale: float) -> None:
    """Learning rates at ``scale`` times their peaks."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * scale


def step_all(optimizers: Sequence[torch.optim.Optimizer], scale: float) -> None:
    """Update at ``scale`` times the peak learning rates and drop the gradients."""
    set_rates(optimizers, scale)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def lr_scale(config: OptimConfig, step: int, steps: int) -> float:
    """Share of the peak learning rate at 0-based ``step`` of ``steps``."""
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    along = (step - warmup) / max(1, steps - warmup)
    shape = 0.5 * (1 + math.cos(math.pi * along)) if config.schedule == "cosine" else 1 - along
    return config.final + (1 - config.final) * shape


class NonFiniteError(FloatingPointError):
    """Loss, gradient or weights became NaN or infinite; of the weights only a checkpoint is good then.

    ``step``: 0-based, not taken. ``values``: what was computed, by name. ``samples``: ids of those in the step.
    ``saved``: finished steps of the newest checkpoint; 0 when there is none.
    """

    def __init__(
        self, title: str, step: int, values: Mapping[str, float], samples: Sequence[str] = (), saved: int = 0
    ) -> None:
        bad = ", ".join(f"{name} = {value}" for name, value in values.items() if not math.isfinite(value))
        shown = ", ".join(samples[:4]) + (f" and {len(samples) - 4} more" if len(samples) > 4 else "")
        state = f"the state after {saved} steps is saved" if saved else "nothing was saved before it"
        super().__init__(
            f"{title}: step {step} (from 0) was not taken because {bad}; {state}. "
            f"Samples of the step: {shown or 'unknown'}"
        )
        self.step, self.values, self.samples, self.saved = step, dict(values), tuple(samples), saved


def require_finite(step: int, values: Mapping[str, float]) -> None:
    """Raise :class:`NonFiniteError` when one of ``values`` is NaN or infinite."""
    if not all(math.isfinite(value) for value in values.values()):
        raise NonFiniteError("training", step, values)
