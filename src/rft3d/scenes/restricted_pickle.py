"""Read annotation pickles without running what is in them.

A pickle is a program that may call any function and hand numpy a state of its own choice, and some data sets
(EmbodiedScan's infos) exist as pickles only. Here the few opcodes that data needs are interpreted in Python:
``pickle`` is never asked, nothing is imported, and an array is made of the file's bytes only when its type is
plain numbers and its shape accounts for every byte. What the file refers to twice is there twice, and counted
twice, so that a few hundred bytes cannot stand for billions of values.
"""

import math
import pickletools
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.files import excerpt

_MAX_DEPTH, _MAX_AXES = 64, 16
_KEYS = (type(None), bool, int, float, str, bytes, np.generic)
_DATA = (*_KEYS, list, tuple, dict, bytearray, np.ndarray)
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU][1-9][0-9]{0,4}")
_NUMPY = re.compile(r"^numpy\._?core\.(multiarray|numeric)\.")


class UnsafePickleError(ValueError):
    """The pickle asks for something else than arrays of numbers and plain values."""


def load_restricted(path: Path | str, *, max_bytes: int = 2 << 30, max_values: int = 150_000_000) -> Any:
    """The one value in a pickle file: None, numbers, text, bytes, lists, tuples, dicts, arrays of numbers.

    Raises:
        UnsafePickleError: it names anything else; nothing of it has been called.
        ValueError: no pickle, cut off, nested deeper than 64, or beyond a limit. A value is counted for every
            64 bytes of memory; a file may also hold no more than eight for each of its bytes and a million.
        FileNotFoundError: no such file.
    """
    path = Path(path)
    if (size := path.stat().st_size) > max_bytes:
        raise ValueError(f"{path}: {size} bytes are more than max_bytes={max_bytes} of load_restricted")
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd escapes in text
            return _checked(_Machine(max_values).run(path.read_bytes()))
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path}: this pickle wants {error}, which data has no need of; only arrays of numbers and plain "
            "Python values are read. Do not open the file otherwise unless you trust who made it"
        ) from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError) as error:
        said = f"{path}: not a readable pickle ({type(error).__name__}: {excerpt(error)})"
        raise ValueError(f"{said}; one that was cut off or is a Git LFS pointer? Download it again") from None


class _Call:
    """What makes a value of its arguments: a name of :data:`_NAMES`, or an array that waits for its state."""

    def __init__(self, build: Callable[..., Any]) -> None:
        self.build, self.value = build, None


