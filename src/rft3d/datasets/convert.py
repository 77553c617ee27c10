"""Records of other people's files as samples: VG-LLM's JSONs, VLM-3R, SpaceR, VSI-Bench.

A record that is already a question keeps its own words; only the placeholders of frames are set. What
cannot become a sample is left out with a reason, never replaced by another one.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

from rft3d.prompts import IMAGE
from rft3d.scenes.readers.records import ChatRecord, QuestionRecord
from rft3d.tasks.spatial.questions import NUMERIC_TYPES, QUESTION_TYPES
from rft3d.tasks.spatial.solve import Place, Unsolved
from rft3d.tasks.spatial.task import AFTER_NUMBER, BEFORE, spatial_prompt
from rft3d.tasks.spatial.thoughts import work_out
from rft3d.tasks.spatial.view import read_question
from rft3d.tasks.types import Sample

Answers = Literal["direct", "think", "think-prompt"]
Question = ChatRecord | QuestionRecord
REVSI_AFTER_NUMBER = "Answer the question using a single integer or decimal number."
KEPT = ("revsi_type", "frame_budget", "pruned")
"""Of a question's ``extra`` in a sample's ``meta``: what benchmarks choose by."""
_WORLD = {"box_world": "gt_bbox", "T_world_camera": "T_world_camera"}
_OPTION = re.compile(r"^\(?([A-Z])[.):]\s*(.+)$")
_TAG = re.compile(r"<(?:image|video)>\n?")


class NotASample(ValueError):
    """Why a record can't become a sample; the reason is what is counted."""


def detection_sample(record: ChatRecord, frames: Sequence[str]) -> Sample:
    """A sample of VG-LLM's detection record: boxes are in the first frame's camera already."""
    if "boxes" not in record.extra:
        raise NotASample("record without boxes")
    boxes = record.extra["boxes"]
    prompt = _shown(record.turns[0], IMAGE * len(frames), len(frames))
    return _of_chat("detection", record, frames, prompt, {"boxes": boxes}, {"objects": len(boxes)})


def grounding_sample(record: ChatRecord, frames: Sequence[str]) -> Sample:
    """A sample of VG-LLM's ScanRefer record; without cameras (the train file may lack them) it serves SFT only."""
    if "target" not in record.extra:
        raise NotASample("record without target")
    known = {key: record.extra[name] for key, name in _WORLD.items() if name in record.extra}
    target, metadata = record.extra["target"], record.extra.get("metadata", {})
    truth = {key: target[key] for key in ("frame", "bbox_3d")} | (known if len(known) == len(_WORLD) else {})
    meta = {key: metadata[key] for key in ("object_id", "ann_id") if key in metadata}
    if record.question_type in ("unique", "multiple"):
        meta["unique"] = record.question_type == "unique"
    named = "".join(f"Frame-{index}: {IMAGE}" for index in range(len(frames)))
    prompt = _shown(record.extra.get("prompt", record.turns[0]), named, len(frames))
    return _of_chat("grounding", record, frames, prompt, truth, meta)


def caption_sample(record: ChatRecord, frames: Sequence[str]) -> Sample:
    """A sample of VG-LLM's Scan2Cap record."""
    caption = record.turns[1]
    truth: dict[str, Any] = {
        "caption": caption,
        "references": record.extra.get("annotations", [caption]),
        "iou": record.extra.get("iou", 1.0),
    }
    for name, key in (("gt_box", "box_world"), ("input_box", "input_box_world")):
        if name in record.extra:
            truth[key] = [*record.extra[name], 0.0, 0.0, 0.0]
    prompt = _shown(record.turns[0], IMAGE * len(frames), len(frames))
    return _of_chat("captioning", record, frames, prompt, truth, {})


def _of_chat(
    task: str,
    record: ChatRecord,
    frames: Sequence[str],
    prompt: str,
    truth: dict[str, Any],
    meta: dict[str, Any],
) -> Sample:
    cameras = {key: record.extra[key] for key in ("intrinsics", "T_world_camera") if key in record.extra}
    return Sample(
        id=f"{record.scene or 'vgllm'}:{task}:{record.id}",
        task=task,
        scene=record.scene or record.id,
        frames=tuple(frames),
        prompt=prompt,
        truth=truth,
        meta={**meta, "dataset": record.dataset, "rounding": "plain", **cameras},
    )


def _shown(text: str, pictures: str, count: int) -> str:
    """The human text as a model sees it: ``pictures`` first where it names none; a newline after an image tag
    goes, as upstream's loader does it."""
    if IMAGE not in text:
        text = pictures + text.lstrip("\n")
    text = text.replace(f"{IMAGE}\n", IMAGE)
    if text.count(IMAGE) != count:
        raise NotASample("as many image tags as pictures are needed")
    return text


