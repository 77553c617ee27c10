"""Samples files by the clips they show: read once, checked before training starts, each clip encoded once."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from rft3d.models import Policy
from rft3d.models.features import ClipFeatures
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.policy import CLIPS_AT_ONCE
from rft3d.process import progress
from rft3d.scenes.images import opened_picture
from rft3d.scenes.sources import frame_file, load_frame_ref, picture_folders
from rft3d.tasks import Sample, Task, read_samples
from rft3d.training.data import Corpus, LazyRows, checked_gold, require_gold


@dataclass(frozen=True)
class Clips:
    """Samples by the frames they show: ``samples[task][clip]``.

    ``frames``: for each clip the folder that its references are relative to, and the references; :meth:`load`
    reads them. ``pictures``: a folder besides those of the samples files in which pictures may lie.
    """

    frames: Sequence[tuple[Path, tuple[str, ...]]]
    samples: Mapping[str, Sequence[Sequence[Sample]]]
    pictures: Path | None = None

    def load(self, clip: int) -> list[NDArray[np.uint8]]:
        """The clip's pictures; ValueError naming a sample that shows them when one cannot be read."""
        folder, refs = self.frames[clip]
        inside = picture_folders(folder, self.pictures)
        with self._of_sample(clip):
            return [load_frame_ref(ref, folder, inside=inside) for ref in refs]

    def size(self, clip: int) -> tuple[int, int, int]:
        """Frames, height and width of the clip, from the first picture's header where it is a file."""
        folder, refs = self.frames[clip]
        if ":" in refs[0]:
            first = self.load(clip)[0]
            return len(refs), first.shape[0], first.shape[1]
        with self._of_sample(clip):
            file = frame_file(refs[0], folder, picture_folders(folder, self.pictures))
            with opened_picture(file) as picture:
                return len(refs), picture.height, picture.width

    def check_places(self, clip: int) -> None:
        """ValueError naming a sample that shows a picture of the clip which is missing or lies elsewhere."""
        folder, refs = self.frames[clip]
        with self._of_sample(clip):
            for ref in refs:
                if ":" not in ref:  # else drawn when it is read
                    frame_file(ref, folder, picture_folders(folder, self.pictures))

    @contextmanager
    def _of_sample(self, clip: int) -> Iterator[None]:
        try:
            yield
        except (ValueError, OSError) as error:
            shown_by = next(rows[clip][0].id for rows in self.samples.values() if rows[clip])
            raise ValueError(f"sample {shown_by!r}: {error}") from error


def check_clips(clips: Clips, tasks: Mapping[str, Task], scored: Collection[str]) -> None:
    """ValueError naming the sample when a picture is missing or elsewhere, or a gold answer earns too little. It
    must be readable, and earn full marks in tasks that are ``scored`` (RFT, held-out samples)."""
    for name, rows in clips.samples.items():
        samples = list(chain.from_iterable(rows))
        if name in scored:
            require_gold(tasks[name], samples)
            continue
        for sample in samples:
            checked_gold(tasks[name], sample)
    for clip in range(len(clips.frames)):
        clips.check_places(clip)


def read_clips(files: Mapping[str, Path], tasks: Sequence[str], pictures: Path | None = None) -> Clips:
    """The samples of ``tasks``; those with the same frames share a clip, whatever their task."""
    clips: dict[tuple[Path, tuple[str, ...]], int] = {}
    placed: dict[str, list[tuple[int, Sample]]] = {}
    for name in tasks:
        file = files[name]
        folder = Path(file).resolve().parent
        rows = placed[name] = []
        for sample in read_samples(file):
            if sample.task != name:
                raise ValueError(f"{file}: sample {sample.id!r} is of task {sample.task!r}, not {name!r}")
            rows.append((clips.setdefault((folder, sample.frames), len(clips)), sample))
        if not rows:
            raise ValueError(f"{file} holds no samples; one JSON object a line is needed")
    by_clip: dict[str, list[list[Sample]]] = {name: [[] for _ in clips] for name in tasks}
    for name, rows in placed.items():
        for clip, sample in rows:
            by_clip[name][clip].append(sample)
    return Clips(list(clips), by_clip, pictures)


def clip_features(policy: Policy, clips: Clips) -> ClipFeatures:
    """The features of ``clips``, encoded when they are asked for, and kept by the policy's cache."""

    def encode(chosen: Sequence[int]) -> list[tuple[str, FrozenFeatures]]:
        was_training = policy.model.training  # in the middle of a step
        made = policy.encode_keyed([clips.load(clip) for clip in chosen])
        policy.model.train(was_training)
        return made

    return ClipFeatures(policy.features, [""] * len(clips.frames), encode)


def encode_clips(policy: Policy, clips: Clips, console: Console) -> ClipFeatures:
    """The features of ``clips``, all encoded now; pictures that cannot be read show here."""
    features, count = clip_features(policy, clips), len(clips.frames)
    with progress(console, "features", count) as advance:
        for at in range(0, count, CLIPS_AT_ONCE):
            advance(len(features.prepare(range(count)[at : at + CLIPS_AT_ONCE])), "")
    return features


def corpus_as_needed(policy: Policy, tasks: Mapping[str, Task], clips: Clips) -> Corpus:
    """A corpus whose clips are encoded, and whose prompts are tokenized, when a step asks for them.

    For data that neither memory nor a disk holds (73,000 clips of 32 frames are 12 TB of features). A picture's
    header says how many tokens it will be.
    """

    def grid(clip: int) -> Tensor:
        return policy.grid(*clips.size(clip))

    rows = {name: LazyRows(policy, tasks[name], clips.samples[name], grid) for name in clips.samples}
    return Corpus(clip_features(policy, clips), rows)
