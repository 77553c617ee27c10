"""Read annotation pickles without running what is in them.

A pickle is a program: it may import any function and call it. Some data sets (EmbodiedScan's infos) exist as
pickles only. The unpickler here builds numpy arrays and Python's own plain values (numbers, text, bytes,
lists, tuples, dicts, sets) and refuses every other name before anything of it runs.
"""

from __future__ import annotations

import importlib
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

_PLAIN: dict[tuple[str, str], Any] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytearray"): bytearray,
    ("builtins", "complex"): complex,
    ("collections", "OrderedDict"): OrderedDict,
}
_NUMPY_TYPES = ("ndarray", "dtype")
_NUMPY_FUNCTIONS = {
    "multiarray": ("_reconstruct", "scalar"),
    "numeric": ("_frombuffer",),
}
"""What pickles of arrays and array scalars call; ``numpy.core`` until numpy 2, ``numpy._core`` since."""


class UnsafePickleError(ValueError):
    """The pickle asks for something else than numpy arrays and plain values."""


def load_restricted(path: Path | str) -> Any:
    """The one value in the pickle file ``path``, made of numpy arrays and plain values only.

    Raises:
        UnsafePickleError: it names anything else; nothing of it has been called.
        ValueError: no pickle, or cut off.
        FileNotFoundError: no such file.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            return _Restricted(file, path).load()
        except UnsafePickleError:
            raise
        except (
            pickle.UnpicklingError,
            EOFError,
            AttributeError,  # opcodes on a value of the wrong type
            IndexError,
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
            MemoryError,
            zlib.error,
        ) as error:
            raise ValueError(
                f"{path}: not a readable pickle ({type(error).__name__}: {error}); a file that was cut off "
                "or is a Git LFS pointer looks like this, download it again"
            ) from None


class _Restricted(pickle.Unpickler):
    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="latin1")  # arrays that Python 2 wrote
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """The object for an allowed name; raises for every other one before it is imported."""
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        if module == "numpy" and name in _NUMPY_TYPES:
            return getattr(importlib.import_module("numpy"), name)
        for core in ("numpy.core.", "numpy._core."):
            part = module.removeprefix(core)
            if part != module and name in _NUMPY_FUNCTIONS.get(part, ()):
                return _numpy_function(part, name)
        raise UnsafePickleError(
            f"{self._path}: this pickle wants {module}.{name}, which data has no need of; only numpy arrays "
            "and plain Python values are read. Do not open the file otherwise unless you trust who made it"
        )

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError(f"{self._path}: this pickle refers to something outside the file ({pid!r})")


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """How protocol 2 writes bytes; no other codec is needed."""
    if encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"this pickle asks for the codec {encoding!r}; only latin1 is read")
    return text.encode("latin1")


def _numpy_function(part: str, name: str) -> Callable[..., Any]:
    return getattr(importlib.import_module(f"numpy._core.{part}"), name)