def question_sample(
    record: Question, frames: Sequence[str], answers: Answers = "direct", place: Place | None = None
) -> Sample:
    """A spatial sample of a question with a key.

    Args:
        answers: ``direct``; ``think``: with a thought worked out from the boxes of ``place``; or
            ``think-prompt``: the prompt asks for a thought and the truth's is empty, for RFT and evaluation,
            not for SFT.
        place: what is known of the scene.

    Raises:
        NotASample: no spatial question, or ``think`` where the boxes don't lead to the key.
    """
    if isinstance(record, ChatRecord):
        record = _question_in(record)
    kind = record.question_type
    if kind not in QUESTION_TYPES:
        found = type_from_words(record.question, len(record.options))
        if found is None:
            raise NotASample("question of no VSI-Bench type")
        kind = found
    truth: dict[str, Any] = {"question_type": kind}
    if kind in NUMERIC_TYPES:
        truth["answer"] = _number(record)
    else:
        truth["answer"], truth["options"] = _choice(record)
    if answers != "direct":
        truth["thought"] = "" if answers == "think-prompt" else _thought(kind, record, truth, place)
    number = REVSI_AFTER_NUMBER if "frame_budget" in record.extra else AFTER_NUMBER
    prompt = spatial_prompt(
        len(frames), record.question.strip(), truth.get("options", []), answers != "direct", number
    )
    return Sample(
        id=f"{record.dataset}:{kind}:{record.id}",
        task="spatial",
        scene=record.scene or record.id,
        frames=tuple(frames),
        prompt=prompt,
        truth=truth,
        meta={
            "question_type": kind,
            "dataset": record.dataset,
            **{k: v for k, v in record.extra.items() if k in KEPT},
        },
    )


def _question_in(record: ChatRecord) -> QuestionRecord:
    """VLM-3R's record: VSI-Bench's prompt as text, the answer as the other turn."""
    text = _TAG.sub("", record.turns[0]).strip()
    head, _, tail = text.partition("\nOptions:\n")
    options = tuple(line for line in tail.splitlines() if _OPTION.match(line)) if tail else ()
    body = head.removeprefix(BEFORE).strip().removesuffix(AFTER_NUMBER).strip()
    return QuestionRecord(
        record.id, record.scene, record.dataset, record.question_type or "", body, options,
        record.turns[1].strip(), record.video,
    )  # fmt: skip


def _thought(kind: str, record: QuestionRecord, truth: dict[str, Any], place: Place | None) -> str:
    if place is None:
        raise NotASample(f"no thought for {kind}: no boxes of the scene")
    try:
        query = read_question(kind, record.question, truth.get("options", ()))
    except ValueError:
        raise NotASample(f"no thought for {kind}: its wording is not known") from None
    thought = work_out(query, place, truth["answer"])
    if isinstance(thought, Unsolved):
        reason = "a thing that it names has no box" if thought.missing else thought.reason
        raise NotASample(f"no thought for {kind}: {reason}")
    return thought


_WORDS = (
    ("object_counting", ("how many",)),
    ("room_size_estimation", ("size of this room",)),
    ("object_size_estimation", ("longest dimension",)),
    ("object_abs_distance", ("distance between",)),
    ("object_rel_distance", ("closest to",)),
    ("obj_appearance_order", ("first-time appearance",)),
    ("route_planning", ("robot",)),
)
"""VSI-Bench's wording of each type; SpaceR's SR questions use it and don't name the type."""


def type_from_words(question: str, options: int) -> str | None:
    """The VSI-Bench type of a question in the official wording; None when it is none of them."""
    low = question.lower()
    if "standing by" in low and "facing" in low and "robot" not in low:
        hard, medium = "front-left" in low or "quadrant" in low, "back" in low
        return (
            f"object_rel_direction_{'hard' if hard else 'medium' if medium else 'easy'}" if options else None
        )
    for kind, words in _WORDS:
        if all(word in low for word in words) and (kind in NUMERIC_TYPES) == (options == 0):
            return kind
    return None


def _number(record: QuestionRecord) -> float:
    try:
        value = float(record.answer)
    except ValueError:
        raise NotASample("key that is not a number") from None
    if not value > 0 or value == float("inf"):
        raise NotASample("key that is not positive")
    return value


def _choice(record: QuestionRecord) -> tuple[str, list[str]]:
    options = []
    for letter, text in zip("ABCDEFGH", record.options, strict=False):
        match = _OPTION.match(text)
        if match and match[1] != letter:
            raise NotASample("options out of order")
        options.append(f"{letter}. {match[2] if match else text}")
    answer = record.answer.strip().rstrip(".").upper()[:1]
    if not 2 <= len(options) <= 4:
        raise NotASample("not two to four options")
    if answer not in "ABCD"[: len(options)] or not answer:
        raise NotASample("key that is not an option")
    return answer, options
