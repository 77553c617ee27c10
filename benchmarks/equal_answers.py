"""What running equal completions of a group once saves in a GRPO update, task by task, with the shipped SFT policy.

    python benchmarks/equal_answers.py                   # one core, about 3 minutes
    python benchmarks/equal_answers.py --temperature 1

Both ways take turns on the same groups, with every update undone; printed are medians of seconds and the share of
tokens that is left. The gradients are compared too: they may differ by rounding only.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from rich.console import Console

from rft3d.experiments.lab import Lab
from rft3d.experiments.rooms import build_tasks
from rft3d.experiments.settings import CREDIT, rft, world
from rft3d.training import update
from rft3d.training.advantages import assign_advantages
from rft3d.training.engine import Engine
from rft3d.training.rollout import Rollouts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--prompts", type=int, default=24, help="of each task")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rooms = world(train_rooms=48, watched_rooms=0, elsewhere={})
        lab = Lab(rooms, 0, Path(folder), Console(stderr=True))
        lab.prepare()
        policy = lab.start
        tasks = build_tasks({view: policy.task_options.get(view, {}) for view in rooms.views})
        for task in tasks:
            config = rft({task: args.prompts}, temperature=args.temperature, **CREDIT)
            groups = Rollouts(policy, tasks, lab.corpus, config).collect(0).trained
            groups = assign_advantages(groups, config, policy.tokenizer)
            # a rate of 0: every update starts from the same weights
            engine = Engine(policy, replace(config.optim, lr=0.0), 1000)
            seconds: dict[str, list[float]] = {"every": [], "once": []}
            gradients: dict[str, float] = {}
            tokens: dict[str, int] = {}
            for turn in range(args.repeats + 1):
                for way, runs in seconds.items():
                    with mock.patch.object(update, "merged", _every if way == "every" else update.merged):
                        began = time.perf_counter()
                        found, tokens[way] = update.update_policy(
                            engine, lab.corpus, groups, config, None, turn
                        )
                        if turn:  # the first warms up
                            runs.append(time.perf_counter() - began)
                        gradients[way] = found["grad_norm"]
            before, after = (statistics.median(seconds[way]) for way in ("every", "once"))
            print(
                f"{task}: update {before:.2f} s -> {after:.2f} s ({after / before:.2f}), tokens "
                f"{tokens['once'] / tokens['every']:.2f} of {tokens['every']}, gradient norms "
                f"{gradients['every']:.6f} and {gradients['once']:.6f}",
                flush=True,
            )


def _every(group: update.Group, weights: list[float]) -> tuple[update.Group, list[float]]:
    return group, list(weights)


if __name__ == "__main__":
    main()
