"""No function or class has the name of another module's: who searches for it would land in the wrong file."""

from __future__ import annotations

import ast
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src" / "rft3d"
SHARED = {
    "Args": "cli",  # every verb's arguments
    "main": "cli",  # every verb's action
    "variants": "evaluation/benchmarks",  # how a benchmark is scored, what `Benchmark.variants` holds
}
"""Names that every module of a folder has: the parts of a registry."""


def defined_twice(root: Path) -> dict[str, list[str]]:
    """Functions and classes (no underscore) that several modules under ``root`` define, with their files."""
    homes: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*.py")):
        where = path.relative_to(root).as_posix()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                shared = SHARED.get(node.name)
                if shared is None or not where.startswith(f"{shared}/"):
                    homes.setdefault(node.name, []).append(where)
    return {name: files for name, files in homes.items() if len(files) > 1}


def test_no_name_has_two_homes() -> None:
    assert not defined_twice(SRC)


def test_a_second_home_is_found(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    for file in ("one.py", "two.py", "cli/three.py", "cli/four.py"):
        (tmp_path / file).write_text("class Row: ...\n\n\ndef main(): ...\n\n\ndef _own(): ...\n")
    assert defined_twice(tmp_path) == {
        "Row": ["cli/four.py", "cli/three.py", "one.py", "two.py"],
        "main": ["one.py", "two.py"],
    }
