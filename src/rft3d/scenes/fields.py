"""Typed access to untrusted JSON: every complaint names file, field, value and what would be right."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.files import excerpt, read_json

_MOST = 1e100  # beyond it products of finite numbers are none
DATA_ROOT = "RFT3D_DATA_ROOT"
"""Environment variable: the folder within which links are followed out of a scene's own."""


class Fields:
    """One JSON object of a file, and its place in it for messages (``scene.json: frames[3].depth``)."""

    def __init__(self, file: Path, where: str, data: Any) -> None:
        self.file, self.where = file, where
        if not isinstance(data, dict):
            raise self.error("", data, "an object with named fields")
        self.data: dict[str, Any] = data

    def error(self, field: str, value: Any, expected: str) -> ValueError:
        """A complaint about a field; the caller raises it."""
        name = ".".join(part for part in (self.where, field) if part) or "top level"
        return ValueError(f"{self.file}: {name} must be {expected}, got {excerpt(value)}")

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self.data.get(field) is not None

    def get(self, field: str, expected: str) -> Any:
        """The raw value of a field that must exist."""
        if field not in self.data:
            raise self.error(field, "nothing", f"{expected} (the field is missing)")
        return self.data[field]

    def text(self, field: str) -> str:
        """A string that isn't empty."""
        value = self.get(field, "a non-empty string")
        if not isinstance(value, str) or not value:
            raise self.error(field, value, "a non-empty string")
        return value

    def integer(self, field: str, low: int = 0) -> int:
        """A whole number not below ``low``."""
        value = self.get(field, f"a whole number >= {low}")
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.error(field, value, f"a whole number >= {low}")
        return value

    def number(self, field: str) -> float:
        """A finite number."""
        value = self.get(field, "a finite number")
        try:
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
        except OverflowError:  # a whole number of 400 digits
            pass
        raise self.error(field, value, "a finite number")

    def array(self, field: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Nested lists of finite numbers with the given shape; -1 stands for any length."""
        expected = f"finite numbers of shape {list(shape)} (-1: any)"
        out = self._floats(field, expected)
        if out.ndim == len(shape) and all(s in (-1, n) for s, n in zip(shape, out.shape, strict=True)):
            return out
        raise self.error(field, self.data[field], expected)

    def numbers(self, field: str, count: int) -> NDArray[np.float64]:
        """So many finite numbers, however they are nested."""
        out = self._floats(field, expected := f"{count} finite numbers").reshape(-1)
        if len(out) == count:
            return out
        raise self.error(field, self.data[field], expected)

    def integers(self, field: str) -> NDArray[np.int64]:
        """A list of whole numbers that 32 bits hold."""
        out = self.array(field, (-1,))
        if np.any(np.abs(out) >= 2**31):
            raise self.error(field, self.data[field], "whole numbers below 2^31")
        return out.astype(np.int64)

    def _floats(self, field: str, expected: str) -> NDArray[np.float64]:
        value = self.get(field, expected)
        try:
            out = np.array(value, dtype=np.float64)
            if (np.abs(out) < _MOST).all():
                return out
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass
        raise self.error(field, value, expected)

    def records(self, field: str) -> list[Fields]:
        """A list of objects."""
        value = self.get(field, "a list of objects")
        if not isinstance(value, list):
            raise self.error(field, value, "a list of objects")
        name = f"{self.where}.{field}" if self.where else field
        return [Fields(self.file, f"{name}[{k}]", item) for k, item in enumerate(value)]

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of strings; empty where there is none."""
        value = self.data.get(field)
        value = () if value is None else value
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        if not listed or not all(isinstance(text, str) for text in value):
            raise self.error(field, value, "a list of texts, or nothing")
        return tuple(value)

    def mapping(self, field: str) -> dict[str, Any]:
        """An object used as a dictionary."""
        value = self.get(field, "an object")
        if not isinstance(value, dict):
            raise self.error(field, value, "an object")
        return value

    def path(self, field: str) -> Path:
        """An existing file, written relative to the folder of this file: inside it, or below :data:`DATA_ROOT`."""
        name = self.text(field)
        roots = [self.file.parent.resolve()]
        if given := os.environ.get(DATA_ROOT):
            roots.append(Path(given).resolve())
        try:
            path = (roots[0] / name).resolve()
            there = path.is_file()
        except (OSError, ValueError):  # longer than names can be, or with a zero byte
            raise self.error(field, name, "the path of a file") from None
        if not any(path.is_relative_to(root) for root in roots):
            raise self.error(
                field, name, f"a path inside the scene's folder, or below the folder that {DATA_ROOT} names"
            )
        if not there:
            raise self.error(field, name, "an existing file relative to the scene's folder")
        return path


def read_fields(file: Path) -> Fields:
    """The top-level object of a JSON file.

    Raises:
        ValueError: no such file, or not JSON.
    """
    try:
        return Fields(file, "", read_json(file))
    except FileNotFoundError:
        raise ValueError(f"{file}: no such file; a scene folder needs one") from None
