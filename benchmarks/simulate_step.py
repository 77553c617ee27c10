"""A GRPO step of many GPUs with ragged lengths, as a discrete-event simulation: where the time goes.

    python benchmarks/simulate_step.py [--gpus 1 8 64 512] [--groups 8] [--steps 200]

Every rank samples its own groups together, then runs its micro-batches; all ranks meet at every gradient
exchange (FSDP2: at each micro-batch, DDP: once a step). Events are the ends of a rank's decoding, of a
micro-batch and of an exchange. Prompts differ (frames), completions differ (log-normal, cut at the limit),
nodes now and then run slower. Printed: seconds a step, the share of it that GPUs wait for others, and what
each remedy of ``docs/scaling.md`` is worth. With ``--check`` the simulation is held against closed forms.

Unit costs are arithmetic from FLOPs for Qwen2.5-VL-3B with VGGT on H100s (see docs/scaling.md), not
measurements; change them with the options.
"""

from __future__ import annotations

import argparse
import heapq
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator


@dataclass(frozen=True)
class Costs:
    """Of one H100; FLOP counts a token are those of docs/scaling.md."""

    flops: float = 3.75e14
    """Effective, bf16."""
    token_forward: float = 6.1e9
    """FLOPs of a token through the language model."""
    passes: float = 4.0
    """Forwards that training is worth: forward, recompute (gradient checkpointing), backward twice."""
    encode_token: float = 1.292e10
    encode_pair: float = 1.477e6
    """Both encoders: FLOPs a visual token, and a pair of them (VGGT attends across frames)."""
    decode_step_s: float = 0.006
    """One decoding step of a rank's rows together."""
    wake_s: float = 0.0
    """Once a step: an engine of its own wakes, takes the new weights and sleeps again."""
    exchange_s: float = 0.05
    """One exchange of 6 GB of gradients at 200 GB/s inside a node, without overlap."""
    exchange_far_s: float = 0.24
    """The same at 50 GB/s a GPU between nodes."""


@dataclass(frozen=True)
class Load:
    """A step. Lengths are in tokens."""

    gpus: int = 8
    groups: int = 8
    """Groups of a rank."""
    group: int = 8
    frames: tuple[int, ...] = (4, 10, 24)
    tokens_per_frame: int = 252
    mean: float = 220.0
    """Mean length of a completion; ``sigma`` of its logarithm; ``limit`` cuts it."""
    sigma: float = 0.5
    limit: int = 600
    slow_share: float = 0.01
    slow_factor: float = 1.5
    """A share of the ranks runs this much slower in a step (heat, a busy disk)."""
    reference: bool = True
    cached: bool = False
    """Frozen features come from the cache."""
    balanced: bool = False
    """Groups go to the rank with the least tokens so far, instead of in turn."""
    exchange_each: bool = True
    """Gradients are exchanged after every micro-batch (FSDP2), not once a step (DDP)."""


@dataclass(frozen=True)
class Result:
    """Seconds of a step; the mean share of them that a GPU waits or exchanges, and until it has decoded."""

    seconds: float
    waiting: float
    decode: float


def simulate(load: Load, costs: Costs, rng: Rng) -> Result:
    """One step, event by event."""
    prompts, lengths = _draw(load, rng)
    owner = _owners(load, prompts, lengths)
    speed = np.where(rng.random(load.gpus) < load.slow_share, load.slow_factor, 1.0)
    work: list[list[float]] = []
    decode_end: list[float] = []
    busy = np.zeros(load.gpus)
    for rank in range(load.gpus):
        mine = np.flatnonzero(owner == rank)
        before, decode = _rollout(load, costs, prompts[mine], lengths[mine])
        batches = [_micro_batch(load, costs, prompts[g], lengths[g]) for g in mine]
        batches = sorted((b * speed[rank] for b in batches), reverse=True)
        work.append(batches)
        decode_end.append((before + decode) * speed[rank])
        busy[rank] = decode_end[-1] + sum(batches)
    seconds = _run(load, costs, decode_end, work)
    return Result(seconds, float(1 - busy.mean() / seconds), float(np.mean(decode_end)) / seconds)


def _run(load: Load, costs: Costs, start: list[float], work: list[list[float]]) -> float:
    """The step's end. An exchange begins when the last rank has finished its micro-batch."""
    exchange = costs.exchange_s if load.gpus <= 8 else costs.exchange_far_s
    exchange = 0.0 if load.gpus == 1 else exchange
    rounds = max(map(len, work)) if load.exchange_each else 1
    clock = np.array(start)
    events: list[tuple[float, int, int]] = []
    now = 0.0
    for index in range(rounds):
        for rank, batches in enumerate(work):
            todo = (batches[index : index + 1] or [0.0]) if load.exchange_each else batches
            heapq.heappush(events, (clock[rank] + sum(todo), index, rank))
        while events:
            now, _, rank = heapq.heappop(events)
            clock[rank] = now
        clock[:] = now + exchange
    return now + exchange


