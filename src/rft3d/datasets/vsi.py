"""VSI-Bench, and the training questions in its style (VLM-3R, SpaceR), as samples of the spatial task.

The protocol (lmms-eval's and VG-LLM's): 32 frames of the video at ``linspace(0, N - 1, 32)`` cut to whole
numbers, all of them when there are fewer; the question in the official wording. Videos are decoded once a
scene into PNG files beside the samples file (PyAV, ``pip install '.[video]'``), so that training and
scoring need no decoder.

Training questions show picture files where the media folder has them (ScanNet's posed pictures, ScanNet++'s
DSLR pictures, ARKitScenes' low-resolution frames) and the video otherwise. ``like="vg-llm"`` draws those
frames as its converter does: the sorted list turned by a random offset, 32 spread over it, sorted again.
Scans of benchmarks are left out and counted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np

from rft3d.datasets.convert import Answers, NotASample, Question, question_sample
from rft3d.datasets.detection import Like
from rft3d.datasets.leaks import leaking
from rft3d.datasets.work import Job, JobOutput, relative
from rft3d.evaluation.solving.places import scene_key
from rft3d.files import excerpt
from rft3d.scenes.clips import ClipSampling, read_video, spread_indices
from rft3d.scenes.images import write_image
from rft3d.scenes.readers.vsi_bench import COUNTS
from rft3d.settings import Checked, Count
from rft3d.tasks.spatial.solve import Place
from rft3d.tasks.types import Sample

PICTURES: dict[str, tuple[str, ...]] = {
    "scannet": ("scannet/posed_images/{scene}/*.jpg",),
    "scannetpp": ("scannetpp/data/{scene}/dslr/resized_undistorted_images/*.JPG",),
    "arkitscenes": (
        "arkitscenes/3dod/Training/{scene}/{scene}_frames/lowres_wide/*.png",
        "arkitscenes/3dod/Validation/{scene}/{scene}_frames/lowres_wide/*.png",
    ),
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


@dataclass(frozen=True)
class VsiJob:
    """All questions about one video or scan, and what is known of its place."""

    records: tuple[Question, ...]
    settings: VsiSettings
    place: Place | None = None

    @property
    def key(self) -> str:
        first = self.records[0]
        return f"{first.dataset}/{first.scene or first.video}"


def vsi_jobs(
    records: Iterable[Question], settings: VsiSettings, places: Mapping[str, Place] | None = None
) -> list[Job]:
    """A job a scan, in the order in which scans first occur."""
    groups: dict[str, list[Question]] = {}
    for record in records:
        groups.setdefault(VsiJob((record,), settings).key, []).append(record)
    jobs = []
    for key, mine in groups.items():
        place = (places or {}).get(scene_key(mine[0].scene or ""))
        budget = str(mine[0].extra.get("frame_budget"))  # ReVSI's key is true of that many frames
        shown = replace(settings, frames=int(budget)) if budget.isdigit() else settings
        jobs.append(Job(key, VsiJob(tuple(mine), shown, place)))
    return jobs


def make_vsi(job: VsiJob, media: Path | None, root: Path) -> JobOutput:
    """The samples about one scan; decodes its video when it has no pictures.

    ``media`` None: the samples name no pictures.
    """
    skipped: Counter[str] = Counter()
    scene = job.records[0].scene
    if job.settings.split == "train" and scene is not None and leaking([scene]):
        return JobOutput((), {"question about a benchmark's room": len(job.records)})
    samples: list[Sample] = []
    pictures = _pictures(job, media) if media is not None else []
    video = _video_frames(job, media, root) if media is not None and not pictures else []
    for record in job.records:
        frames = _drawn(pictures, record, job) if pictures else video
        try:
            shown = [relative(path, root) for path in frames]
            samples.append(question_sample(record, shown, job.settings.answers, job.place))
        except NotASample as reason:
            if job.settings.split == "test":  # every question of a benchmark counts
                raise ValueError(f"{job.key}, question {record.id}: {reason}") from None
            skipped[str(reason)] += 1
    return JobOutput(tuple(samples), dict(skipped))


def _pictures(job: VsiJob, media: Path) -> list[Path]:
    record = job.records[0]
    if job.settings.split == "train" and record.scene:
        for pattern in PICTURES.get(record.dataset, ()):
            if found := sorted(media.glob(pattern.format(scene=record.scene))):
                return found
    return []


def _drawn(pictures: Sequence[Path], record: Question, job: VsiJob) -> list[Path]:
    count = len(pictures)
    places = spread_indices(count, job.settings.frames)
    if job.settings.like == "vg-llm":
        offset = Random(f"{job.settings.seed}:{job.key}:{record.id}").randrange(count)
        places = sorted((offset + place) % count for place in places)
    return [pictures[place] for place in places]


def _video_frames(job: VsiJob, media: Path, root: Path) -> list[Path]:
    video = find_video(media, job.records[0])
    if ".." in Path(job.key).parts or Path(job.key).is_absolute():
        raise ValueError(
            f"the annotations name the scan {excerpt(job.key)}; frames are kept below {root} only"
        )
    folder = root / "frames" / Path(job.key).with_suffix("")
    done = folder / f"{job.settings.frames}.txt"
    if done.is_file():  # an earlier job, or a run that was stopped
        files = [folder / name for name in done.read_text(encoding="ascii").split()]
        if all(file.is_file() for file in files):
            return files
    clip = read_video(video, ClipSampling(frames=job.settings.frames))
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{index:06d}.png" for index in clip.indices]
    for file, pixels in zip(files, clip.frames, strict=True):
        write_image(file, np.asarray(pixels))
    done.write_text("".join(f"{file.name}\n" for file in files), encoding="ascii")
    return files


def find_video(media: Path, record: Question) -> Path:
    """The video of a record below ``media``; ValueError naming where it was looked for."""
    if record.video is None:
        raise ValueError(
            f"{record.dataset}/{record.scene}: no video is named and {media} has no pictures of the scan"
        )
    tried = [media / record.video, media / record.dataset / f"{record.scene}.mp4"]
    for path in tried:
        if path.is_file():
            return path
    raise ValueError(f"{tried[0]}: no such video (nor {tried[1]}); unpack the data set's videos there")


def missing_questions(records: Iterable[Question]) -> dict[str, int]:
    """Question type -> how many of the released test split are missing (negative: too many)."""
    found = dict.fromkeys(COUNTS, 0)
    for record in records:
        found[str(record.question_type)] += 1
    return {kind: COUNTS[kind] - found[kind] for kind in COUNTS if found[kind] != COUNTS[kind]}
