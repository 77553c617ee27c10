"""What a user may call: the names that packages list in ``__all__`` (docs/floors.md). Few, each with one meaning.

``python -m tests.contracts.test_public_names`` prints them.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from types import FunctionType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "rft3d",
    "rft3d.geometry",
    "rft3d.answers",
    "rft3d.scenes",
    "rft3d.rewards",
    "rft3d.prompts",
    "rft3d.tasks",
    "rft3d.models",
    "rft3d.training",
    "rft3d.pretraining",
    "rft3d.cost",
    "rft3d.evaluation",
    "rft3d.datasets",
    "rft3d.report",
    "rft3d.experiments",
)
MOST = 300


def public() -> dict[str, dict[str, object]]:
    """``{name: {package: object}}`` of all public names."""
    found: dict[str, dict[str, object]] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            found.setdefault(name, {})[package] = getattr(module, name)
    return found


def test_there_are_few_and_each_means_one_thing() -> None:
    found = public()
    assert len(found) <= MOST, f"{len(found)} public names"
    twice = {
        name: sorted(homes)
        for name, homes in found.items()
        if any(each is not next(iter(homes.values())) for each in homes.values())
    }
    assert not twice, f"one name for two things: {twice}"


def test_functions_and_classes_say_what_they_do() -> None:
    silent = [
        f"{package}.{name}"
        for name, homes in public().items()
        for package, each in homes.items()
        if isinstance(each, (type, FunctionType)) and not (getattr(each, "__doc__", None) or "").strip()
    ]
    assert not silent, f"public without a docstring: {silent}"


def imports_of(source: str) -> list[tuple[str, str]]:
    """(module, name) of every import of ours."""
    return [
        (node.module or "", alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rft3d"
        for alias in node.names
    ]


def sources() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [
        (f"{page.name} block {index}", block)
        for page in pages
        for index, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    ]
    return blocks + [(path.name, path.read_text()) for path in sorted((ROOT / "examples").glob("*.py"))]


@pytest.mark.parametrize(("where", "source"), sources(), ids=[name for name, _ in sources()])
def test_examples_and_pages_need_nothing_else(where: str, source: str) -> None:
    found = public()
    private = [
        f"from {module} import {name}"
        for module, name in imports_of(source)
        if module not in found.get(name, {})
    ]
    assert not private, f"{where} imports what is not public: {private}"


if __name__ == "__main__":
    names = public()
    for package in PACKAGES:
        print(package, *sorted(name for name, homes in names.items() if package in homes))
    print(len(names), "public names")