def _draw(load: Load, rng: Rng) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prompt tokens ``(N,)`` and completion lengths ``(N, G)`` of all ranks' groups."""
    count = load.gpus * load.groups
    prompts = rng.choice(load.frames, count) * float(load.tokens_per_frame) + 80
    mean = np.log(load.mean) - load.sigma**2 / 2
    hard = rng.normal(mean, load.sigma / 2**0.5, (count, 1))  # completions of one prompt are alike
    lengths = np.exp(hard + rng.normal(0, load.sigma / 2**0.5, (count, load.group)))
    return prompts, np.minimum(lengths, load.limit).round()


def _owners(load: Load, prompts: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.int64]:
    if not load.balanced:
        return np.arange(len(prompts)) % load.gpus
    # by prompt: completions are not known when groups are handed out; every rank gets equally many
    owner = np.zeros(len(prompts), dtype=np.int64)
    order = np.argsort(-prompts, kind="stable")
    for turn, at in enumerate(range(0, len(order), load.gpus)):
        block = order[at : at + load.gpus]
        ranks = np.arange(len(block))
        owner[block] = ranks if turn % 2 == 0 else ranks[::-1]
    return owner


def _rollout(
    load: Load, costs: Costs, prompts: NDArray[np.float64], lengths: NDArray[np.float64]
) -> tuple[float, float]:
    """Seconds before the first token, and of decoding: as many steps as the longest row has tokens."""
    encode = (
        0.0 if load.cached else float((costs.encode_token * prompts + costs.encode_pair * prompts**2).sum())
    )
    before = (encode + prompts.sum() * costs.token_forward) / costs.flops
    return before + costs.wake_s, (lengths.max() * costs.decode_step_s if lengths.size else 0.0)


def _micro_batch(load: Load, costs: Costs, prompt: float, lengths: NDArray[np.float64]) -> float:
    """A packed row: the prompt and G completions, padded to the longest."""
    tokens = prompt + len(lengths) * lengths.max()
    passes = costs.passes + (1.0 if load.reference else 0.0)
    return float(tokens * passes * costs.token_forward / costs.flops)


def mean_result(load: Load, costs: Costs, steps: int, seed: int = 0) -> Result:
    rng = np.random.default_rng(seed)
    results = [simulate(load, costs, rng) for _ in range(steps)]
    columns = np.array([(r.seconds, r.waiting, r.decode) for r in results]).mean(0)
    return Result(*columns.tolist())


def check() -> None:
    """Cases whose answer is known without a simulation."""
    costs = Costs(exchange_s=0.0, exchange_far_s=0.0)
    even = Load(frames=(4,), sigma=0.0, mean=100.0, slow_share=0.0)
    alone, many = (simulate(replace(even, gpus=n), costs, np.random.default_rng(0)) for n in (1, 64))
    assert abs(alone.seconds - many.seconds) < 1e-9 and alone.waiting < 1e-9 and many.waiting < 1e-9
    prompt = 4 * 252 + 80.0
    encode = costs.encode_token * prompt + costs.encode_pair * prompt**2
    once = (encode + prompt * costs.token_forward) * even.groups / costs.flops
    row = (prompt + 8 * 100) * 5 * costs.token_forward * even.groups / costs.flops
    assert abs(alone.seconds - (once + 100 * costs.decode_step_s + row)) < 1e-9
    slow = simulate(replace(even, gpus=2, slow_share=1.0), costs, np.random.default_rng(0))
    assert abs(slow.seconds - 1.5 * alone.seconds) < 1e-9
    ragged = Load(gpus=64, slow_share=0.0)
    each = mean_result(ragged, costs, 20)
    once_a_step = mean_result(replace(ragged, exchange_each=False), costs, 20)
    assert once_a_step.seconds < each.seconds, "meeting more often can only wait more"
    print("closed forms: ok")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--groups", type=int, default=8, help="groups of a rank")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--decode-ms", type=float, default=6.0, help="one decoding step")
    parser.add_argument("--wake-s", type=float, default=0.0, help="waking an engine of its own, once a step")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    check()
    if args.check:
        return
    costs = Costs(decode_step_s=args.decode_ms / 1000, wake_s=args.wake_s)
    base = Load(groups=args.groups)
    variants = {
        "FSDP2": base,
        "+ balanced": replace(base, balanced=True),
        "+ cached": replace(base, balanced=True, cached=True),
        "+ even speed": replace(base, balanced=True, cached=True, slow_share=0.0),
        "DDP": replace(base, exchange_each=False),
        "+ balanced ": replace(base, exchange_each=False, balanced=True),
        "+ cached ": replace(base, exchange_each=False, balanced=True, cached=True),
        "+ even speed ": replace(base, exchange_each=False, balanced=True, cached=True, slow_share=0.0),
    }
    print(
        f"{args.groups} groups of {base.group} a rank; seconds a step (waiting or exchanging; until decoded)"
    )
    print(f"{'':13}" + "".join(f"{n:>22} GPUs" for n in args.gpus))
    for name, load in variants.items():
        cells = []
        for gpus in args.gpus:
            steps = max(10, args.steps // max(1, gpus // 8))
            found = mean_result(replace(load, gpus=gpus), costs, steps)
            cells.append(f"{found.seconds:8.2f} ({found.waiting:4.0%}; {found.decode:4.0%})    ")
        print(f"{name:13}" + "".join(f"{cell:>27}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
