"""Compiled functions: numba with its cache on disk, where there is a place to write one."""

from collections.abc import Callable
from typing import Any


def compiled(*signature: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``numba.njit`` without Python's zero-division checks and without the interpreter lock.

    Where no folder can hold compiled code, functions are compiled anew in every process.
    """
    import numba  # lazy: half a second

    njit: Any = numba.njit
    options = {"error_model": "numpy", "nogil": True, **options}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(*signature, cache=True, **options)(function)
        except RuntimeError:  # "cannot cache function"
            return njit(*signature, **options)(function)

    return decorate
