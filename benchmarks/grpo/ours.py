"""Our engine, one optimizer step an order: ``python -m benchmarks.grpo.ours SETTING VARIANT``.

The variants add one idea each: ``o1`` features kept (every row is still run on its own), ``o2`` also the
prompt prefilled once a group, ``o3`` also packed rows in training, ``o4`` also all groups decoding together,
``o5`` also CUDA graphs. ``ours`` is all of them (graphs where there is a GPU), ``ours-gc`` all of them with
checkpointed layers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from benchmarks.grpo.setting import Clock, Setting, reward_of, serve, setting_of

from rft3d.models.features import FeatureCache
from rft3d.models.generate import Asked, Completion, Sampling
from rft3d.models.policy import Policy
from rft3d.process import keep_freed_memory
from rft3d.prompts import Prompt
from rft3d.rewards import Part, Score
from rft3d.tasks.types import Sample
from rft3d.training import grpo, update
from rft3d.training.advantages import assign_advantages
from rft3d.training.config import MemoryConfig, OptimConfig, RFTConfig
from rft3d.training.data import Corpus, Item
from rft3d.training.engine import Engine
from rft3d.training.rollout import Group, Rollouts


class Endless(Policy):
    """Never stops: every completion gets as many tokens as the other side's."""

    @property
    def stop_ids(self) -> frozenset[int]:
        return frozenset()


class Paid:
    """A task that only scores."""

    name = "paid"

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        return Score((Part("paid", reward_of(text), ""),))


def corpus_of(policy: Policy, setting: Setting, clips: Sequence[Any], questions: Sequence[str]) -> Corpus:
    features = policy.encode(clips)
    rows = []
    for scene, question in enumerate(questions):
        text = "<image>" * setting.frames + question
        refs = tuple(str(i) for i in range(setting.frames))
        prompt = policy.row(Prompt(text, setting.frames), features[scene].grid)
        rows.append([Item(scene, Sample(str(scene), "paid", str(scene), refs, text, {}), prompt, (), 0)])
    return Corpus(features, {"paid": rows})


def slow_sampling(policy: Policy, variant: str, group: int, decode: str) -> None:
    """Sampling as the lower rungs of the ladder do it: groups one after the other, prompts G times."""
    together = variant in ("o4", "o5", "ours", "ours-gc")
    inner = policy.sample

    def sample(asked: Sequence[Asked], per: int, sampling: Sampling) -> list[list[Completion]]:
        sampling = replace(sampling, decode=decode)  # type: ignore[arg-type]
        if together:
            return inner(asked, per, sampling)
        out = []
        for each in asked:
            if variant == "o1":
                copies = [each._replace(key=f"{each.key}/{k}") for k in range(per)]
                out.append([c for group in inner(copies, 1, sampling) for c in group])
            else:
                out += inner([each], per, sampling)
        return out

    policy.sample = sample  # type: ignore[method-assign]


def single_rows(groups: Sequence[Group]) -> list[Group]:
    """Every completion as a group of its own: dense rows in training."""
    return [
        replace(g, completions=[c], texts=[t], scores=[s], advantages=[a])
        for g in groups
        for c, t, s, a in zip(g.completions, g.texts, g.scores, g.advantages, strict=True)
    ]


def main() -> None:
    setting, variant = setting_of(sys.argv[1]), sys.argv[2]
    keep_freed_memory()
    case, device = setting.case(), torch.device(setting.device)
    made = case.ours()
    torch.nn.Module.to(made.model, device=device, dtype=getattr(torch, setting.dtype))
    # new scenes in every step: features of the last step would be of no use
    features = FeatureCache(keep=0)
    policy = Endless(made.model, made.tokenizer, made.frame_size, {}, features)
    dense = variant in ("o1", "o2")
    config = RFTConfig(
        1, {"paid": setting.groups}, setting.group, {"paid": setting.completion}, loss="grpo",
        beta=setting.beta, micro_groups=setting.group if dense else 1, skip_zero_advantage=False,
        optim=OptimConfig(lr=1e-5, schedule="constant"),
        memory=MemoryConfig(gradient_checkpointing=variant == "ours-gc"),
    )  # fmt: skip
    reference = grpo.reference_copy(policy.model) if setting.beta else None
    engine = Engine(policy, config.optim, 10_000, memory=config.memory)
    graphs = variant in ("o5", "ours", "ours-gc") and setting.device == "cuda"
    slow_sampling(policy, variant, setting.group, "graphs" if graphs else "eager")
    clock = Clock(setting.device)
    clock.wrap(policy, "encode", "encode")
    clock.wrap(policy, "sample", "rollout")
    clock.wrap(update, "_with_fixed_logps", "reference")
    count = 0
    length = 0

    def step() -> None:
        nonlocal count, length
        corpus = corpus_of(policy, setting, case.clips, case.questions)
        length = len(corpus.items("paid")[0].prompt.prefix)
        policy.model.eval()
        tasks: Any = {"paid": Paid()}
        with clock.timed("rollout and reward"):
            groups = Rollouts(policy, tasks, corpus, config).rollout({"paid": corpus.items("paid")}, count)
            groups = assign_advantages(groups, config, policy.tokenizer)
        assert all(len(c.tokens) == setting.completion for g in groups for c in g.completions)
        engine.network.train()
        with clock.timed("update"):
            update.update_policy(
                engine, corpus, single_rows(groups) if dense else groups, config, reference, count
            )
        count += 1
        clock.phases["reward"] = clock.phases.pop("rollout and reward") - clock.phases["rollout"]
        clock.phases["train"] = clock.phases.pop("update") - clock.phases["reference"]

    serve(step, clock, {})


if __name__ == "__main__":
    main()
