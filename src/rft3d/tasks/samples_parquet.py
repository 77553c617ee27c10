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

from rft3d.files import replacing

FORMAT = "rft3d-samples"
VERSION = 1
"""Of the samples schema in ``docs/data.md``; a reader refuses what it doesn't know."""
_BATCH = 1024
_JSON = ("truth", "meta")


def write_parquet(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write samples as records, a row group a thousand; the file appears whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    schema = pa.schema(
        [("id", text), ("task", text), ("scene", text), ("frames", pa.list_(text)), ("prompt", text)]
        + [(name, text) for name in _JSON],
        metadata={"format": FORMAT, "version": str(VERSION)},
    )
    rows, count = (_row(path, record) for record in records), 0
    with replacing(path) as unfinished, pq.ParquetWriter(unfinished, schema) as writer:
        while group := list(islice(rows, _BATCH)):
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
    import pyarrow
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            known = {
                key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()
            }
            if known.get("format") != FORMAT or known.get("version") != str(VERSION):
                raise ValueError(
                    f"{path}: its metadata must have format {FORMAT!r} and version {VERSION}, got "
                    f"{known.get('format')!r} and {known.get('version')!r}; make the samples again"
                )
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield (
                        number,
                        {**row, **{name: _json(path, number, name, row.get(name)) for name in _JSON}},
                    )
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path}: not a readable parquet file ({error}); make the samples again") from None


def _json(path: Path, number: int, name: str, text: object) -> Any:
    try:
        return json.loads(str(text))
    except ValueError as error:
        raise ValueError(f"{path}:{number}: field {name!r} is not JSON ({error})") from None


def is_samples_parquet(path: Path) -> bool:
    """Whether a parquet file says that it holds samples; False for one that can't be read."""
    import pyarrow
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pyarrow.ArrowException, OSError):
        return False
    return metadata.get(b"format") == FORMAT.encode()
