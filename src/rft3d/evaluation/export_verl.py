"""Samples and rewards for verl: a parquet file of its columns, and a ``compute_score`` that is our task's.

::

    OUT/train.parquet   a row a sample: data_source, prompt, images, ability, reward_model, extra_info
    OUT/reward.py       give it as reward.custom_reward_function.path, with .name=compute_score

verl (0.9) asks its reward function once a completion, by keyword, and collects the same keys from all of
them; so every task returns the same five. rft3d must be installed where verl's reward workers run; no
torch is needed there. verl does not say whether a completion was cut off: a truncated one is read as it is.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from rft3d import files
from rft3d.prompts import SYSTEM
from rft3d.scenes.sources import frame_file, load_frame_ref, picture_folders
from rft3d.tasks import make_task
from rft3d.tasks.samples import read_samples, sample_from_record
from rft3d.tasks.types import Task
from rft3d.typed import typed

ROWS_AT_ONCE = 64
"""Few, so that pictures do not pile up in memory."""
REWARD_FILE = '''"""For verl: reward.custom_reward_function.path=<this file>, .name=compute_score"""

from rft3d.evaluation.export_verl import compute_score

__all__ = ["compute_score"]
'''


def export_verl(
    samples_path: str | Path,
    out: str | Path,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    embed: bool = True,
    pictures: str | Path | None = None,
    told: Callable[[str], object] = lambda line: None,
) -> int:
    """Write ``OUT/train.parquet`` and ``OUT/reward.py``, each whole or not at all; returns how many samples there
    are.

    ``options``: of tasks, as in a recipe; they travel with every row. ``embed``: put the pictures into the rows as
    PNG (also frames of procedural rooms), not their absolute paths, which must exist where verl runs.
    ``pictures``: a folder besides that of the samples file in which they may lie. ``told``: gets a line about
    every sample that a damaged picture leaves out.

    ValueError: no samples, a picture is missing or lies elsewhere, or a room's frame while ``embed`` is off.
    """
    samples_path, out = Path(samples_path), Path(out)
    for name, own in (options or {}).items():
        make_task(name, options=own)  # a wrong option is named before anything is written
    out.mkdir(parents=True, exist_ok=True)
    inside = picture_folders(samples_path.parent, pictures)
    count = _write_rows(out / "train.parquet", _rows(samples_path, options or {}, embed, inside, told), embed)
    files.write_text(out / "reward.py", REWARD_FILE)
    return count


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **_: Any,
) -> dict[str, float]:
    """verl's reward contract for one completion; the same total as in our own training.

    Returns ``score`` (the total), ``content`` (its share without the format mark), ``format``,
    ``parse_failure`` and ``parts`` (how many there were): the same keys for every task.
    """
    record = json.loads(ground_truth)
    sample = sample_from_record(record["sample"], "ground_truth")
    score = _task(sample.task, json.dumps(record["options"], sort_keys=True)).score(solution_str, sample)
    marks = [part for part in score.parts if part.name == "format"]
    return {
        "score": float(score.total),
        "content": float(score.total - sum(part.value * part.weight for part in marks)),
        "format": float(marks[0].value) if marks else 0.0,
        "parse_failure": float(score.failure is not None),
        "parts": float(len(score.parts)),
    }


def read_options(text: str) -> Mapping[str, Mapping[str, Any]]:
    """Options of tasks from JSON text; ValueError where it is not JSON of that form."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--options is not JSON: {error}") from None
    return typed(Mapping[str, Mapping[str, Any]], found, "--options")


@lru_cache(maxsize=64)
def _task(name: str, options: str) -> Task:
    return make_task(name, options=json.loads(options))


def _rows(
    samples_path: Path,
    options: Mapping[str, Mapping[str, Any]],
    embed: bool,
    inside: tuple[Path, ...],
    told: Callable[[str], object],
) -> Iterator[dict[str, Any]]:
    read = lru_cache(maxsize=256)(_png if embed else _path)
    index, split = -1, samples_path.stem
    for index, sample in enumerate(read_samples(samples_path)):
        own = dict(options.get(sample.task, {}))
        task = _task(sample.task, json.dumps(own, sort_keys=True))
        task.gold(sample)  # a damaged truth is named here, not on a reward worker
        try:
            with files.naming(f"sample {sample.id!r}"):
                images = [{"bytes" if embed else "image": read(ref, inside)} for ref in sample.frames]
        except files.DamagedFile as error:
            told(f"{error}; it is left out")
            continue
        truth = {"sample": asdict(sample), "options": own}  # no free objects
        yield {
            "data_source": f"rft3d/{sample.task}",
            "prompt": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": sample.prompt}],
            "images": images,
            "ability": sample.task,
            "reward_model": {"style": "rule", "ground_truth": json.dumps(truth, allow_nan=False)},
            "extra_info": {"index": index, "id": sample.id, "scene": sample.scene, "split": split},
        }
    if index < 0:
        raise ValueError(f"{samples_path} holds no samples; one JSON object a line is needed")


def _path(ref: str, inside: tuple[Path, ...]) -> str:
    if ref.startswith("rooms:"):
        raise ValueError(f"{ref} is not a picture file; embed the pictures instead")
    return str(frame_file(ref, inside[0], inside).resolve())


def _png(ref: str, inside: tuple[Path, ...]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(load_frame_ref(ref, inside[0], inside=inside)).save(buffer, format="PNG")
    return buffer.getvalue()


def _write_rows(path: Path, rows: Iterator[dict[str, Any]], embed: bool) -> int:
    """Write ``rows``, whole or not at all; returns how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, count = pa.string(), 0
    columns = {
        "data_source": text,
        "prompt": pa.list_(pa.struct({"role": text, "content": text})),
        "images": pa.list_(pa.struct({"bytes": pa.binary()} if embed else {"image": text})),
        "ability": text,
        "reward_model": pa.struct({"style": text, "ground_truth": text}),
        "extra_info": pa.struct({"index": pa.int64(), "id": text, "scene": text, "split": text}),
    }
    schema = pa.schema(columns)  # spelled out: a first batch without pictures must not decide their type
    with files.replacing(path) as unfinished, pq.ParquetWriter(unfinished, schema) as writer:
        while group := list(islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count
