"""A whole GRPO step, ours against TRL's stock ``GRPOTrainer``: seconds by phase and peak memory.

    python benchmarks/grpo_step.py                     # two quiet cores: every bar, at most half an hour
    python benchmarks/grpo_step.py --minutes 60        # goes on from there, with what did not fit
    python benchmarks/grpo_step.py --cells 512x32 --repeats 7
    python benchmarks/grpo_step.py --quick             # one small cell, two steps: does it run?
    python benchmarks/grpo_step.py --gpu               # one GPU: TRL's B0-B2 against O1-O5, 3B sizes (never run)

Every counted step is a line of ``--out`` as soon as it is taken; the same command again takes only what is
missing, so a stopped run loses nothing. Cells with a bar come first; a setting that would not end within
``--minutes`` is left for the next call, and said. ``--summary`` prints what is there. A missed bar is no
error: this is a measurement, not a test.

Both sides get the same model files, frames, questions, G, C and beta; the end token is suppressed, so that
both decode the same number of steps; both run their vision tower on every scene of a step (nothing is kept
from one step to the next, but for ``trl-cached``, which keeps features by content for ever: the fair, cheap
trick, and more than fair here since the scenes repeat). ``ours-gc`` runs its layers again in the backward pass
(``memory.gradient_checkpointing``): less memory for a little time. Each side is a process of its own that takes one
step when told to; the sides take turns, the first step of each process is not counted. Printed: median
[lowest-highest] in seconds, peak resident memory (on a GPU: allocated), and the ratio of medians against
the bar.

The model: 4 layers, d = 256, float32, no geometry encoder (a plain Qwen2.5-VL, so that nobody can blame our
class), 263 tokens of vocabulary (a real one would add to the head, which both sides run on completions only).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

CELLS = ((1024, 64), (2048, 64), (512, 256))
GPU_CELLS = ((1100, 300), (2500, 300), (6000, 300))
SIDES = ("trl", "trl-cached", "ours", "ours-gc")
LADDER = ("trl-pd1", "trl", "trl-cached", "o1", "o2", "o3", "o4", "o5")
OUT = ROOT / "runs" / "grpo_step.jsonl"
PREDICTED = {  # seconds a group on one H100: arithmetic from before anything was measured
    (6000, 0.04): {"trl": (15.0, 16.0), "o4": (2.3, 2.6), "o5": (1.5, 1.5)},
    (2500, 0.04): {"trl": (6.0, 6.0), "o4": (1.8, 1.8), "o5": (0.9, 0.9)},
}


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

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        self.errors.seek(0)
        raise RuntimeError(f"{self.name} died:\n{self.errors.read()[-3000:]}")

    def step(self) -> dict[str, Any]:
        """Phases, CPU seconds and peak memory of one step."""
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


class Comparison:
    """A plan of settings, the sides that are compared, and what was timed so far."""

    def __init__(
        self, plan: Sequence[Any], sides: Sequence[str], repeats: int, steps: Any, facts: dict[str, Any]
    ) -> None:
        self.plan, self.sides, self.repeats = plan, sides, repeats
        self.steps, self.facts = steps, facts

    def run_all(self, minutes: float, together: bool) -> None:
        """The plan, as far as it fits into ``minutes``; on a GPU the sides do not fit beside each other."""
        from benchmarks.grpo.results import describe

        began = time.monotonic()
        for setting in self.plan:
            needed = self.steps.left_s([setting], self.sides, self.repeats)
            spent = time.monotonic() - began
            if needed and spent + needed > 60 * minutes:
                print(
                    f"{describe(setting)}: left out, it needs about {needed / 60:.0f} min more and "
                    f"{max(0.0, minutes - spent / 60):.0f} of {minutes:g} are left; the same command again "
                    "goes on"
                )
                continue
            for sides in [self.sides] if together else [(side,) for side in self.sides]:
                self.run(setting, sides)
            predictions(setting)

    def run(self, setting: Any, sides: Sequence[str]) -> None:
        """What is missing of one setting, the sides taking turns."""
        missing = self.steps.missing(setting, sides, self.repeats)
        started: dict[str, Side] = {}
        try:
            for name in dict.fromkeys(side for _, side in missing):
                started[name] = Side(name, setting.argument(), setting.threads)
            for side in started.values():
                self._say(setting, "warm-up", side.name, side.step())
            for turn, name in missing:
                taken = started[name].step()
                self._keep(setting, name, turn, taken, started[name].loaded_mb)
                self._say(setting, f"turn {turn + 1} of {self.repeats}", name, taken)
        finally:
            for side in started.values():
                side.close()

    def _keep(self, setting: Any, name: str, turn: int, taken: dict[str, Any], loaded_mb: float) -> None:
        from benchmarks.grpo.results import identity

        row = identity(setting) | {"side": name, "turn": turn, "loaded_mb": loaded_mb} | taken
        self.steps.add(row | self.facts | {"time": round(time.time())})

    def _say(self, setting: Any, what: str, name: str, taken: dict[str, Any]) -> None:
        from benchmarks.grpo.results import describe

        left = self.steps.left_s(self.plan, self.sides, self.repeats)
        eta = "time left not known yet" if left is None else f"about {left / 60:.0f} min left"
        print(
            f"{describe(setting)}  {what:13} {name:10} {taken['phases']['step']:7.2f} s   {eta}", flush=True
        )


def cell(text: str) -> tuple[int, int]:
    prompt, _, completion = text.partition("x")
    if not (prompt.isdecimal() and completion.isdecimal()):
        raise argparse.ArgumentTypeError(f"a cell is PxC, e.g. 1024x64, got {text!r}")
    return int(prompt), int(completion)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small cell, two steps, kept nowhere")
    parser.add_argument("--gpu", action="store_true", help="the ladder on one GPU")
    parser.add_argument("--summary", action="store_true", help="print what --out holds, run nothing")
    parser.add_argument("--cells", nargs="+", type=cell, metavar="PxC")
    parser.add_argument("--betas", nargs="+", type=float, help="default: 0 0.04")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=30.0, help="start nothing that would end later")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--groups", type=int, default=1, help="prompts a step")
    parser.add_argument("--group", type=int, default=8, help="completions a prompt")
    parser.add_argument("--sides", nargs="+", choices=sorted({*SIDES, *LADDER}))
    parser.add_argument("--out", type=Path, help=f"JSON lines, a step each (default {OUT.relative_to(ROOT)})")
    parser.add_argument("--fresh", action="store_true", help="put an older --out aside as *.old")
    return parser.parse_args(given)


def planned(args: argparse.Namespace) -> list[tuple[tuple[int, int], float]]:
    """``((P, C), beta)`` in the order in which they are measured."""
    if args.quick:
        return [((512, 8), 0.04)]
    cells = args.cells or (GPU_CELLS if args.gpu else CELLS)
    return [(c, beta) for beta in (args.betas or [0.0, 0.04]) for c in cells]


def main() -> None:
    args = arguments()
    import torch
    from benchmarks.grpo.results import Steps, summary, where
    from benchmarks.grpo.setting import Setting, save_model

    if args.gpu and not args.summary and not torch.cuda.is_available():
        raise SystemExit(
            "benchmarks/grpo_step.py --gpu needs a CUDA GPU: torch.cuda.is_available() is False here. "
            "Without --gpu the comparison runs on the CPU"
        )
    sides = tuple(args.sides or (LADDER if args.gpu else SIDES))
    repeats = 2 if args.quick else args.repeats
    out = args.out or (None if args.quick else OUT)
    if args.fresh and out is not None and out.is_file():
        out.replace(out.with_suffix(".old"))
    steps, facts = Steps(out), where()
    if args.gpu:
        facts["gpu"] = torch.cuda.get_device_name()
    with tempfile.TemporaryDirectory() as folder:
        base = Setting(0, 0, args.group, args.groups, 0.0, folder, threads=args.threads)
        if args.gpu:
            base = replace(base, device="cuda", dtype="bfloat16", size="full")
        plan = [replace(base, prompt=p, completion=c, beta=beta) for (p, c), beta in planned(args)]
        comparison = Comparison(plan, sides, repeats, steps, facts)
        print(", ".join(str(v) for v in facts.values()) + f", {args.threads} threads")
        if any(steps.of(setting, side) for setting in plan for side in sides):
            print(f"going on with {out}")
        if not args.summary:
            save_model(Path(folder), base.size)
            comparison.run_all(args.minutes, together=not args.gpu)
    print("\n" + summary(steps, plan, sides, repeats))


def predictions(setting: Any) -> None:
    for name, (low, high) in PREDICTED.get((setting.prompt, setting.beta), {}).items():
        print(f"  predicted beforehand (with a geometry encoder) {name}: {low}-{high} s a group")


if __name__ == "__main__":
    main()
