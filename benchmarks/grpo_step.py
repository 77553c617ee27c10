"""A whole GRPO step, ours against TRL's stock ``GRPOTrainer``: seconds by phase and peak memory.

    python benchmarks/grpo_step.py                   # two cores: the cells and bars below, about an hour
    python benchmarks/grpo_step.py --quick           # one small cell, two steps: does it run?
    python benchmarks/grpo_step.py --gpu             # one GPU: TRL's B0-B2 against O1-O5, Qwen2.5-VL-3B sizes

Both sides get the same model files, frames, questions, G, C and beta; the end token is suppressed, so that
both decode the same number of steps; both run their vision tower on every scene of a step (nothing is kept
from one step to the next, but for ``trl-cached``, which keeps features by content for ever: the fair, cheap
trick, and more than fair here since the scenes repeat). Each side is a process of its own that takes one
step when told to; the sides take turns, the first step of each is not counted. Printed: median
[lowest-highest] in seconds, peak resident memory (on a GPU: allocated), and the ratio of medians against
the bar.

The model: 4 layers, d = 256, float32, no geometry encoder (a plain Qwen2.5-VL, so that nobody can blame our
class), 263 tokens of vocabulary (a real one would add to the head, which both sides run on completions only).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

CELLS = ((1024, 64), (2048, 64), (512, 256))
BARS = {(1024, 64): 4.0, (2048, 64): 6.0}
"""Whole step against stock TRL."""
TRAIN_BARS = {(2048, 64): 3.5}
MEMORY_BAR = 1 / 3
PREDICTED = {  # seconds a group on one H100: arithmetic from before anything was measured
    (6000, 0.04): {"trl": (15.0, 16.0), "o4": (2.3, 2.6), "o5": (1.5, 1.5)},
    (2500, 0.04): {"trl": (6.0, 6.0), "o4": (1.8, 1.8), "o5": (0.9, 0.9)},
}
PHASES = ("encode", "rollout", "reward", "reference", "train", "step")


class Side:
    """One process; :meth:`step` has it take a step."""

    def __init__(self, name: str, argument: str, threads: int) -> None:
        module = "benchmarks.grpo.stock" if name.startswith("trl") else "benchmarks.grpo.ours"
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONWARNINGS": "ignore",
        }
        self.name = name
        self.errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, argument, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, cwd=ROOT,
            env=environment,
        )  # fmt: skip
        self.loaded_mb = float(self._answer()["loaded_mb"])
        self.steps: list[dict[str, Any]] = []

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        self.errors.seek(0)
        raise RuntimeError(f"{self.name} died:\n{self.errors.read()[-3000:]}")

    def step(self, counted: bool) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        answer = self._answer()
        if counted:
            self.steps.append(answer)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def seconds(self, phase: str) -> list[float]:
        return [step["phases"].get(phase, 0.0) for step in self.steps]

    def peak_mb(self) -> float:
        return max(step["peak_mb"] for step in self.steps)

    def line(self) -> dict[str, Any]:
        return {
            "side": self.name,
            **{phase: sorted(self.seconds(phase)) for phase in PHASES},
            "cpu": sorted(step["cpu"] for step in self.steps),
            "peak_mb": round(self.peak_mb()),
            "loaded_mb": round(self.loaded_mb),
        }


def run_cell(setting: Any, sides: tuple[str, ...], repeats: int) -> list[Side]:
    """All sides of one cell, taking turns."""
    started: list[Side] = []
    try:
        for name in sides:
            started.append(Side(name, setting.argument(), setting.threads))
        for turn in range(repeats + 1):
            for side in started:
                side.step(counted=turn > 0)
    finally:
        for side in started:
            side.close()
    return started


def show(setting: Any, sides: list[Side]) -> None:
    from benchmarks.grpo.setting import spread

    cell = (setting.prompt, setting.completion)
    print(f"\n(P, C) = {cell}, G = {setting.group}, {setting.groups} groups a step, beta = {setting.beta}")
    print(f"{'':11}" + "".join(f"{phase:>22}" for phase in PHASES) + f"{'peak MB (loaded)':>20}")
    for side in sides:
        cells = "".join(f"{spread(side.seconds(phase)):>22}" for phase in PHASES)
        print(f"{side.name:11}{cells}{side.peak_mb():>11.0f} ({side.loaded_mb:.0f})")
    by_name = {side.name: side for side in sides}
    ours = by_name.get("ours") or sides[-1]
    for name in [s.name for s in sides if s.name.startswith("trl")]:
        base = by_name[name]
        whole, train = (np.median(base.seconds(p)) / np.median(ours.seconds(p)) for p in ("step", "train"))
        cpu = np.median([s["cpu"] for s in base.steps]) / np.median([s["cpu"] for s in ours.steps])
        memory = ours.peak_mb() / base.peak_mb()
        over = (ours.peak_mb() - ours.loaded_mb) / max(base.peak_mb() - base.loaded_mb, 1)
        print(
            f"{ours.name} against {name}: step {whole:.2f}x (in CPU seconds {cpu:.2f}x), train {train:.2f}x, "
            f"memory {memory:.2f} (above the loaded model {over:.2f})"
        )
        if name == "trl" and setting.size == "small":
            for what, got, bar in (
                ("step", whole, BARS.get(cell)), ("train", train, TRAIN_BARS.get(cell)),
            ):  # fmt: skip
                if bar is not None:
                    print(f"  bar: {what} >= {bar}x: {'met' if got >= bar else 'NOT met'}")
            print(f"  bar: peak memory <= 1/3: {'met' if memory <= MEMORY_BAR else 'NOT met'}")


def predictions(setting: Any) -> None:
    for name, (low, high) in PREDICTED.get((setting.prompt, setting.beta), {}).items():
        print(f"  predicted beforehand (with a geometry encoder) {name}: {low}-{high} s a group")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small cell, two steps")
    parser.add_argument("--gpu", action="store_true", help="the ladder on one GPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--groups", type=int, default=1, help="prompts a step")
    parser.add_argument("--group", type=int, default=8, help="completions a prompt")
    parser.add_argument("--cell", type=int, nargs=2, action="append", metavar=("P", "C"), help="this cell")
    parser.add_argument("--beta", type=float, action="append", help="0 and 0.04 when not given")
    parser.add_argument("--sides", nargs="+", help="trl trl-cached trl-pd1 ours o1 ... o5")
    parser.add_argument("--out", type=Path, help="JSON lines to add the steps to")
    args = parser.parse_args()
    import torch

    if args.gpu and not torch.cuda.is_available():
        raise SystemExit(
            "benchmarks/grpo_step.py --gpu needs a CUDA GPU: torch.cuda.is_available() is False here. "
            "Without --gpu the comparison runs on the CPU"
        )
    from benchmarks.grpo.setting import Setting, save_model

    cells = [tuple(cell) for cell in args.cell or CELLS]
    betas, sides = args.beta or [0.0, 0.04], tuple(args.sides or ("trl", "trl-cached", "ours"))
    groups, repeats = args.groups, args.repeats
    if args.quick:
        cells, betas, repeats = [(512, 8)], [0.04], 2
    if args.gpu:
        cells = [tuple(cell) for cell in args.cell or ((1100, 300), (2500, 300), (6000, 300))]
        sides = tuple(args.sides or ("trl-pd1", "trl", "trl-cached", "o1", "o2", "o3", "o4", "o5"))
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"{args.threads} threads" + (f", {torch.cuda.get_device_name()}" if args.gpu else ""))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), "full" if args.gpu else "small")
        base = Setting(0, 0, args.group, groups, 0.0, folder, threads=args.threads)
        if args.gpu:
            base = replace(base, device="cuda", dtype="bfloat16", size="full")
        for prompt, completion in cells:
            for beta in betas:
                setting = replace(base, prompt=prompt, completion=completion, beta=beta)
                if args.gpu:  # the ladder does not fit beside itself: one side after the other
                    done = [run_cell(setting, (name,), repeats)[0] for name in sides]
                else:
                    done = run_cell(setting, sides, repeats)
                show(setting, done)
                predictions(setting)
                if args.out:
                    with args.out.open("a", encoding="utf-8") as file:
                        for side in done:
                            file.write(json.dumps({"setting": setting.argument()} | side.line()) + "\n")


if __name__ == "__main__":
    main()
