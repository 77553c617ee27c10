"""The restricted unpickler reads arrays and plain values and runs nothing else."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rft3d.scenes.restricted_pickle import UnsafePickleError, load_restricted

DATA = {
    "matrix": np.arange(12.0).reshape(3, 4),
    "scalar": np.float32(1.5),
    "names": ["a", "ü", b"bytes"],
    "set": {1, 2},
    "ordered": OrderedDict(x=1),
    "ragged": np.array([np.arange(2), np.arange(3)], dtype=object),
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_survive(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(DATA, protocol=protocol))
    back = load_restricted(path)
    assert back.keys() == DATA.keys() and back["names"] == DATA["names"] and back["set"] == {1, 2}
    np.testing.assert_array_equal(back["matrix"], DATA["matrix"])
    assert back["scalar"] == 1.5 and back["ordered"] == {"x": 1} and len(back["ragged"][1]) == 3


def test_old_numpy_names_are_read(tmp_path: Path) -> None:
    raw = pickle.dumps({"m": np.eye(2)}, protocol=2).replace(b"numpy._core.", b"numpy.core.")
    (tmp_path / "old.pkl").write_bytes(raw)
    np.testing.assert_array_equal(load_restricted(tmp_path / "old.pkl")["m"], np.eye(2))


class _Evil:
    def __init__(self, call: tuple[Any, tuple[Any, ...]]) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        (os.system, ("touch HERE",)),
        (eval, ("1 + 1",)),
        (getattr, ("x", "upper")),
        (np.load, ("x.npy",)),
        (Path, ("x",)),
        (pickle.loads, (b"N.",)),
    ],
)
def test_everything_else_is_refused_before_it_runs(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps([1, _Evil(call)]))
    with pytest.raises(UnsafePickleError, match=r"evil\.pkl: this pickle wants"):
        load_restricted(path)
    assert not (tmp_path / "HERE").exists()


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", pickle.dumps(DATA)[:-40], b"\x80\x04K"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cut.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"cut\.pkl: not a readable pickle"):
        load_restricted(tmp_path / "cut.pkl")
