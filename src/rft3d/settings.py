"""Which values settings may have: said by the type of a field, checked in one place.

::

    @dataclass(frozen=True)
    class Config(Checked):
        steps: Count = 10
        rates: Mapping[str, Share] = field(default_factory=dict)

Imports nothing of ours.
"""

import dataclasses
import functools
import importlib.util
import math
import types
import typing
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union

T = TypeVar("T")


class Bounds(NamedTuple):
    """``least <= value <= most``; ``open``: ``least`` itself is not in it."""

    least: float
    most: float = math.inf
    open: bool = False

    def __str__(self) -> str:
        least = f"above {self.least:g}" if self.open else f"at least {self.least:g}"
        return least if self.most == math.inf else f"{least} and at most {self.most:g}"


Count = Annotated[int, Bounds(1)]
"""1, 2, 3, ..."""
Natural = Annotated[int, Bounds(0)]
Positive = Annotated[float, Bounds(0, open=True)]
NotNegative = Annotated[float, Bounds(0)]
Share = Annotated[float, Bounds(0, 1)]


class Checked:
    """A dataclass that refuses values which its fields' types exclude; numbers are finite.

    Raises:
        ValueError: naming class, field, value and what it must be.
    """

    def __post_init__(self) -> None:
        for name, wanted in _types(type(self)).items():
            _check(f"{type(self).__name__}.{name}", getattr(self, name), wanted)


@functools.cache
def _types(kind: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]


def _check(name: str, value: Any, wanted: Any, bounds: Bounds | None = None) -> None:
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Annotated:
        found = next((each for each in wanted.__metadata__ if isinstance(each, Bounds)), None)
        _check(name, value, inner[0], found)
    elif origin is Literal:
        if value not in inner:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, inner))}, got {value!r}")
    elif origin in (Union, types.UnionType):
        if value is not None and len(others := [each for each in inner if each is not types.NoneType]) == 1:
            _check(name, value, others[0])
    elif origin is not None and isinstance(value, Mapping):
        for key, each in value.items():
            _check(f"{name}[{key!r}]", each, inner[1])
    elif origin is tuple and isinstance(value, Sequence):
        for number, each in enumerate(value):
            _check(f"{name}[{number}]", each, inner[0] if inner[-1] is Ellipsis else inner[number])
    elif wanted in (int, float):
        whole = wanted is int
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            raise ValueError(f"{name} must be {'a whole number' if whole else 'a number'}, got {value!r}")
        try:
            finite = math.isfinite(value)
        except OverflowError:  # a whole number that no float holds
            finite = False
        if not finite:
            raise ValueError(f"{name} must be a finite number, got {value!r:.80}")
        least, most, exclusive = bounds or (-math.inf, math.inf, False)
        if not least <= float(value) <= most or (exclusive and value == least):
            raise ValueError(f"{name} must be {bounds}, got {value}")


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested JSON as dotted names (``stages.0.steps``); empty lists and objects stay as they are."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    flat: dict[str, Any] = {}
    for key, item in items:
        name = f"{prefix}.{key}" if prefix else str(key)
        flat.update(flatten(item, name) if isinstance(item, dict | list) and item else {name: item})
    return flat


def differing(found: Any, wanted: Any) -> list[str]:
    """Dotted names of what differs between two JSON values."""
    own, other = flatten(found), flatten(wanted)
    names = dict.fromkeys([*own, *other])
    return [n for n in names if n not in own or n not in other or own[n] != other[n]]


def config_in(path: Path, kind: type[T]) -> T:
    """What ``config()`` of the Python file ``path`` returns (it is executed); ValueError: no ``kind``."""
    spec = importlib.util.spec_from_file_location(f"rft3d_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a recipe: a .py file with 'def config() -> {kind.__name__}' is")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(make := getattr(module, "config", None)):
        raise ValueError(f"{path} has no function 'config'; write 'def config() -> {kind.__name__}'")
    if not isinstance(made := make(), kind):
        raise ValueError(f"{path}: config() returned a {type(made).__name__}; it must be a {kind.__name__}")
    return made
