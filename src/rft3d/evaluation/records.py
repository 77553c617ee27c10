"""What evaluation reads and writes: predictions, generations, and JSON lines on disk.

Everything here works without torch. A predictions file is JSON lines, one object a sample:

    {"id": "rooms-7:detection:0", "text": "```json\\n[...]\\n```", "truncated": false, "tokens": 87}

``id`` and ``text`` are required, the rest is optional; other fields are ignored. Other people's names for the
two are read too (:data:`SHAPES`). Samples files are
read by :mod:`rft3d.tasks.samples`; frame paths in them are relative to the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rft3d.files import excerpt, write_text
from rft3d.prompts import Generation, Prompt
from rft3d.scenes.types import Scene
from rft3d.tasks.samples import read_jsonl
from rft3d.tasks.types import Sample

TEXT_FIELDS = ("text", "response", "prediction", "answer", "output", "boxes")
ID_FIELDS = ("id", "sample_id", "question_id")
SHAPES = (
    f"a record needs an id ({', '.join(ID_FIELDS)}) and an answer ({', '.join(TEXT_FIELDS)}: text, or the JSON "
    "itself; for grounding also frame and bbox_3d). Files: JSON lines or a list of such records, {id: answer}, an "
    "lmms-eval log, a VLMEvalKit sheet"
)


class TextPolicy(Protocol):
    """All that evaluation asks of a model; ``rft3d.models.load_policy`` returns one."""

    def sample_texts(
        self,
        prompts: Sequence[Prompt],
        frames: Sequence[Sequence[NDArray[np.uint8]]],
        per: int,
        *,
        max_new_tokens: int,
        seed: int,
        temperature: float,
    ) -> Sequence[Sequence[Generation]]:
        """``per`` completions a prompt, in order; greedy at ``temperature`` 0. ``frames[i]`` are the ``(H, W, 3)``
        uint8 RGB pictures of ``prompts[i]``, one per ``<image>``."""
        ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """One line of a predictions file; ``tokens`` is None when the writer did not count them."""

    id: str
    text: str
    truncated: bool = False
    tokens: int | None = None


def with_cameras(sample: Sample, scene: Scene, frame_refs: Sequence[str]) -> Sample:
    """``sample`` with the cameras of its frames in ``meta``, so that reports can draw its boxes.

    Adds ``meta["intrinsics"]`` (one 3x3 a frame, pixels) and ``meta["T_world_camera"]`` (one 4x4 a frame).
    ``frame_refs[i]`` names ``scene.frames[i]``, as for the task's ``samples``.
    """
    by_ref = dict(zip(frame_refs, scene.frames, strict=True))
    frames = [by_ref[reference] for reference in sample.frames]
    cameras = {
        "intrinsics": [np.asarray(frame.intrinsics, dtype=np.float64).tolist() for frame in frames],
        "T_world_camera": [np.asarray(frame.T_world_camera, dtype=np.float64).tolist() for frame in frames],
    }
    return replace(sample, meta={**sample.meta, **cameras})


def read_predictions(path: str | Path) -> list[Prediction]:
    """The predictions in ``path``, in file order; ValueError names file, line and field of a bad record.

    Examples:
        >>> read_predictions("gold.jsonl")[0].id
        'rooms-0:detection:0'
    """
    return [prediction_of(record, f"{path}:{number}") for number, record in read_jsonl(path)]


def write_predictions(path: str | Path, predictions: Sequence[Prediction]) -> None:
    """Write ``predictions`` as JSON lines, atomically.

    Examples:
        >>> write_predictions("copy.jsonl", read_predictions("gold.jsonl"))
    """
    write_text(path, "".join(map(prediction_line, predictions)))


def prediction_line(prediction: Prediction) -> str:
    """One line of a predictions file, in ASCII (lone surrogates stay escaped)."""
    record = {name: value for name, value in asdict(prediction).items() if value is not None}
    return json.dumps(record, ensure_ascii=True, allow_nan=False) + "\n"


def _text_of(record: Mapping[str, Any], where: str) -> str:
    """The answer in a record; a JSON value is written as text."""
    if "frame" in record and "bbox_3d" in record:
        return json.dumps({"frame": record["frame"], "bbox_3d": record["bbox_3d"]})
    for name in TEXT_FIELDS:
        value = record.get(name)
        if isinstance(value, str):
            return value
        if value is not None:
            return json.dumps(value)
    raise ValueError(f"{where}: no answer among the fields {excerpt(sorted(record), 300)}; {SHAPES}")


def _id_of(record: Mapping[str, Any], where: str) -> str:
    """What a record answers; numbers become text."""
    for name in ID_FIELDS:
        value = record.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    raise ValueError(f"{where}: no id among the fields {excerpt(sorted(record), 300)}; {SHAPES}")


def prediction_of(record: Mapping[str, Any], where: str) -> Prediction:
    """What a record of a predictions file says; ValueError names ``where`` and the field of a bad one."""
    identity, text = _id_of(record, where), _text_of(record, where)
    tokens, truncated = record.get("tokens"), record.get("truncated", False)
    if tokens is not None and not (type(tokens) is int and 0 <= tokens < 10**9):
        raise ValueError(f"{where}: field 'tokens' must be a whole number or absent, got {excerpt(tokens)}")
    if not isinstance(truncated, bool):
        raise ValueError(f"{where}: field 'truncated' must be true or false, got {excerpt(truncated)}")
    return Prediction(identity, text, truncated, tokens)


def agree(answer: str, key: str, within: float = 1e-9) -> bool:
    """Whether two answers are the same text, whatever the case, or numbers that are ``within`` of each other."""
    if answer.strip().casefold() == key.strip().casefold():
        return True
    try:
        return abs(float(answer) - float(key)) <= within
    except ValueError:
        return False
