"""Peak memory of the training part of a GRPO step: packed rows against dense rows.

    python benchmarks/memory.py                    # G = 4, 8, 16 and P = 512 ... 4096, C = 64
    python benchmarks/memory.py --groups 8 --prompts 1024 --completion 256 --out memory.json

Every case runs in a process of its own: build the model (no download), note what is resident, run one forward
and backward of one group, note the peak. Variants:

* ``dense``: G rows ``[prompt | completion]`` in one batch, as a trainer with a micro-batch of G does.
* ``dense-1``: the same rows one after the other (micro-batch 1): least memory, prompt run G times.
* ``packed``: one row ``[prompt | c1 | .. | cG]``.
* ``packed-gc``: the same with checkpointed layers.
* ``two-phase``: the prompt once, then one completion after the other.

All of them score the completions only, in float32, with the same chunked head, so that the rows alone make
the difference. Peak resident memory is the kernel's (Linux; on a GPU the allocator's peak is used instead);
``kept`` counts the bytes that autograd holds for the backward pass, which does not depend on an allocator.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

VARIANTS = ("dense", "dense-1", "packed", "packed-gc", "two-phase")
MIB = 2**20


def resident(field: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (peak since the last reset) of this process, MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def measure(
    variant: str, groups: int, prompt: int, completion: int, layers: int, hidden: int
) -> dict[str, float]:
    """One case, in this process."""
    import torch

    from rft3d.models.prefix import Row, pack
    from rft3d.models.two_phase import two_phase_backward

    policy = _policy(layers, hidden)
    model = policy.model
    cuda = torch.cuda.is_available()
    torch.nn.Module.to(model, torch.device("cuda" if cuda else "cpu"))
    generator = torch.Generator().manual_seed(0)

    def ids(count: int) -> list[int]:
        return torch.randint(0, 200, (count,), generator=generator).tolist()

    prefix, suffixes = ids(prompt), [ids(completion) for _ in range(groups)]
    positions = torch.arange(prompt).expand(3, -1)
    if variant == "packed-gc":
        model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    fused = torch.zeros(0, hidden, device=policy.device)
    model.fuse = lambda features: None  # type: ignore[method-assign] - text only: frames change nothing here

    def row(chosen: list[list[int]]) -> Row:
        return Row(prefix, positions, chosen, [len(s) for s in chosen])

    def run(rows: list[Row]) -> None:
        packed = pack(rows, policy.pad_id).to(policy.device)
        loss = model(packed, [], fused=fused if len(fused) else None).logps.sum()
        peaks.append(sum(kept.values()) / MIB)
        loss.backward()

    kept: dict[int, int] = {}
    peaks: list[float] = []
    steps: dict[str, Callable[[], object]] = {
        "dense": lambda: run([row([s]) for s in suffixes]),
        "dense-1": lambda: [(kept.clear(), run([row([s])])) for s in suffixes],
        "packed": lambda: run([row(suffixes)]),
        "packed-gc": lambda: run([row(suffixes)]),
        "two-phase": lambda: two_phase_backward(
            model, pack([row(suffixes)], policy.pad_id).to(policy.device), [], _counted(kept, peaks), 1
        ),
    }

    def pack_hook(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() / MIB if cuda else resident("VmRSS")
    if os.environ.get("RFT3D_COUNT_KEPT") == "1":
        with torch.autograd.graph.saved_tensors_hooks(pack_hook, lambda tensor: tensor):
            steps[variant]()
        return {"kept_mib": max(peaks)}
    steps[variant]()
    peak = torch.cuda.max_memory_allocated() / MIB if cuda else resident("VmHWM")
    return {"peak_mib": peak - before, "before_mib": before}


def _counted(kept: dict[int, int], peaks: list[float]) -> Callable[..., object]:
    def loss_of(logps: object, entropy: object, index: object) -> object:
        peaks.append(sum(kept.values()) / MIB)  # grows with the chunks: an upper bound
        return logps.sum()  # type: ignore[attr-defined]

    return loss_of


def _policy(layers: int, hidden: int):
    from rft3d.models import TinyConfig, build_tiny
    from rft3d.models.tokens import byte_tokenizer

    config = TinyConfig(
        hidden=hidden, layers=layers, heads=hidden // 64, intermediate=4 * hidden, use_geometry=False,
        vision_hidden=32, vision_layers=1,
    )  # fmt: skip
    return build_tiny(config, byte_tokenizer([f"<{i}>" for i in range(2000)]))


def case(variant: str, groups: int, prompt: int, arguments: argparse.Namespace) -> dict[str, float]:
    """One case in two fresh processes: peak of the process, and what autograd keeps."""
    found: dict[str, float] = {}
    for count in ("0", "1"):
        command = [
            sys.executable, __file__, "--case", variant, "--groups", str(groups), "--prompts", str(prompt),
            "--completion", str(arguments.completion), "--layers", str(arguments.layers),
            "--hidden", str(arguments.hidden),
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "RFT3D_COUNT_KEPT": count}
        )
        if done.returncode:
            raise RuntimeError(f"{variant} G={groups} P={prompt}: {done.stderr[-800:]}")
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--groups", type=int, nargs="+", default=[4, 8, 16], help="completions")
    parser.add_argument(
        "--prompts", type=int, nargs="+", default=[512, 1024, 2048, 4096], help="prompt tokens"
    )
    parser.add_argument("--completion", type=int, default=64, help="tokens of a completion")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--case", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        sizes = (arguments.groups[0], arguments.prompts[0], arguments.completion)
        print(json.dumps(measure(arguments.case, *sizes, arguments.layers, arguments.hidden)))
        return
    rows = []
    print(
        f"{'G':>3} {'P':>5} {'variant':>10} {'peak MiB':>9} {'of dense':>8} {'kept MiB':>9} {'of dense':>8}"
    )
    for groups in arguments.groups:
        for prompt in arguments.prompts:
            dense: dict[str, float] = {}
            for variant in arguments.variants:
                found = case(variant, groups, prompt, arguments)
                dense = dense or found
                shares = [f"{found[k] / dense[k]:8.2f}" for k in ("peak_mib", "kept_mib")]
                peak, kept = f"{found['peak_mib']:9.0f}", f"{found['kept_mib']:9.0f}"
                print(
                    f"{groups:3} {prompt:5} {variant:>10} {peak} {shares[0]} {kept} {shares[1]}", flush=True
                )
                rows.append({"groups": groups, "prompt": prompt, "variant": variant, **found})
    if arguments.out:
        settings = {k: v for k, v in vars(arguments).items() if k not in ("out", "case")}
        arguments.out.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
