"""The walls of the house: imports go down only, and torch begins with ``rft3d.models``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIGHT_FLOORS = ("geometry", "answers", "scenes", "rewards", "prompts", "tasks")
HEAVY = ("torch", "transformers", "accelerate", "peft", "numba", "matplotlib")

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def run_linter(source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Import-linter with the project's contracts over the package in ``source``."""
    return subprocess.run(
        [sys.executable, "-c", LINT, "--config", str(ROOT / "pyproject.toml"), "--no-cache", *arguments],
        # PYTHONPATH goes before an editable install, so that the linter reads `source`.
        env={**os.environ, "PYTHONPATH": str(source), "COLUMNS": "200"},
        cwd=source,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_every_import_contract_is_kept() -> None:
    result = run_linter(ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("geometry/planted.py", "import rft3d.tasks", "floors"),
        ("geometry/planted.py", "def lazy():\n    import torch", "light"),
        ("tasks/planted.py", "from rft3d import models", "floors"),
        ("models/planted.py", "import rft3d.rewards", "models"),
        ("models/planted.py", "import rft3d.scenes.rooms", "models"),
        ("report/planted.py", "import rft3d.training", "report"),
        ("evaluation/planted.py", "import torch", "predict"),
        ("training/planted.py", "import trl", "oracle"),
        ("attic/__init__.py", "import rft3d.geometry", "floors"),
    ],
)
def test_a_wrong_import_breaks_its_contract_by_name(
    tmp_path: Path, file: str, line: str, contract: str
) -> None:
    copy = tmp_path / "src"
    shutil.copytree(ROOT / "src" / "rft3d", copy / "rft3d", ignore=shutil.ignore_patterns("__pycache__"))
    planted = copy / "rft3d" / file
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(line + "\n")
    result = run_linter(copy, "--contract", contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout
    assert ("planted" if file.endswith("planted.py") else "attic") in result.stdout


def test_a_cycle_through_an_import_inside_a_function_is_found(tmp_path: Path) -> None:
    copy = tmp_path / "src"
    shutil.copytree(ROOT / "src" / "rft3d", copy / "rft3d", ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "rft3d/geometry/boxes.py").open("a") as file:  # geometry.iou imports geometry.boxes
        file.write("\n\ndef lazy():\n    from rft3d.geometry import iou\n")
    result = run_linter(copy, "--contract", "cycles")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout and "boxes" in result.stdout


def run_without(blocked: tuple[str, ...], body: str) -> subprocess.CompletedProcess[str]:
    """Run ``body`` in a fresh interpreter where importing any of ``blocked`` raises ImportError."""
    block = f"import sys\nsys.modules.update(dict.fromkeys({blocked!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", block + body],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )


def modules_of(floor: str) -> list[str]:
    """Dotted names of every module of a floor, e.g. ``rft3d.tasks.spatial.questions``."""
    base = ROOT / "src" / "rft3d" / floor
    files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
    names = (file.relative_to(ROOT / "src").with_suffix("").parts for file in files)
    return [".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in names]


def import_each(modules: list[str]) -> str:
    return f"import importlib\nfor name in {modules!r}:\n    importlib.import_module(name)\n"


@pytest.mark.parametrize("floor", LIGHT_FLOORS)
def test_light_floors_import_without_anything_heavy(floor: str) -> None:
    """Every module of floors 0-3, one by one, with torch and the optional packages blocked.

    Files named ``*_numba.py`` are the fast twins of others and are imported lazily: not here.
    """
    modules = [name for name in modules_of(floor) if not name.endswith("_numba")]
    assert modules
    result = run_without(HEAVY, import_each(modules))
    assert result.returncode == 0, result.stderr


def test_numba_twins_need_nothing_but_numba() -> None:
    pytest.importorskip("numba")
    twins = [name for floor in LIGHT_FLOORS for name in modules_of(floor) if name.endswith("_numba")]
    assert twins
    result = run_without(tuple(name for name in HEAVY if name != "numba"), import_each(twins))
    assert result.returncode == 0, result.stderr


def test_scoring_imports_without_torch() -> None:
    result = run_without(HEAVY, "import rft3d.evaluation.score, rft3d.evaluation.stats\n")
    assert result.returncode == 0, result.stderr


def test_floors_do_not_load_heavy_packages_by_themselves() -> None:
    """With everything installed and allowed, importing the light floors still loads nothing heavy."""
    floors = ", ".join(f"rft3d.{floor}" for floor in LIGHT_FLOORS)
    result = run_without((), f"import rft3d, {floors}\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_importing_the_package_loads_no_third_party_code() -> None:
    code = "before = set(sys.modules)\nimport rft3d\nprint(sorted(set(sys.modules) - before))\n"
    result = run_without((), code)
    assert result.stdout.strip() == "['rft3d']", result.stdout + result.stderr
