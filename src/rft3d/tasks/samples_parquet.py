"""Samples as a parquet file: the same fields as the JSON lines, in columns that other tools can read.

    id, task, scene, prompt: text    frames: list of text    truth, meta: JSON as text

``truth`` and ``meta`` differ from task to task, so they stay JSON. The schema's metadata hold ``format`` and
``version``; another version is refused. Needs pyarrow (``pip install '.[data]'``).
"""

# pyright: basic
# (pyarrow has no types)

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rft3d.files import excerpt, replacing
from rft3d.scenes.readers._files import opened_parquet

FORMAT = "rft3d-samples"
VERSION = 1
"""Of the samples schema in ``docs/data.md``; a reader refuses what it doesn't know."""
_JSON = ("truth", "meta")


def write_parquet(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write samples as records; the file appears whole or not at all. Returns how many."""
    import pyarrow as pa

    text = pa.string()
    schema = pa.schema(
        [("id", text), ("task", text), ("scene", text), ("frames", pa.list_(text)), ("prompt", text)]
        + [(name, text) for name in _JSON],
        metadata={"format": FORMAT, "version": str(VERSION)},
    )
    return write_rows(path, (_row(path, record) for record in records), schema)


def write_rows(path: Path, rows: Iterator[dict[str, Any]], schema: Any, at_once: int = 1024) -> int:
    """Write ``rows`` of pyarrow's ``schema`` in groups of ``at_once``, whole or not at all; returns how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    with replacing(path) as unfinished, pq.ParquetWriter(unfinished, schema) as writer:
        while group := list(islice(rows, at_once)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _row(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {
            **record,
            "frames": list(record["frames"]),
            **{name: json.dumps(record[name], allow_nan=False) for name in _JSON},
        }
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: record {record.get('id')!r} can't be written as JSON ({error}); "
            "use plain str, int, finite float, list and dict"
        ) from None


def read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(row from 1, record)`` of a samples file. ValueError: no parquet, no samples, another version."""
    with opened_parquet(path) as (metadata, rows):
        form, version = (metadata.get(key, b"").decode("utf-8", "replace") for key in (b"format", b"version"))
        if (form, version) != (FORMAT, str(VERSION)):
            raise ValueError(
                f"{path}: its metadata must have format {FORMAT!r} and version {VERSION}, got "
                f"{excerpt(form)} and {excerpt(version)}; make the samples again"
            )
        for number, row in enumerate(rows, 1):
            yield number, {**row, **{name: _json(path, number, name, row.get(name)) for name in _JSON}}


def _json(path: Path, number: int, name: str, text: object) -> Any:
    try:
        return json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}:{number}: field {name!r} is not JSON ({excerpt(error)})") from None


def is_samples_parquet(path: Path) -> bool:
    """Whether a parquet file says that it holds samples; False for one that can't be read."""
    try:
        with opened_parquet(path) as (metadata, _):
            return metadata.get(b"format") == FORMAT.encode()
    except ValueError:
        return False
