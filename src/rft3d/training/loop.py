"""What every stage does around its steps: resume, log, measure, save, stop on SIGTERM, finish."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from rft3d.files import sync
from rft3d.models.generate import Sampling
from rft3d.models.policy import Policy
from rft3d.process import Stopped, check_launch, is_main_process, on_sigterm, progress
from rft3d.prompts import Generation
from rft3d.tasks.types import Task
from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.fsdp2 import unsharded
from rft3d.training.lora import merge_lora, save_adapters
from rft3d.training.optim import NonFiniteError
from rft3d.training.runs import MetricsLog, Tracking

OnStep = Callable[[int], None]
"""``on_step(k)`` is called after 1-based step k, when it is logged and perhaps saved."""


@dataclass(frozen=True)
class HeldOut:
    """What a stage is judged on: samples that it doesn't train on, and the tasks that score them. Measured after
    the first step, every ``every`` steps from there on, and after the last."""

    corpus: Corpus
    tasks: Mapping[str, Task]
    max_new_tokens: Mapping[str, int]
    every: int = 5

    def due(self, step: int, steps: int) -> bool:
        """Whether 1-based ``step`` of ``steps`` ends with a measurement."""
        return step == steps or step % self.every == 1 % self.every

    def measure(self, policy: Policy, batch: int = 64) -> dict[str, float]:
        """Greedy answers to all samples, as ``held_out/<task>/<metric>``; absent metrics are left out.
        ``held_out/<task>/reward`` is the mean reward total. The model is left in the mode it was in."""
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


@dataclass(frozen=True)
class Watch:
    """Progress, measurements and trackers of a stage; nothing here changes what it learns.

    Attributes:
        console: where progress and alarms are printed.
        title: of the stage, in progress, errors and trackers.
        on_step: called after every step; may raise to end the run.
        held_out: samples that are measured now and then.
        trackers: names of trackers that get the metrics (:class:`Tracking`).
    """

    console: Console = field(default_factory=lambda: Console(stderr=True))
    title: str = "training"
    on_step: OnStep | None = None
    held_out: HeldOut | None = None
    trackers: Sequence[str] = ()


class Loop(ExitStack):
    """``with Loop(...) as loop: for step in range(loop.start, loop.steps): ... loop.end_step(step, metrics,
    note)``.

    ``engine``: trains ``policy`` in place. ``start``: finished steps of the checkpoint that was resumed; 0 when the
    stage begins.
    """

    def __init__(self, policy: Policy, folder: Path, watch: Watch, config: SFTConfig | RFTConfig) -> None:
        super().__init__()
        check_launch(os.environ)
        updates = config.updates_per_rollout if isinstance(config, RFTConfig) else 1
        tracking = Tracking(watch.trackers, folder, watch.title)
        self.engine = Engine(
            policy, config.optim, config.steps * updates, tracking, config.lora, config.memory, config.seed
        )
        self.folder, self.console, self.title, self.lora = folder, watch.console, watch.title, config.lora
        self.steps, self.save_every, self.on_step = config.steps, config.save_every, watch.on_step
        self.held_out = watch.held_out
        self.start = self.engine.resume(folder / "checkpoints", self._say)
        self.saved = self.start
        self.log = MetricsLog(folder / "metrics.jsonl", self.start, self.steps)
        if lost := self.log.lost:
            shown = ", ".join(map(str, lost[:5])) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
            self._say(f"metrics.jsonl has no line of step {shown}: lost; the weights have these steps")

    def _say(self, line: str) -> None:
        if is_main_process():
            self.console.print(f"{self.title}: {line}", highlight=False, soft_wrap=True, markup=False)

    def __enter__(self) -> "Loop":
        self._advance = self.enter_context(progress(self.console, self.title, self.steps, self.start))
        self._asked = False
        self.enter_context(on_sigterm(self._ask))
        return self

    def _ask(self, *_: object) -> None:
        self._asked = True

    @contextmanager
    def guarded(self, step: int, samples: Sequence[str]) -> Iterator[None]:
        """Around a step's computation: on a NaN, save the state before the step, then raise."""
        before = self.engine.updates
        try:
            yield
        except NonFiniteError as error:
            # in the middle of several updates on one rollout there is no state that a resume could repeat
            if self.engine.updates == before and step > self.saved:
                self._save(step)
            raise NonFiniteError(self.title, step, error.values, samples, self.saved) from None

    def measure(self, step: int) -> dict[str, float]:
        """The held-out metrics after 0-based ``step``, when they are due."""
        if self.held_out is None or not self.held_out.due(step + 1, self.steps):
            return {}
        return self.held_out.measure(self.engine.policy)

    def end_step(self, step: int, metrics: Mapping[str, float], note: str) -> None:
        """Log 0-based ``step``; save when it is due or a stop was asked for, which then is raised as Stopped."""
        done = step + 1
        self.log.write(done, dict(metrics))
        self.engine.accelerator.log(dict(metrics), step=done)
        self._advance(1, note)
        # on all ranks as soon as one of them was asked: they must save the same step
        asked = self.engine.ranks.total({"asked": float(self._asked)})["asked"]
        if asked or done % self.save_every == 0 or done == self.steps:
            self._save(done)
        if self.on_step is not None:
            self.on_step(done)
        if asked:
            line = f"stopped by SIGTERM after step {done} of {self.steps}, saved; start again to go on"
            self._say(line)
            raise Stopped(f"{self.title}: {line}")

    def _save(self, step: int) -> None:
        if is_main_process():  # a checkpoint must not reach the disk before the lines of its steps
            for log in self.folder.glob("*.jsonl"):
                sync(log)
        self.engine.save(self.folder / "checkpoints", step)
        self.saved = step

    def finish(self) -> None:
        """After the last step: trackers closed, adapters saved and merged."""
        self.engine.finish()
        policy = self.engine.policy
        if self.lora.rank:
            if is_main_process():
                save_adapters(policy.model, self.lora, self.folder / "adapter")
            merge_lora(policy.model)
        policy.model.eval()
