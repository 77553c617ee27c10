"""The restricted unpickler reads arrays of numbers and plain values and runs nothing else.

The attacks are programs written opcode by opcode (protocol 4), as ``pickle.dumps`` would never write them.
"""

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
    "ordered": OrderedDict(x=1),
    "by column": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    "flags": np.array([True, False]),
    "words": np.array([b"ab", b"c"]),
    "nothing": [None, (), {}, [], np.zeros((0, 3))],
    "twice": [(_ROW := [1.0, 2.5]), _ROW, "a" * 300, 2**63, -1],
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_survive(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(DATA, protocol=protocol))
    back = load_restricted(path)
    assert list(back) == list(DATA) and type(back["scalar"]) is np.float32
    for name, value in DATA.items():
        np.testing.assert_equal(back[name], value)
    for name in ("matrix", "by column", "flags", "words"):
        assert back[name].dtype == DATA[name].dtype and back[name].flags.writeable


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


MINUS_1 = b"J\xff\xff\xff\xff"
FLOATS = b"\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02%b\x89\x88\x87R(K\x03\x8c\x01<NNN" + MINUS_1 * 2 + b"K\x00tb"
"""The type ``%b`` (two letters), as numpy pickles it."""
ARRAY = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01%b%b\x89%btb"
"""An array of state: shape, type, bytes."""


def _array(shape: bytes, dtype: bytes, raw: bytes) -> bytes:
    return ARRAY % (shape, FLOATS % dtype, b"C" + bytes([len(raw)]) + raw)


SHARED = b"\x80\x04]\x94" + b"".join(b"]\x94(h%ch%ce" % (k, k) for k in range(60)) + b"."
ATTACKS = {
    "objects from bytes": (_array(b"K\x01\x85", b"O8", b"\x41" * 8), UnsafePickleError, "type 'O8'"),
    "a struct": (_array(b"K\x01\x85", b"V8", b"\x41" * 8), UnsafePickleError, "type 'V8'"),
    "text of any code": (_array(b"K\x01\x85", b"U2", b"\xff" * 8), ValueError, "no character has"),
    "half of a pair": (_array(b"K\x01\x85", b"U1", b"\x00\xd8\0\0"), ValueError, "no character has"),
    "more items than bytes": (_array(b"K\x09\x85", b"f8", b"\x41" * 8), ValueError, r"8 bytes .*\(9,\)"),
    "fewer items than bytes": (_array(b"K\x01\x85", b"f8", b"\x41" * 16), ValueError, "16 bytes"),
    "a negative size": (
        _array(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86", b"f8", b"\x41" * 8),
        ValueError,
        "-1",
    ),
    "an endless empty shape": (
        _array(b"K\x00J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87K\x01\x85\x86", b"f8", b""),
        ValueError,
        "not a readable",
    ),
    "a shape of a million axes": (
        _array(b"(" + b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" * 400_000 + b"t", b"f8", b""),
        ValueError,
        "without a plain type and shape",
    ),
    "a dtype with a hidden state": (
        b"cnumpy\ndtype\n\x8c\x02f8\x85R(K\x03\x8c\x01|N(\x8c\x01atK\x05tb.",
        ValueError,
        "without its state",
    ),
    "an array without a state": (ARRAY[: ARRAY.index(b"(K\x01")], ValueError, "without its state"),
    "a deep tuple as a key": (b"})" + b"\x85" * 200_000 + b"K\x01s", ValueError, "a tuple as a key"),
    "a deep tuple": (b")" + b"\x85" * 200_000, ValueError, "nested deeper"),
    "a deep list": (b"]" * 200_000 + b"a" * 199_999, ValueError, "nested deeper"),
    "a shared nested list": (SHARED[2:-1], ValueError, "more than 100[0-9]{4} values"),
    "a list in itself": (b"]\x94h\x00ah\x00a", None, ""),
    "a huge declared text": (b"\x8d" + b"\xff" * 7 + b"\x7f", ValueError, "not a readable"),
    "a huge declared integer": (b"\x8b\xff\xff\xff\x7f", ValueError, "not a readable"),
    "an integer of 300 bytes": (b"\x8b\x2c\x01\x00\x00" + b"\x7f" * 300, ValueError, "64 bits"),
    "bytes by number": (b"c__builtin__\nbytes\nJ\x00\x00\x00\x7f\x85R", UnsafePickleError, "bytes of a int"),
    "another codec": (b"c_codecs\nencode\n\x8c\x01a\x8c\x05punyc\x86R", UnsafePickleError, "codec 'punyc'"),
    "the registry": (b"\x82\x01", UnsafePickleError, "opcode EXT1"),
    "a buffer from outside": (b"\x97", UnsafePickleError, "opcode NEXT_BUFFER"),
    "an instance": (b"(ios\nsystem\n", UnsafePickleError, "opcode INST"),
    "a value that isn't there": (b"K\x01\x86", ValueError, "more values than there are"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_end_in_one_line(tmp_path: Path, name: str) -> None:
    program, error, message = ATTACKS[name]
    path = tmp_path / "hostile.pkl"
    path.write_bytes(b"\x80\x04" + program + b".")
    if error is None:
        assert load_restricted(path) == [[], [[]]]  # a copy of what there was, no ring
        return
    with pytest.raises(error, match=message) as caught:
        load_restricted(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 500 + len(str(path))


def test_a_boolean_is_zero_or_one(tmp_path: Path) -> None:
    (tmp_path / "b.pkl").write_bytes(b"\x80\x04" + _array(b"K\x02\x85", b"b1", b"\x7f\x00") + b".")
    assert load_restricted(tmp_path / "b.pkl").view(np.uint8).tolist() == [1, 0]


@pytest.mark.parametrize(
    "program",
    [
        b"]\x94" + b"(" + b"h\x00" * 2000 + b"e",
        b"\x8e\x00\x10\x00\x00\x00\x00\x00\x00" + b"\x41" * 4096 + b"\x94]" + b"h\x00a" * 50,
        b"\x94" * 3000,
    ],
    ids=["containers", "long bytes", "memo"],
)
def test_the_number_of_values_is_bounded(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "many.pkl").write_bytes(b"\x80\x04N" + program + b".")
    with pytest.raises(ValueError, match="more than 2000 values; max_values of"):
        load_restricted(tmp_path / "many.pkl", max_values=2000)
    with pytest.raises(ValueError, match="more than max_bytes=10 of load_restricted"):
        load_restricted(tmp_path / "many.pkl", max_bytes=10)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", pickle.dumps(DATA)[:-40], b"\x80\x04K"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cut.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"cut\.pkl: not a readable pickle"):
        load_restricted(tmp_path / "cut.pkl")
