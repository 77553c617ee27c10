"""Values out of a stranger's JSON or TOML, as the types that a dataclass declares for its fields.

::

    typed(Recipe, tomllib.load(file), "recipe.toml") == Recipe(out=Path("runs/a"), ...)

What cannot be is a ValueError that names the place, the value and what it must be; nothing is executed.
"""

import dataclasses
import difflib
import typing
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeGuard, TypeVar, Union

import numpy as np

from rft3d.files import excerpt, read_json
from rft3d.geometry.rotations import Array

T = TypeVar("T")
_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text", Path: "a path"}
_PLAIN = {**_WORDS, NoneType: "nothing"}


_FILLED = "not empty"
Text = Annotated[str, _FILLED]
_MOST = 1e100  # beyond it products of finite numbers are none


class Numbers(tuple[int, ...]):
    """``Annotated[Array, Numbers((-1, 9))]``: finite numbers of this shape, -1: any length (``Any``: as lists)."""


Matrix3 = Annotated[Array, Numbers((3, 3))]
Matrix4 = Annotated[Array, Numbers((4, 4))]
Matrices4 = Annotated[Array, Numbers((-1, 4, 4))]
Box9 = Annotated[Array, Numbers((9,))]


def typed_file(kind: type[T], path: str | Path) -> T:
    """The JSON file ``path`` as the dataclass ``kind``; fields that it does not have are left out.

    ValueError: no such file, not JSON, or not such a record; names file, field, value and what is right.
    """
    try:
        value = read_json(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    return typed(kind, value, str(path), extra=True)


def typed(kind: Any, value: Any, where: str, *, extra: bool = False) -> Any:
    """``value`` as ``kind``: a dataclass, ``Mapping[str, X]``, ``tuple[X, ...]``, ``Literal``, a union, bool, int,
    float, str, :data:`Text` (not empty), Path, None, Any, an array, or numbers of a shape (:class:`Numbers`).

    A union of dataclasses is told apart by a field ``kind``: ``sft`` for ``SFTConfig``.

    Args:
        where: the file and the field, for messages.
        extra: let fields pass that a dataclass does not have (they are left out).

    Raises:
        ValueError: naming ``where``, the value and what is right.
    """
    if kind in _PLAIN:  # first, since most values are plain
        return _plain(kind, value, where)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where, extra)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        if isinstance(inner[1], Numbers):
            array = numbers(value, where, inner[1])
            return value if inner[0] is Any else array
        if inner[1] is _FILLED and value == "":
            _wrong(where, value, "text that is not empty")
        return typed(inner[0], value, where, extra=extra)  # bounds are checked by the dataclass itself
    if origin is np.ndarray:
        return numbers(value, where)
    if origin in (Union, UnionType):
        return _one_of(inner, value, where, extra)
    if origin is Literal:
        if isinstance(value, str | int) and value in inner:
            return value
        _wrong(where, value, f"one of {', '.join(map(repr, inner))}")
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[1:] == (...,) and isinstance(value, list) else inner
        if not isinstance(value, list) or len(value) != len(kinds):
            _wrong(where, value, "a list" if inner[1:] == (...,) else f"a list of {len(inner)}")
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(typed(each, item, f"{where}[{k}]", extra=extra) for k, (each, item) in pairs)
    if not isinstance(value, dict):  # what is left is Mapping[str, X] or Mapping[int, X]
        _wrong(where, value, "a table of named values")
    if inner[0] is int and not all(str(key).isdecimal() and len(str(key)) < 16 for key in value):
        _wrong(where, value, "a table of numbered values")
    return {inner[0](k): typed(inner[1], each, f"{where}.{k}", extra=extra) for k, each in value.items()}


def is_number(value: object) -> TypeGuard[float]:
    """Whether ``value`` is an int or a finite float, no bool, and not too large to calculate with (1e300)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _plain(kind: Any, value: Any, where: str) -> Any:
    if kind is float and is_number(value):
        return float(value)
    if kind is Path and isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    if kind in (bool, int, str, NoneType) and type(value) is kind:
        return value
    _wrong(where, value, _PLAIN[kind])


def _record(kind: Any, value: Any, where: str, extra: bool) -> Any:
    if not isinstance(value, dict):
        _wrong(where, value, "an object with named fields")
    hints, required = _hints(kind)
    for name in value.keys() - hints.keys() if not extra else ():
        close = difflib.get_close_matches(str(name)[:80], hints, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(hints)}"
        raise ValueError(f"{where} has no field {excerpt(name)}; {hint}")
    for name in required:
        if name not in value:
            raise ValueError(f"{where} lacks the field {name!r}")
    given = {
        name: typed(hints[name], value[name], f"{where}.{name}", extra=extra)
        for name in hints
        if name in value
    }
    try:
        return kind(**given)
    except ValueError as error:
        raise error if where in str(error) else ValueError(f"{where}: {error}") from None


def _one_of(kinds: tuple[Any, ...], value: Any, where: str, extra: bool) -> Any:
    records = [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    named = {kind.__name__.removesuffix("Config").lower(): kind for kind in records}
    if len(named) > 1 and isinstance(value, dict):
        rest = dict(value)
        name = rest.pop("kind", None)
        if not isinstance(name, str) or name not in named:
            _wrong(f"{where}.kind", name, f"one of {', '.join(map(repr, named))}")
        return typed(named[name], rest, where, extra=extra)
    said: list[str] = []
    for kind in kinds:
        try:
            return typed(kind, value, where, extra=extra)
        except ValueError as error:
            said.append(str(error))
    if isinstance(value, list | dict):  # the first kind's complaint names the field inside
        raise ValueError(said[0])
    words = (_PLAIN.get(getattr(kind, "__origin__", kind), "a list or an object") for kind in kinds)
    _wrong(where, value, " or ".join(words))


def numbers(value: Any, where: str, shape: tuple[int, ...] | None = None) -> Array:
    """Nested lists of finite numbers as an array of this shape (-1: any length; None: any shape).

    ValueError: naming ``where`` and the value.
    """
    try:
        array = np.array(value)
        sizes = array.shape if shape is None else shape
        fits = len(sizes) == array.ndim and all(s in (-1, n) for s, n in zip(sizes, array.shape, strict=True))
        if fits and array.dtype.kind in "iuf" and (np.abs(array := array.astype(np.float64)) < _MOST).all():
            return array
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    _wrong(where, value, f"finite numbers{f' of shape {list(shape)} (-1: any)' if shape else ''}")


def _wrong(where: str, value: Any, wanted: str) -> NoReturn:
    raise ValueError(f"{where} is {excerpt(value)}; it must be {wanted}")


@cache
def _hints(kind: Any) -> tuple[dict[str, Any], list[str]]:
    """The type of each field, and the fields without a default."""
    hints, fields = typing.get_type_hints(kind, include_extras=True), dataclasses.fields(kind)
    required = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    return {field.name: hints[field.name] for field in fields}, required
