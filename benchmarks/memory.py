"""Peak memory of the training part of a GRPO step: packed rows against dense rows.

    python benchmarks/memory.py                    # G = 4, 8, 16 and P = 512 ... 4096, C = 64; 10 quiet minutes
    python benchmarks/memory.py --groups 8 --prompts 1024 --completion 256
    python benchmarks/memory.py --groups 4 --prompts 512 --out /dev/null     # the smallest cell, kept nowhere
    python benchmarks/memory.py --summary          # what is there

Every case is a process of its own: build the model (no download), note what is resident, run one forward and
backward of one group, note the peak. A finished case is a line of ``--out``; the same command again runs only
what is missing. A case that needs more than ``--limit-gib`` or ``--timeout`` seconds is stated as such.
Variants:

* ``dense``: G rows ``[prompt | completion]`` in one batch, as a trainer with a micro-batch of G does.
* ``dense-1``: such rows one after the other (micro-batch 1): least memory, prompt run G times. Two of them
  are run: after the second, which meets the first one's gradients, the peak grows no more.
* ``packed``: one row ``[prompt | c1 | .. | cG]``.
* ``packed-gc``: the same with checkpointed layers.

All of them score the completions only, in float32, with the same chunked head, so that the rows alone make
the difference. Peak resident memory is the kernel's (Linux; on a GPU the allocator's peak is used instead);
``kept`` counts the bytes that autograd holds for the backward pass, which does not depend on an allocator.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VARIANTS = ("dense", "dense-1", "packed", "packed-gc")
MIB = 2**20
OUT = Path(__file__).resolve().parents[1] / "runs" / "memory.jsonl"


def resident(field: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (peak since the last reset) of this process, MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def measure(
    variant: str, groups: int, prompt: int, completion: int, layers: int, hidden: int, limit_gib: float
) -> dict[str, float]:
    """One case, in this process; RuntimeError or MemoryError beyond ``limit_gib`` on a CPU."""
    import torch

    from rft3d.models.prefix import Row, pack

    policy = _policy(layers, hidden)
    model = policy.model
    cuda = torch.cuda.is_available()
    if not cuda:  # a clear error instead of a full machine
        limit = int(limit_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    torch.nn.Module.to(model, torch.device("cuda" if cuda else "cpu"))
    generator = torch.Generator().manual_seed(0)

    def ids(count: int) -> list[int]:
        return torch.randint(0, 200, (count,), generator=generator).tolist()

    prefix, suffixes = ids(prompt), [ids(completion) for _ in range(groups)]
    positions = torch.arange(prompt).expand(3, -1)
    if variant == "packed-gc":
        model.checkpoint_layers(True)
    model.train()
    fused = torch.zeros(0, hidden, device=policy.device)
    model.fuse = lambda features: None  # type: ignore[method-assign] - text only: frames change nothing here

    def row(chosen: list[list[int]]) -> Row:
        return Row(prefix, positions, chosen, [len(s) for s in chosen])

    def run(rows: list[Row], backward: bool = True) -> None:
        packed = pack(rows, policy.pad_id).to(policy.device)
        loss = model(packed, [], fused=fused if len(fused) else None).logps.sum()
        peaks.append(sum(kept.values()) / MIB)
        if backward:
            loss.backward()

    kept: dict[int, int] = {}
    peaks: list[float] = []
    whole, rows = [row(suffixes)], [row([s]) for s in suffixes]

    def pack_hook(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() / MIB if cuda else resident("VmRSS")
    for batch in {"dense": [rows], "dense-1": [[r] for r in rows[:2]]}.get(variant, [whole]):
        run(batch)
    peak = torch.cuda.max_memory_allocated() / MIB if cuda else resident("VmHWM")
    peaks.clear()  # and once more, counting what is kept; the backward pass adds nothing to that
    with torch.autograd.graph.saved_tensors_hooks(pack_hook, lambda tensor: tensor):
        run({"dense": rows, "dense-1": rows[:1]}.get(variant, whole), backward=False)
    return {"peak_mib": peak - before, "before_mib": before, "kept_mib": max(peaks)}


def _policy(layers: int, hidden: int):
    from rft3d.models import TinyConfig, build_tiny
    from rft3d.models.tokens import byte_tokenizer

    config = TinyConfig(
        hidden=hidden, layers=layers, heads=hidden // 64, intermediate=4 * hidden, use_geometry=False,
        vision_hidden=32, vision_layers=1,
    )  # fmt: skip
    return build_tiny(config, byte_tokenizer([f"<{i}>" for i in range(2000)]))


def case(variant: str, groups: int, prompt: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One case in a fresh process; ``failed`` says why there is no number."""
    command = [
        sys.executable, __file__, "--case", variant, "--groups", str(groups), "--prompts", str(prompt),
        "--completion", str(arguments.completion), "--layers", str(arguments.layers),
        "--hidden", str(arguments.hidden), "--limit-gib", str(arguments.limit_gib),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout)
    except subprocess.TimeoutExpired:
        return {"failed": f"> {arguments.timeout:g} s"}
    if done.returncode:
        if "can't allocate memory" in done.stderr or "MemoryError" in done.stderr or done.returncode == -9:
            return {"failed": f"> {arguments.limit_gib:g} GiB"}
        raise RuntimeError(f"{variant} G={groups} P={prompt}: {done.stderr[-800:]}")
    return json.loads(done.stdout.splitlines()[-1])


