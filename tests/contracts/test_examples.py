"""The examples in docstrings run, and what ``rft3d`` itself exports has one each."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
from tests.contracts.test_public_names import public

import rft3d
from rft3d.evaluation import Prediction, write_dataset, write_predictions
from rft3d.scenes import iter_rooms
from rft3d.tasks import TASKS, read_samples, write_samples

OBJECTS = {name: next(iter(homes.values())) for name, homes in public().items()}
WITH_EXAMPLE = sorted(
    name for name, each in OBJECTS.items() if isinstance(each, FunctionType) and ">>>" in (each.__doc__ or "")
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with detection samples about two rooms, and ``gold.jsonl`` with the right answers."""
    folder, task = tmp_path_factory.mktemp("examples"), TASKS["detection"]()
    write_dataset(iter_rooms(range(2)), folder, tasks={"detection": task}, with_depth=False)
    samples = list(read_samples(folder / "samples.detection.jsonl"))
    write_samples(folder / "samples.jsonl", samples)
    write_predictions(folder / "gold.jsonl", [Prediction(sample.id, task.gold(sample)) for sample in samples])
    return folder


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_it_does_what_its_docstring_says(name: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    said: list[str] = []
    for test in doctest.DocTestFinder(recurse=False).find(OBJECTS[name], name, globs={"np": np, **OBJECTS}):
        doctest.DocTestRunner().run(test, out=said.append)
    assert not said, "".join(said)


def test_what_the_package_exports_has_an_example() -> None:
    silent = [name for name in rft3d.__all__ if not re.search(r">>>|::\n", OBJECTS[name].__doc__ or "")]
    assert not silent
    assert len(WITH_EXAMPLE) >= 15
