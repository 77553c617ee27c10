"""Stage 2: GRPO. This file and five others are the whole of a step, read from top to bottom:

    step_prompts ─▶ Rollouts.collect ─▶ assign_advantages ─▶ micro_batches ─▶ policy_loss ─▶ Engine.step
    which prompts   G completions each,  R to one A a token    packed rows,    clipped       clip, optimizer
                    scored by the task                         a weight a token surrogate
    └──────────── rollout.py ─────────┘ └─ advantages.py ─┘ └── update.py ──┘ └ losses.py ┘ └─ engine.py ─┘

    A_i    = (R_i - mean_j R_j) / (std_j R_j + 1e-4)                         j over the group's G completions
    r_t    = pi(o_t | prompt, o_<t) / pi_old(o_t | prompt, o_<t)
    loss   = - sum_t w_t [ min(r_t A_t, clip(r_t, 1 - eps, 1 + eps_high) A_t) - beta KL_t ]
    w_t    = 1 / (groups x tokens of the group)                              the paper's; others in losses.py

Sources: GRPO, Shao et al., arXiv 2402.03300, section 4.1; the weights and rewards of 3D-RFT, arXiv 2603.04976,
section 3. A group is the unit of everything: it is sampled, scored and run forward as one row whose prompt is
shared (:mod:`rft3d.models.prefix`). ``docs/algorithms.md`` lists the variants.
"""

import copy
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from rft3d.models.policy import Policy
from rft3d.models.spatial import SpatialModel
from rft3d.process import is_main_process
from rft3d.tasks.types import Task
from rft3d.training.advantages import assign_advantages
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.loop import Loop, Watch
from rft3d.training.rollout import Rollouts, rollout_metrics
from rft3d.training.runs import StageWatch
from rft3d.training.update import AdaptersOff, Reference, update_policy


def train_rft(
    policy: Policy,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    config: RFTConfig,
    folder: Path,
    watch: Watch | None = None,
) -> None:
    """Train ``policy`` in place; resumes from ``folder``.

    With ``config.beta`` the reference of the KL term is ``policy`` as it is given, as a copy or without its
    adapters: give the stage-1 policy, also when resuming (the checkpoint is loaded afterwards). ``watch``:
    progress, logging and trackers.

    Raises:
        NonFiniteError: a loss or gradient became NaN; the state before that step is saved.
        Stopped: SIGTERM came; the step was finished and saved.
    """
    watch = watch or Watch()
    Rollouts(policy, tasks, corpus, config)  # wrong settings are named before anything is done
    reference: Reference | None = None  # made before anything is loaded or added
    if config.beta:
        adapted = config.lora.rank and not config.lora.merger
        reference = AdaptersOff() if adapted else reference_copy(policy.model)
    loop = Loop(policy, folder, watch, config)
    engine = loop.engine
    if isinstance(reference, torch.nn.Module):
        engine.placement.place_frozen(reference)
    rollouts = Rollouts(policy, tasks, corpus, config, engine.ranks)
    log = StageWatch(folder, config, tasks, loop.start, watch.console)
    with loop:
        for step in range(loop.start, loop.steps):
            began = time.perf_counter()
            policy.model.eval()
            groups = rollouts.collect(step)
            groups = groups.assigned(lambda some: assign_advantages(some, config, policy.tokenizer))
            sampled = time.perf_counter()
            engine.network.train()
            with loop.guarded(step, [g.item.sample.id for g in groups.trained]):
                metrics, count = update_policy(engine, corpus, groups.trained, config, reference, step)
            written = sum(len(c.tokens) for g in groups.drawn for c in g.completions)
            run = count + (written if is_main_process() else 0)
            metrics |= engine.ranks.total({"tokens": float(run)})
            metrics |= rollout_metrics(groups.drawn) | groups.metrics()
            metrics |= loop.measure(step)
            told = [group for group in groups.drawn if not group.light]
            metrics |= log.observe(step + 1, told, metrics)
            metrics |= {"seconds": time.perf_counter() - began, "rollout_seconds": sampled - began}
            loop.end_step(step, metrics, f"reward {metrics['reward']:.3f}")
    loop.finish()


def reference_copy(model: SpatialModel) -> SpatialModel:
    """A frozen copy of the language model and merger that *shares* the frozen encoders."""
    shared: list[torch.nn.Module] = [model.model.visual]
    if model.config.use_geometry_encoder:
        shared.append(model.geometry_encoder)
    reference = copy.deepcopy(model, {id(module): module for module in shared})
    return reference.requires_grad_(False).eval()
