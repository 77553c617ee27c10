"""What the parsers share: bounds on hostile text, excerpts, and bounded JSON.

A model's text is wild: megabytes of one token, brackets nested ten thousand deep, ``1e999``, lone
surrogates. Every bound here is checked *before* the expensive step it protects, so the worst text
costs milliseconds. Inside this package a text that cannot be read raises :class:`Unreadable`; the
public parsers turn that into a :class:`~rft3d.answers.types.ParseFailure`, so nothing escapes.
"""

import json
import math
import re
from typing import Any, cast

MAX_TEXT_CHARS = 1_000_000
"""Longer texts are not even searched for tags."""
MAX_ANSWER_CHARS = 65_536
"""Longer answers are not read; about 700 boxes in the gold layout, far above any real answer."""
MAX_DEPTH = 8
"""Deepest JSON nesting that is handed to ``json`` (a detection list needs 3)."""
EXCERPT_CHARS = 120

# Strings are skipped whole, so brackets inside labels don't count. The quantifiers are possessive and
# the closing quote optional: a match never backtracks, which keeps an unclosed string linear.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[\[\]{}]', re.DOTALL)


class Unreadable(Exception):
    """The text holds no answer; the message is the reason that a ``ParseFailure`` will carry."""


def quoted(text: object) -> str:
    """At most 120 printable characters: the whole text, or its head and tail around an ellipsis."""
    if not isinstance(text, str):
        return type(text).__name__
    if len(text) > EXCERPT_CHARS:
        half = (EXCERPT_CHARS - 3) // 2
        text = f"{text[:half]} … {text[-half:]}"
    return "".join(char if char.isprintable() else " " for char in text)


def value_end(text: str, start: int) -> int:
    """Index just past the JSON list or object that opens at ``text[start]``.

    Only brackets are counted, ``json`` judges the rest. Raises :class:`Unreadable` when the value
    never closes (a truncated answer) or nests deeper than :data:`MAX_DEPTH`.
    """
    depth = 0
    for match in _TOKEN.finditer(text, start):
        char = text[match.start()]
        if char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Unreadable(f"nested deeper than {MAX_DEPTH} levels")
        elif char in "]}":
            depth -= 1
            if depth == 0:
                return match.end()
    raise Unreadable(f"no closing {']' if text[start] == '[' else '}'}")


def _parse_int(digits: str) -> int | float:
    # int() of thousands of digits raises or takes quadratic time; such a number overflows to inf here
    # and is then refused as not finite.
    return int(digits) if len(digits) <= 18 else float(digits)


def _refuse_constant(name: str) -> float:
    raise Unreadable(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Unreadable("an object has the same key twice")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_int=_parse_int, parse_constant=_refuse_constant
)


def load_json(text: str) -> Any:
    """Decode ``text``, a complete JSON list or object whose brackets :func:`value_end` has checked."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"not valid JSON: {error.msg} (character {error.pos})") from None


def nine_numbers(value: object) -> tuple[float, ...]:
    """``value`` as a 9-DoF box; Unreadable says what is wrong with it."""
    if not isinstance(value, list):
        raise Unreadable(f'"bbox_3d" must be a list of nine numbers, got {_json_type(value)}')
    numbers = cast("list[Any]", value)
    if len(numbers) != 9:
        raise Unreadable(f'"bbox_3d" must be nine numbers, got {len(numbers)}')
    for index, number in enumerate(numbers):
        # bool is a subclass of int in Python, but true is not a coordinate.
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Unreadable(f'"bbox_3d"[{index}] must be a number, got {_json_type(number)}')
        if not math.isfinite(number):
            raise Unreadable(f'"bbox_3d"[{index}] is not finite')
    return tuple(float(number) for number in numbers)


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    names = {"bool": "a boolean", "int": "a number", "float": "a number", "str": "a string", "list": "a list"}
    return names.get(type(value).__name__, "an object")


def require_keys(entry: object, keys: tuple[str, str], exact: bool) -> dict[str, Any]:
    """``entry`` as an object that has ``keys`` (and with ``exact`` no others)."""
    if not isinstance(entry, dict):
        raise Unreadable(f"must be a JSON object, got {_json_type(entry)}")
    found = cast("dict[str, Any]", entry)
    for key in keys:
        if key not in found:
            raise Unreadable(f'has no "{key}"')
    if exact and len(found) != len(keys):
        extra = next(key for key in found if key not in keys)
        raise Unreadable(f"has a key that was not asked for: {quoted(extra[:40])!r}")
    return found
