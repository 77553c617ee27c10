"""VSI-Bench, and the training questions in its style (VLM-3R, SpaceR), as samples of the spatial task.

The protocol (lmms-eval's and VG-LLM's): 32 frames of the video at ``linspace(0, N - 1, 32)`` cut to whole
numbers, all of them when there are fewer; the question in the official wording. Videos are decoded once a
scene into PNG files beside the samples file (PyAV, ``pip install '.[video]'``), so that training and
scoring need no decoder. A question keeps its own words; only the placeholders of frames are set. What cannot become
a sample is left out with a reason, never replaced by another one.

Training questions show picture files where the media folder has them (ScanNet's posed pictures, ScanNet++'s
DSLR pictures, ARKitScenes' low-resolution frames) and the video otherwise. ``like="vg-llm"`` draws those
frames as its converter does: the sorted list turned by a random offset, 32 spread over it, sorted again.
Scans of benchmarks are left out and counted.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

from rft3d.datasets.detection import Like
from rft3d.datasets.leaks import leaking
from rft3d.datasets.work import Job, JobOutput, NotASample, relative
from rft3d.evaluation.solving.places import scene_key
from rft3d.files import excerpt
from rft3d.scenes.clips import ClipSampling, read_video, spread_indices
from rft3d.scenes.images import write_image
from rft3d.scenes.readers.records import ChatRecord, QuestionRecord
from rft3d.scenes.readers.vsi_bench import COUNTS
from rft3d.settings import Checked, Count
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
_OPTION = re.compile(r"^\(?([A-Z])[.):]\s*(.+)$")
_TAG = re.compile(r"<(?:image|video)>\n?")
PICTURES = {
    "scannet": "scannet/posed_images/{scene}/*.jpg",
    "scannetpp": "scannetpp/data/{scene}/dslr/resized_undistorted_images/*.JPG",
    "arkitscenes": "arkitscenes/3dod/*/{scene}/{scene}_frames/lowres_wide/*.png",
}
"""Where VG-LLM's media folder holds a scan's pictures."""


@dataclass(frozen=True)
class VsiSettings(Checked):
    """What decides the samples.

    Attributes:
        split: ``test`` is VSI-Bench itself; ``train`` leaves out scans of benchmarks.
        frames: of a question.
        answers: ``direct``; ``think`` (SFT: with thoughts worked out from boxes); ``think-prompt`` (RFT and
            evaluation: a thought is asked for, none is given).
        seed: of the frames that ``like="vg-llm"`` draws for training.
        like: ``rft3d`` or upstream's conventions.
    """

    split: Literal["test", "train"] = "test"
    frames: Count = 32
    answers: Answers = "direct"
    seed: int = 0
    like: Like = "rft3d"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split == "test" and self.answers == "think":
            raise ValueError("a benchmark's samples hold no worked thoughts; ask with --answers think-prompt")


def scan_of(record: Question) -> str:
    """The scan or video that a question is about."""
    return f"{record.dataset}/{record.scene or record.video}"


def vsi_jobs(records: Iterable[Question], places: Mapping[str, Place]) -> list[Job]:
    """A job a scan, in the order in which scans first occur: its questions, and what is known of its place."""
    groups: dict[str, list[Question]] = {}
    for record in records:
        groups.setdefault(scan_of(record), []).append(record)
    return [Job(key, (mine, places.get(scene_key(mine[0].scene or "")))) for key, mine in groups.items()]


def frames_of(record: Question, asked: int) -> int:
    """How many frames a question shows: ReVSI's keys are true of a number of frames, others of any."""
    budget = str(record.extra.get("frame_budget"))
    return int(budget) if budget.isdigit() else asked


def make_vsi(
    payload: tuple[list[Question], Place | None], settings: VsiSettings, media: Path | None, root: Path
) -> JobOutput:
    """The samples about one scan; decodes its video when it has no pictures.

    ``media`` None: the samples name no pictures.
    """
    records, place = payload
    first, training = records[0], settings.split == "train"
    if training and first.scene is not None and leaking([first.scene]):
        return JobOutput((), {"question about a benchmark's room": len(records)})
    settings = replace(settings, frames=frames_of(first, settings.frames))
    skipped: Counter[str] = Counter()
    samples: list[Sample] = []
    pictures = _pictures(first, media) if media is not None and training else []
    video = _video_frames(first, settings.frames, media, root) if media is not None and not pictures else []
    for record in records:
        frames = _drawn(pictures, record, settings) if pictures else video
        try:
            shown = [relative(path, root) for path in frames]
            samples.append(question_sample(record, shown, settings.answers, place))
        except NotASample as reason:
            if not training:  # every question of a benchmark counts
                raise ValueError(f"{scan_of(record)}, question {record.id}: {reason}") from None
            skipped[str(reason)] += 1
    return JobOutput(tuple(samples), dict(skipped))


def _pictures(record: Question, media: Path) -> list[Path]:
    pattern = PICTURES.get(record.dataset) if record.scene else None
    return sorted(media.glob(pattern.format(scene=record.scene))) if pattern else []


def _drawn(pictures: Sequence[Path], record: Question, settings: VsiSettings) -> list[Path]:
    count = len(pictures)
    places = spread_indices(count, settings.frames)
    if settings.like == "vg-llm":
        offset = Random(f"{settings.seed}:{scan_of(record)}:{record.id}").randrange(count)
        places = sorted((offset + place) % count for place in places)
    return [pictures[place] for place in places]


def _video_frames(record: Question, count: int, media: Path, root: Path) -> list[Path]:
    video, scan = find_video(media, record), Path(scan_of(record))
    if ".." in scan.parts or scan.is_absolute():
        raise ValueError(f"scan {excerpt(str(scan))} of the annotations: frames are kept below {root} only")
    folder = root / "frames" / scan.with_suffix("")
    done = folder / f"{count}.txt"
    if done.is_file():  # an earlier job, or a run that was stopped
        files = [folder / name for name in done.read_text(encoding="ascii").split()]
        if all(file.is_file() for file in files):
            return files
    clip = read_video(video, ClipSampling(frames=count))
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{index:06d}.png" for index in clip.indices]
    for file, pixels in zip(files, clip.frames, strict=True):
        write_image(file, np.asarray(pixels))
    done.write_text("".join(f"{file.name}\n" for file in files), encoding="ascii")
    return files


def find_video(media: Path, record: Question) -> Path:
    """The video of a record below ``media``; ValueError naming where it was looked for."""
    if record.video is None:
        raise ValueError(f"{record.dataset}/{record.scene}: no video is named and {media} has no pictures")
    tried = [media / record.video, media / record.dataset / f"{record.scene}.mp4"]
    for path in tried:
        if path.is_file():
            return path
    raise ValueError(f"{tried[0]}: no such video (nor {tried[1]}); unpack the data set's videos there")


def missing_questions(records: Iterable[Question]) -> dict[str, int]:
    """Question type -> how many of the released test split are missing (negative: too many)."""
    found = Counter(record.question_type for record in records)
    return {kind: count - found[kind] for kind, count in COUNTS.items() if found[kind] != count}


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
    kept = {key: value for key, value in record.extra.items() if key in KEPT}
    identity, scene = f"{record.dataset}:{kind}:{record.id}", record.scene or record.id
    meta = {"question_type": kind, "dataset": record.dataset, **kept}
    return Sample(identity, "spatial", scene, tuple(frames), prompt, truth, meta)


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
        level = "hard" if hard else "medium" if medium else "easy"
        return f"object_rel_direction_{level}" if options else None
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
