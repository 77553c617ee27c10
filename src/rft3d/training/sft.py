"""Stage 1: supervised fine-tuning, through the same packed forward as stage 2."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from rft3d.models.policy import Policy
from rft3d.models.prefix import pack
from rft3d.training.config import SFTConfig
from rft3d.training.data import Corpus, Item, choose, draw, shared_rows
from rft3d.training.engine import Engine
from rft3d.training.loop import Loop, Watch
from rft3d.training.optim import require_finite


def task_loss(
    engine: Engine, corpus: Corpus, items: Sequence[Item], of: int | None = None, chunk: int = 0
) -> tuple[Tensor, int]:
    """Mean negative log-likelihood of the answers' tokens, and how many tokens ran through the model.

    ``of``: the number of answer tokens to divide by, when ``items`` are a part of what the mean is over. A rank
    runs its share of the scenes and the ranks' losses add up; one without a scene runs an item at weight 0 (all
    run equally often).
    """
    count = sum(len(item.answer) for item in items) if of is None else of
    own = set(engine.ranks.mine(list(dict.fromkeys(item.scene for item in items))))
    rows = shared_rows([item for item in items if item.scene in own] or items[:1])
    packed = pack([row for _, row in rows], engine.policy.pad_id).to(engine.policy.device)
    features = [corpus.features[scene] for scene, _ in rows]
    scored = engine.network(packed, features, chunk=chunk)
    return -scored.logps.sum() * (float(bool(own)) / count), packed.input_ids.numel()


def micro_parts(items: Sequence[Item], scenes: int) -> list[list[Item]]:
    """``items`` cut after every ``scenes`` different scenes (0: not at all), in order."""
    if not scenes:
        return [list(items)]
    order = list(dict.fromkeys(item.scene for item in items))
    place = {scene: i // scenes for i, scene in enumerate(order)}
    parts: list[list[Item]] = [[] for _ in range(-(-len(order) // scenes))]
    for item in items:
        parts[place[item.scene]].append(item)
    return parts


def step_items(corpus: Corpus, config: SFTConfig, step: int) -> dict[str, list[Item]]:
    """The items of one step, per task."""
    scenes = draw(config.seed, step, config.scenes_per_step, len(corpus.features))
    chosen: dict[str, list[Item]] = {}
    for task, count in config.asked.items():
        by_scene = corpus.by_scene[task]
        used = scenes[: max(1, round(config.scene_share.get(task, 1.0) * len(scenes)))]
        items = [i for epoch, s in used for i in choose(config.seed, epoch, s, by_scene[s], count)]
        if items:
            chosen[task] = items
    return chosen


def train_sft(
    policy: Policy, corpus: Corpus, config: SFTConfig, folder: Path, watch: Watch | None = None
) -> None:
    """Train ``policy`` in place; resumes from ``folder``.

    ``watch``: who is told about the run.

    Raises:
        ValueError: a sample asks for a thought and its gold answer has none.
        NonFiniteError: a loss or gradient became NaN; the state before that step is saved.
        Stopped: SIGTERM came; the step was finished and saved.
    """
    _require_thoughts(corpus, config)
    watch = watch or Watch()
    loop = Loop(policy, folder, watch, config)
    engine = loop.engine
    engine.network.train()
    with loop:
        for step in range(loop.start, loop.steps):
            began = time.perf_counter()
            chosen = step_items(corpus, config, step)
            ids = [item.sample.id for items in chosen.values() for item in items]
            with loop.guarded(step, ids):
                metrics, count = update_on(engine, corpus, chosen, config, step)
            metrics |= engine.ranks.total({"tokens": float(count)}) | loop.measure(step)
            metrics |= {"seconds": time.perf_counter() - began}
            loop.end_step(step, metrics, f"loss {metrics['loss']:.3f}")
    loop.finish()


def _require_thoughts(corpus: Corpus, config: SFTConfig) -> None:
    """Raise when thoughts are empty (as in prompts for RFT): SFT would teach the model to leave them empty."""
    for task in config.asked:
        for sample in corpus.samples(task):
            if sample.truth.get("thought") == "":
                raise ValueError(
                    f"sample {sample.id!r} of {task} asks for a thought, but its gold answer has an empty "
                    "one; SFT needs worked thoughts (rft3d data prepare --answers think)"
                )


def update_on(
    engine: Engine, corpus: Corpus, chosen: Mapping[str, Sequence[Item]], config: SFTConfig, step: int
) -> tuple[dict[str, float], int]:
    """One optimizer step on the items of each task; returns metrics and the tokens run."""
    scenes = config.micro_scenes * engine.ranks.world
    parts = [(task, part, items) for task, items in chosen.items() for part in micro_parts(items, scenes)]
    losses = dict.fromkeys(chosen, 0.0)
    tokens = 0
    for index, (task, part, items) in enumerate(parts):
        with engine.accumulating(last=index + 1 == len(parts)):
            answer_tokens = sum(len(item.answer) for item in items)
            loss, count = task_loss(engine, corpus, part, answer_tokens, config.memory.logit_chunk)
            engine.backward(config.task_weights.get(task, 1.0) * loss)
        losses[task] += float(loss.detach())
        tokens += count
    metrics = {f"loss/{task}": value for task, value in engine.ranks.total(losses).items()}
    metrics["loss"] = sum(config.task_weights.get(task, 1.0) * metrics[f"loss/{task}"] for task in chosen)
    require_finite(step, {"loss": metrics["loss"]})
    metrics["grad_norm"] = engine.step(step)
    return metrics, tokens
