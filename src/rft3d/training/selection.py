"""Which step's weights a stage hands on: the best on held-out samples, or simply the last.

The metric is the task's own (the official one), on greedy answers. Training cannot import evaluation, and
need not: the task object scores for both.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rft3d.files import read_json, replacing, write_json
from rft3d.models.generate import Sampling
from rft3d.models.policy import Generation, Policy
from rft3d.process import is_main_process
from rft3d.tasks.types import Task
from rft3d.training.config import SelectConfig
from rft3d.training.data import Corpus
from rft3d.training.fsdp2 import unsharded

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class HeldOut:
    """What a stage is judged on: samples that it doesn't train on, and the tasks that score them.

    Measured after the first step, every ``every`` steps from there on, and after the last.
    """

    corpus: Corpus
    tasks: Mapping[str, Task]
    max_new_tokens: Mapping[str, int]
    every: int = 5

    def due(self, step: int, steps: int) -> bool:
        """Whether 1-based ``step`` of ``steps`` ends with a measurement."""
        return step == steps or step % self.every == 1 % self.every

    def measure(self, policy: Policy, batch: int = 64) -> dict[str, float]:
        """Greedy answers to all samples, as ``held_out/<task>/<metric>``; absent metrics are left out.

        ``held_out/<task>/reward`` is the mean reward total. The model is left in the mode it was in.
        """
        was_training = policy.model.training
        policy.model.eval()
        metrics: dict[str, float] = {}
        with unsharded(policy.model):
            for name, task in self.tasks.items():
                items = self.corpus.items(name)
                limit, greedy = self.max_new_tokens[name], Sampling(temperature=0.0)
                answers: list[Generation] = []
                for at in range(0, len(items), batch):
                    asked = [self.corpus.asked(item, limit) for item in items[at : at + batch]]
                    answers += [policy.text_of(one) for (one,) in policy.sample(asked, 1, greedy)]
                samples = [item.sample for item in items]
                scores = [task.score(a.text, s, a.truncated) for a, s in zip(answers, samples, strict=True)]
                found = task.metric(samples, scores)
                metrics |= {f"held_out/{name}/{k}": float(v) for k, v in found.items() if v is not None}
                if scores:
                    metrics[f"held_out/{name}/reward"] = sum(s.total for s in scores) / len(scores)
        policy.model.train(was_training)
        return metrics


class Best:
    """The best weights so far: trained parameters and ``best.json`` in ``folder/step-...``."""

    def __init__(self, folder: Path, config: SelectConfig) -> None:
        self.folder, self.config = folder, config
        self.sign = 1.0 if config.mode == "max" else -1.0

    def kept(self) -> tuple[Path, dict[str, float]] | None:
        """Where the best weights are, and their ``step`` and ``value``."""
        found = [
            (path.parent, read_json(path))
            for path in sorted(self.folder.glob("step-*/best.json"))
            if not path.parent.suffix
        ]
        return max(found, key=lambda pair: self.sign * pair[1]["value"], default=None)

    def offer(self, step: int, metrics: Mapping[str, float], weights: Mapping[str, Tensor]) -> bool:
        """Keep ``weights`` if they are strictly better than what is kept (of equal ones the earlier stay).

        The main process decides and writes; the others only pass by (True where something was kept): reading
        the folder beside the one that replaces it would now and then find a file gone.

        Raises:
            ValueError: the metric is not among ``metrics``.
        """
        if self.config.metric not in metrics:
            raise ValueError(
                f"select.metric={self.config.metric!r} is not measured; there are "
                f"{', '.join(sorted(m for m in metrics if m.startswith('held_out/')))}"
            )
        if not is_main_process():
            return False
        value, known = metrics[self.config.metric], self.kept()
        if known is not None and self.sign * value <= self.sign * known[1]["value"]:
            return False
        from safetensors.torch import save_file

        final = self.folder / f"step-{step:06d}"
        with replacing(final) as staging:
            staging.mkdir()
            save_file({n: p.detach().cpu().contiguous() for n, p in weights.items()}, str(staging / WEIGHTS))
            write_json(staging / "best.json", {"step": step, "metric": self.config.metric, "value": value})
        for other in self.folder.glob("step-*"):  # after a kill here, the better of two is still found
            if other != final:
                shutil.rmtree(other)
        return True

    def restore(self, model: torch.nn.Module) -> int | None:
        """Load the best weights into ``model``; returns their step, None when nothing was ever kept."""
        found = self.kept()
        if found is None:
            return None
        from safetensors.torch import load_file

        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, tensor in load_file(str(found[0] / WEIGHTS)).items():
                own[name].copy_(tensor)
        return int(found[1]["step"])
