"""Ask a policy about one clip of your own: prompt it as the tasks do, read the answer as they do.

    clip = with_fov(read_clip("kitchen.mp4"), 65)
    found = infer(policy, clip, detection_question(clip))
    found.boxes[0].label, found.boxes[0].bbox_3d        # in the first frame's camera, metres

There is no truth, so nothing is scored. Torch is needed only by the policy, which the caller loads.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.answers import FrameBox, LabelledBox, ParseFailure, parse_number, parse_option, split_sections
from rft3d.evaluation.records import TextPolicy
from rft3d.files import read_json
from rft3d.geometry import boxes_valid, invert_pose, transform_boxes
from rft3d.prompts import IMAGE
from rft3d.scenes.clips import Clip
from rft3d.tasks import detection as detection_task
from rft3d.tasks import grounding as grounding_task
from rft3d.tasks import make_task
from rft3d.tasks.spatial.task import spatial_prompt
from rft3d.tasks.types import Sample, Task

ONLY_ROOMS = "this model has only seen procedural rooms; do not believe what it says about anything else"
_WANTS_NUMBER = re.compile(
    r"\bhow (many|much|far|long|tall|wide|deep|high|big|large)\b"
    r"|\bwhat is the (size|distance|number|length|height)\b"
    r"|\bin (square )?(meters|metres|centimeters|centimetres|cm|m)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FoundBox:
    """A box that the model named, as it is printed; numbers have 4 decimals.

    ``label``: as written; of a described object the description. ``bbox_3d``: ``(9,)`` metres and radians, in the
    camera of ``frame`` (an index into the clip's frames; OpenCV), intrinsic ZXY; ``bbox_3d_world``: of a
    clip with poses. ``valid``: its sizes are positive, so it is drawn.
    """

    label: str
    frame: int
    bbox_3d: tuple[float, ...]
    bbox_3d_world: tuple[float, ...] | None
    valid: bool


@dataclass(frozen=True, slots=True)
class Inference:
    """A model's answer about a clip: ``text`` of ``tokens``, as it wrote it.

    ``truncated``: it hit the token limit (it is read as far as it goes, and said so). ``failure``: why it could
    not be read. ``boxes``: of detection and grounding. ``answer`` of a spatial question: letter, number or the
    text between the tags; ``thought``: what stood in ``<think>``.
    """

    sample: Sample
    text: str
    truncated: bool
    tokens: int
    failure: ParseFailure | None
    boxes: tuple[FoundBox, ...] = ()
    answer: str | float | None = None
    thought: str | None = None


def detection_question(clip: Clip) -> Sample:
    """Name every object in ``clip``, in the first frame's camera."""
    prompt = IMAGE * len(clip.frames) + detection_task.PROMPT
    return _sample("detection", clip, prompt, {"boxes": []})


def known_boxes(clip: Clip, task: Task) -> Sample | None:
    """The question of ``task`` (a detection) about exactly the frames of ``clip``, its truth in the first frame's
    camera; None where the truth is not known."""
    scene = clip.scene
    if scene is None or not scene.objects:
        return None
    shown = replace(scene, frames=tuple(scene.frames[index] for index in clip.indices))
    return next(iter(task.samples(shown, clip.names, 0)), None)


def grounding_question(clip: Clip, description: str) -> Sample:
    """Find the object that ``description`` means: a frame, and a box in that frame's camera."""
    description = _clean("description", description)
    frames = "".join(f"Frame-{i}: {IMAGE}" for i in range(len(clip.frames)))
    prompt = grounding_task.PROMPT.format(frames=frames, description=description.capitalize())
    # the task's reader wants to know how many frames there are; poses are never read here
    truth = {"T_world_camera": [np.eye(4).tolist() for _ in clip.frames]}
    return _sample("grounding", clip, prompt, truth, {"description": description})


def spatial_question(clip: Clip, question: str, options: Sequence[str] = (), think: bool = False) -> Sample:
    """Ask ``question`` about ``clip``, laid out as VSI-Bench's questions are.

    ``options``: for multiple choice, the texts of A, B, C ... ``think``: ask for
    ``<think>…</think><answer>…</answer>`` (for models trained to think).
    """
    question = _clean("question", question)
    if len(options) == 1 or len(options) > len(ascii_uppercase):
        raise ValueError(f"options: two to {len(ascii_uppercase)} are needed, got {len(options)}")
    pairs = zip(ascii_uppercase, options, strict=False)
    choices = [f"{letter}. {_clean('option', text)}" for letter, text in pairs]
    prompt = spatial_prompt(len(clip.frames), question, choices, think)
    return _sample("spatial", clip, prompt, {}, {"question": question, "options": choices})


def infer(
    policy: TextPolicy,
    clip: Clip,
    sample: Sample,
    *,
    max_new_tokens: int = 2000,
    temperature: float = 0.0,
    seed: int = 0,
) -> Inference:
    """Let ``policy`` answer ``sample`` (one of the questions above) about ``clip``, greedily at temperature 0.
    Angles are intrinsic ZXY; a policy whose weights write the old convention translates them."""
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    generation = policy.sample_texts(
        [sample.turns()], [clip.frames], 1, max_new_tokens=max_new_tokens, seed=seed, temperature=temperature
    )[0][0]
    found = Inference(sample, generation.text, generation.truncated, generation.tokens, None)
    if sample.task == "spatial":
        return _read_spatial(found)
    parsed: Any = make_task(sample.task).parse(generation.text, sample)
    if isinstance(parsed, ParseFailure):
        return replace(found, failure=parsed)
    rows = [parsed] if isinstance(parsed, FrameBox) else list(parsed)
    return replace(found, boxes=tuple(_found(row, sample, clip) for row in rows))


@dataclass(frozen=True, slots=True)
class ClipAnswer:
    """An answer about a clip and what is said beside it: by which ``model``, ``warnings``, ``notes``, and the
    ``files`` that were written, by kind."""

    found: Inference
    clip: Clip
    model: str
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What ``rft3d detect``, ``ground`` and ``ask`` print: plain JSON values only."""
        found, clip = self.found, self.clip
        times: Sequence[float | None] = clip.times_s or [None] * len(clip.frames)
        record: dict[str, Any] = {
            "task": found.sample.task,
            "clip": clip.name,
            "model": self.model,
            "size": list(clip.size),
            "sampling": clip.sampling,
            "frames": [
                {"frame": place, "index": index, "time_s": time and round(time, 3)}
                for place, (index, time) in enumerate(zip(clip.indices, times, strict=True))
            ],
            **{key: value for key, value in found.sample.meta.items() if value},
        }
        if found.sample.task == "spatial":
            record |= {"answer": found.answer, "thought": found.thought}
        else:
            record["convention"] = (
                "x y z dx dy dz yaw roll pitch; metres, radians, R = Rz(yaw) Rx(roll) Ry(pitch); "
                "camera of the named frame: x right, y down, z forward"
            )
            record["boxes"] = [asdict(box) for box in found.boxes]
        record |= {
            "failure": found.failure and asdict(found.failure),
            "truncated": found.truncated,
            "tokens": found.tokens,
            "text": found.text,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }
        return {**record, "files": dict(self.files)} if self.files else record


def clip_answer(
    found: Inference,
    clip: Clip,
    model: str,
    only_rooms: bool = False,
    classes: Sequence[str] = (),
    before: Path | None = None,
) -> ClipAnswer:
    """``found`` with its warnings and notes.

    ``only_rooms``: the model saw procedural rooms alone; about anything else it warns. ``classes``: that it was
    trained to name, where known; a description of none of them is noted. ``before``: record of an earlier answer
    in the same place; another description with the very same box is noted.
    """
    elsewhere = clip.scene is None or clip.scene.source != "rooms"
    warnings = (ONLY_ROOMS,) if only_rooms and elsewhere else ()
    notes = (*clip.notes, *_notes(found), *_doubts(found, clip, classes, before))
    return ClipAnswer(found, clip, model, warnings, notes)


def boxes_in_frame(found: Inference, clip: Clip, frame: int) -> tuple[list[str], NDArray[np.float64]]:
    """Labels and ``(N, 9)`` valid boxes in the camera of ``frame``: its own, or all when poses are known."""
    labels, rows, poses = [], [np.zeros((0, 9))], clip.T_world_camera
    for item in (each for each in found.boxes if each.valid):
        box = np.array([item.bbox_3d])
        if item.frame != frame:
            if poses is None:
                continue
            box = transform_boxes(invert_pose(poses[frame]) @ poses[item.frame], box)
        labels.append(item.label)
        rows.append(box)
    return labels, np.concatenate(rows)


def _sample(
    task: str, clip: Clip, prompt: str, truth: Mapping[str, Any], meta: Mapping[str, Any] | None = None
) -> Sample:
    # never read from here: the clip holds the pixels. Times make the record readable.
    return Sample(f"{clip.name}:{task}", task, clip.name, clip.names, prompt, dict(truth), dict(meta or {}))


def _clean(field: str, text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise ValueError(f"{field} is empty; write what to look for")
    if IMAGE in text:
        raise ValueError(f"{field} must not hold {IMAGE}, which stands for a frame, got {text!r}")
    return text


def _read_spatial(found: Inference) -> Inference:
    sections, options = split_sections(found.text), found.sample.meta["options"]
    said = sections.answer.strip()
    if options:
        read = parse_option(found.text, "".join(option[0] for option in options))
    else:
        read = parse_number(found.text)
        free = said and not _WANTS_NUMBER.search(found.sample.meta["question"])
        if isinstance(read, ParseFailure) and free:  # such a question may have an answer in words
            lone = re.fullmatch(r"[A-H]\.?", said)
            read = ParseFailure("an option's letter, but no options were given", said) if lone else said
    key = "failure" if isinstance(read, ParseFailure) else "answer"
    return replace(found, thought=sections.think, **{key: read})


def _found(row: LabelledBox | FrameBox, sample: Sample, clip: Clip) -> FoundBox:
    labelled = isinstance(row, LabelledBox)
    frame = 0 if labelled else row.frame
    label = row.label if labelled else str(sample.meta["description"])
    box = np.array([row.box], dtype=np.float64)
    poses = clip.T_world_camera
    world = None if poses is None else _rounded(transform_boxes(poses[frame], box))
    return FoundBox(label, frame, _rounded(box), world, bool(boxes_valid(box)[0]))


def _rounded(box: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in box[0].tolist())


def _doubts(found: Inference, clip: Clip, classes: Sequence[str], before: Path | None) -> list[str]:
    """Why a described object may not be the one that was found."""
    description = found.sample.meta.get("description")
    if description is None or not found.boxes:
        return []
    doubts = []
    words = description.lower()
    if classes and not any(re.search(rf"\b{re.escape(label.lower())}", words) for label in classes):
        doubts.append(
            f"no object that this model knows is named in {description!r}, so the box means nothing "
            f"(it knows: {', '.join(classes)})"
        )
    if before is not None and before.is_file():
        last = read_json(before)
        boxes = [list(box.bbox_3d) for box in found.boxes]
        same = [box.get("bbox_3d") for box in last.get("boxes", [])] == boxes
        if same and last.get("clip") == clip.name and last.get("description") != description:
            doubts.append(f"{last.get('description')!r} was given the very same box; one of the two is wrong")
    return doubts


def _notes(found: Inference) -> list[str]:
    notes = []
    if found.sample.task == "detection" and not found.boxes and found.failure is None:
        notes.append("the model named no object")
    if found.truncated:
        notes.append(f"the answer was cut off after {found.tokens} tokens; raise --max-new-tokens")
    unreal = sum(not item.valid for item in found.boxes)
    if unreal:
        notes.append(f"{unreal} of {len(found.boxes)} boxes have sizes that are not positive; not drawn")
    return notes