class _Machine:
    def __init__(self, max_values: int) -> None:
        self.max_values = max_values
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        self.max_values = self.left = min(self.max_values, 1_000_000 + 8 * len(data))
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in _OPCODES:
                raise UnsafePickleError(f"the opcode {opcode.name}")
            _OPCODES[opcode.name](self, argument)
        return self.stack.pop()

    def count(self, value: Any) -> None:
        if isinstance(value, int) and value.bit_length() > 64:
            raise ValueError("a whole number of more than 64 bits")
        size = len(value) if isinstance(value, str | bytes | bytearray) else getattr(value, "nbytes", 1)
        self.left -= 4 if isinstance(value, list | tuple | dict) else 1 + size // 64
        if self.left < 0:
            raise ValueError(f"more than {self.max_values} values; max_values of load_restricted sets it")

    def push(self, value: Any) -> None:
        self.count(value)
        self.stack.append(value)

    def cut(self, count: int | None = None) -> list[Any]:
        """The last ``count`` values, or those since the last mark, taken from the stack."""
        start = self.marks.pop() if count is None else len(self.stack) - count
        if start < 0:
            raise IndexError("an opcode wants more values than there are")
        items, self.stack[start:] = self.stack[start:], []
        return items

    def remember(self, key: int | None) -> None:
        self.count(None)
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def recall(self, value: Any, depth: int = _MAX_DEPTH) -> Any:
        """What the memo holds, containers as trees of their own."""
        self.count(value)
        if not isinstance(value, list | tuple | dict):
            return value.value if isinstance(value, _Call) and value.value is not None else value
        if depth == 0:
            raise ValueError(f"nested deeper than {_MAX_DEPTH}")
        if isinstance(value, dict):
            return {key: self.recall(item, depth - 1) for key, item in value.items()}
        return type(value)(self.recall(item, depth - 1) for item in value)

    def extend(self, items: list[Any]) -> None:
        list.extend(self.stack[-1], items)

    def update(self, items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise TypeError(f"a {type(key).__name__} as a key; keys are numbers, text or bytes")
            dict.__setitem__(self.stack[-1], key, value)

    def name(self, words: list[Any]) -> None:
        full = ".".join(word if isinstance(word, str) else "?" for word in words)
        full = _NUMPY.sub("numpy.", full.replace("__builtin__", "builtins"))
        if full not in _NAMES:
            raise UnsafePickleError(excerpt(full, 200).strip("'"))
        self.push(_Call(_NAMES[full]))

    def call(self, keep: bool = False) -> None:
        call, arguments = self.cut(2)
        made = call.build(*arguments)
        call.value = made if keep else call.value
        self.push(made)


def _checked(value: Any, depth: int = _MAX_DEPTH) -> Any:
    if depth == 0 or not isinstance(value, _DATA):
        raise ValueError(f"an array without its state, or nested deeper than {_MAX_DEPTH}")
    if isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _checked(item, depth - 1)
    return value


def _dtype(code: Any, *_: Any) -> _Call:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise UnsafePickleError(f"an array of type {excerpt(code)}")
    return _Call(lambda _, order, *rest: np.dtype((">" if order in (">",) else "<") + code))


def _array(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> Any:
    plain = isinstance(dtype, np.dtype) and isinstance(shape, tuple) and len(shape) <= _MAX_AXES
    if not plain or not all(type(n) is int for n in shape):
        raise TypeError("an array without a plain type and shape")
    data = _bytes(raw)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes for an array of shape {excerpt(shape)} and type {dtype}")
    if dtype.kind == "U":
        codes = np.frombuffer(data, dtype.byteorder.replace("=", "<") + "u4")
        if ((codes > 0x10FFFF) | (codes >> 11 == 0x1B)).any():  # beyond Unicode, or half of a pair
            raise ValueError("text with a code that no character has")
    array = np.frombuffer(data, np.uint8) != 0 if dtype.kind == "b" else np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if order in ("F", True) else "C").copy(order="K")


def _bytes(value: Any = b"", codec: Any = "latin1") -> bytes:
    """Protocol 2 and Python 2 write bytes as text."""
    if not isinstance(value, str | bytes | bytearray) or codec not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"bytes of a {type(value).__name__} by the codec {excerpt(codec)}")
    return value.encode("latin1") if isinstance(value, str) else bytes(value)


_NAMES: dict[str, Callable[..., Any]] = {
    "builtins.bytes": _bytes,
    "_codecs.encode": _bytes,
    "collections.OrderedDict": lambda: {},
    "numpy.dtype": _dtype,
    "numpy.ndarray": lambda: None,  # only named, by _reconstruct
    "numpy._reconstruct": lambda *_: _Call(lambda _, size, kind, order, raw: _array(raw, kind, size, order)),
    "numpy.scalar": lambda dtype, raw: _array(raw, dtype, ())[()],
    "numpy._frombuffer": _array,
}
_PUSHED = "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE \
BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
_OPCODES: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, x: None),
    **dict.fromkeys(_PUSHED.split(), _Machine.push),
    **dict.fromkeys(("MEMOIZE", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, x: m.stack.append(m.recall(m.memo[x]))),
    **{name: lambda m, x, value=value: m.push(value) for name, value in _CONSTANTS.items()},
    "EMPTY_LIST": lambda m, x: m.push([]),
    "EMPTY_DICT": lambda m, x: m.push({}),
    "MARK": lambda m, x: m.marks.append(len(m.stack)),
    "TUPLE": lambda m, x: m.push(tuple(m.cut())),
    **{f"TUPLE{count}": lambda m, x, count=count: m.push(tuple(m.cut(count))) for count in (1, 2, 3)},
    "APPEND": lambda m, x: m.extend(m.cut(1)),
    "APPENDS": lambda m, x: m.extend(m.cut()),
    "SETITEM": lambda m, x: m.update(m.cut(2)),
    "SETITEMS": lambda m, x: m.update(m.cut()),
    "GLOBAL": lambda m, x: m.name(x.split(" ")),
    "STACK_GLOBAL": lambda m, x: m.name(m.cut(2)),
    "REDUCE": lambda m, x: m.call(),
    "BUILD": lambda m, x: m.call(keep=True),
}
