"""How much there is to read: a GRPO step, the public names, all of ``src``. ``python -m`` prints it."""

from __future__ import annotations

from pathlib import Path

from tests.contracts.test_public_names import public

SRC = Path(__file__).resolve().parents[2] / "src" / "rft3d"
STEP = ("grpo", "rollout", "advantages", "update", "losses", "engine")
"""The files that one opens to understand a GRPO step (docs/floors.md)."""
STEP_LINES = 1_200
SRC_LINES = 32_907
"""Only ever made smaller; at most 33,170."""


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def step() -> dict[str, int]:
    return {name: lines(SRC / "training" / f"{name}.py") for name in STEP}


def src() -> dict[str, int]:
    """Lines of each package."""
    found: dict[str, int] = {}
    for path in sorted(SRC.rglob("*.py")):
        package = path.relative_to(SRC).parts[0].removesuffix(".py")
        found[package] = found.get(package, 0) + lines(path)
    return found


def test_a_step_is_read_in_one_sitting() -> None:
    assert len(STEP) <= 6 and sum(step().values()) <= STEP_LINES, step()
    opening = (SRC / "training" / "grpo.py").read_text(encoding="utf-8").split('"""')[1]
    assert all(f"{name}.py" in opening for name in STEP if name != "grpo"), "grpo.py opens with the way"


def test_src_does_not_grow() -> None:
    assert sum(src().values()) <= SRC_LINES, src()


if __name__ == "__main__":
    print("a GRPO step:", ", ".join(f"{name}.py {count}" for name, count in step().items()))
    print(f"  {len(STEP)} files, {sum(step().values())} lines (at most 6 and {STEP_LINES})")
    print(f"public names: {len(public())} (at most 300)")
    print(f"src: {sum(src().values())} lines (at most {SRC_LINES})")
    print("  " + ", ".join(f"{name} {count}" for name, count in src().items()))