Case = dict[str, Any]


def identity(variant: str, groups: int, prompt: int, arguments: argparse.Namespace) -> Case:
    """What makes two cases the same one; a larger limit or more time is another attempt."""
    return {
        "variant": variant, "groups": groups, "prompt": prompt, "completion": arguments.completion,
        "layers": arguments.layers, "hidden": arguments.hidden,
    }  # fmt: skip


def find(rows: Sequence[Case], wanted: Case, arguments: argparse.Namespace) -> Case | None:
    """The kept row of a case; one that failed counts only under the same limits."""
    limits = [arguments.limit_gib, arguments.timeout]
    for row in reversed(rows):
        if all(row.get(k) == v for k, v in wanted.items()) and (
            "failed" not in row or row["limits"] == limits
        ):
            return row
    return None


def read_rows(path: Path) -> list[Case]:
    """The rows of a JSON-lines file; half a line of a killed run is cut off."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def table(rows: Sequence[Case], arguments: argparse.Namespace) -> str:
    """Markdown: a line a (G, P); MiB of ``dense``, and every variant as a share of it."""
    names = arguments.variants
    lines = [
        f"Peak MiB above the loaded model (bytes kept for the backward pass), C = {arguments.completion}; "
        "others as shares of `dense` where it has a number",
        "",
        "| G | P | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for groups in arguments.groups:
        for prompt in arguments.prompts:
            found = {n: find(rows, identity(n, groups, prompt, arguments), arguments) for n in names}
            base = found.get("dense")
            cells = [_cell(row, base if name != "dense" else None) for name, row in found.items()]
            lines.append(f"| {groups} | {prompt} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Case | None, base: Case | None) -> str:
    if row is None:
        return "not run"
    if "failed" in row:
        return row["failed"]
    if base is None or "failed" in base:
        return f"{row['peak_mib']:.0f} ({row['kept_mib']:.0f})"
    return f"{row['peak_mib'] / base['peak_mib']:.2f} ({row['kept_mib'] / base['kept_mib']:.2f})"


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
    parser.add_argument("--limit-gib", type=float, default=16.0, help="of one case (on a CPU)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds of one case")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON lines, a case each")
    parser.add_argument("--summary", action="store_true", help="print what --out holds, run nothing")
    parser.add_argument("--case", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        sizes = (arguments.groups[0], arguments.prompts[0], arguments.completion)
        print(
            json.dumps(
                measure(arguments.case, *sizes, arguments.layers, arguments.hidden, arguments.limit_gib)
            )
        )
        return
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows = read_rows(arguments.out)
    if not arguments.summary:
        run_missing(rows, arguments)
    print("\n" + table(rows, arguments))


def run_missing(rows: list[Case], arguments: argparse.Namespace) -> None:
    """Run the cases that ``rows`` lack, small prompts first; each is appended to ``--out`` at once."""
    cases = [
        (variant, groups, prompt)
        for prompt in sorted(arguments.prompts)
        for groups in arguments.groups
        for variant in arguments.variants
    ]
    missing = [c for c in cases if find(rows, identity(*c, arguments), arguments) is None]
    if len(missing) < len(cases):
        print(f"going on with {arguments.out}: {len(cases) - len(missing)} of {len(cases)} are there")
    spent: list[float] = []
    for done, (variant, groups, prompt) in enumerate(missing, 1):
        began = time.perf_counter()
        found = case(variant, groups, prompt, arguments)
        spent.append(time.perf_counter() - began)
        limits = {"limits": [arguments.limit_gib, arguments.timeout], "seconds": round(spent[-1], 2)}
        rows.append(identity(variant, groups, prompt, arguments) | found | limits)
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        left = (len(missing) - done) * max(sum(spent) / done, sum(spent[-5:]) / len(spent[-5:]))
        print(
            f"G {groups:2}  P {prompt:4}  {variant:10} {_cell(rows[-1], None):>16}   {spent[-1]:5.1f} s   "
            f"about {left / 60:.0f} min left or more (longer prompts come last)",
            flush=True,
        )


if __name__ == "__main__":
    main()
