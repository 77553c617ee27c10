"""Ways to damage a file: its bytes, or the values of its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    float("inf"),
    float("nan"),
    10**400,
    "",
    "x",
    "[red]\x00",
    [],
    {},
)
ODD += ([[]], {"a": 1}, "../../etc/passwd", "A" * 10_000, [1, 2, 3], "7")


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Some bytes changed, cut out, repeated or inserted, or the end gone."""
    kind = random.integers(5)
    a, b = sorted(random.integers(0, len(data) + 1, 2).tolist())
    if kind == 0:
        return data[:a]
    if kind == 1:
        return data[:a] + data[b:]
    if kind == 2:
        return data[:a] + random.bytes(int(random.integers(1, 9))) + data[a:]
    if kind == 3:
        return data[: min(b, a + 5000)] + data[a:]
    changed = bytearray(data)
    for place in random.integers(0, max(1, len(data)), int(random.integers(1, 6))):
        if len(data):
            changed[place] = random.integers(256)
    return bytes(changed)


def odd_json(text: str, random: np.random.Generator) -> str:
    """One value somewhere in the first JSON object of ``text`` replaced by an odd one, or left out."""
    first, *rest = (
        text.split("\n") if text.count("\n") and text.lstrip()[:1] == "{" and text[1] != "\n" else [text]
    )
    value = json.loads(first)
    inner, holder, key = value, None, None
    while isinstance(inner, dict | list) and inner and (holder is None or random.random() < 0.8):
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        holder, key = inner, keys[random.integers(len(keys))]
        inner = holder[key]
    if holder is None or random.random() < 0.2:
        value = ODD[random.integers(len(ODD))]
    elif random.random() < 0.2:
        del holder[key]
    else:
        holder[key] = ODD[random.integers(len(ODD))]
    return "\n".join([json.dumps(value), *rest])


def attacks(file: Path, whole: bytes, random: np.random.Generator) -> Iterator[bytes]:
    """Damaged contents of ``file``, which was ``whole``, without end."""
    while True:
        try:
            json_like = file.suffix in (".json", ".jsonl") and random.random() < 0.6
            yield odd_json(whole.decode(), random).encode() if json_like else damaged(whole, random)
        except ValueError:  # this file's lines are no JSON
            yield damaged(whole, random)
