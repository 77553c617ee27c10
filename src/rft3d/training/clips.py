"""Samples files by the clips they show: read once, checked before anything is spent, encoded once and kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from rft3d.files import CacheFolder
from rft3d.models import Policy
from rft3d.models.features import FeatureCache
from rft3d.models.geometry import FrozenFeatures
from rft3d.process import progress, track
from rft3d.scenes.images import opened_picture
from rft3d.scenes.sources import frame_file, load_frame_ref, picture_folders
from rft3d.tasks import Sample, Task, read_samples
from rft3d.training.data import Corpus, LazyRows, checked_gold, require_gold


class FeatureStore(Sequence[FrozenFeatures]):
    """``store[i]`` are the features of clip ``i`` of ``count``, in half precision in a folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self._count = folder, count
        self._cache = FeatureCache(folder, "float16")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> FrozenFeatures:  # pyright: ignore[reportIncompatibleMethodOverride]
        found = self._cache.get(str(range(self._count)[index]))
        if found is None:
            raise ValueError(
                f"{self.folder}: the features of clip {index} are gone or damaged; "
                "remove the folder and start again"
            )
        return found


def write_features(folder: Path, clips: Iterable[FrozenFeatures]) -> FeatureStore:
    """Store the features of ``clips``, in order, in the place of what is in ``folder``."""
    CacheFolder(folder).clear()
    cache, count = FeatureCache(folder, "float16", keep=0), 0
    for features in clips:
        cache.put(str(count), features)
        count += 1
    return FeatureStore(folder, count)


class ClipFeatures(Sequence[FrozenFeatures]):
    """``features[i]`` of clip ``i``: from the policy's store, else from the encoders.

    A clip that the store has lost, or never had, is encoded again: that costs time and nothing else.
    """

    def __init__(
        self, policy: Policy, count: int, load: Callable[[int], Sequence[NDArray[np.uint8]]]
    ) -> None:
        self._policy, self._load = policy, load
        self._keys: list[str | None] = [None] * count

    def __len__(self) -> int:
        return len(self._keys)

    def serve(self, policy: Policy) -> None:
        """Go on with ``policy``, which has the same frozen encoders, and its store."""
        self._policy = policy

    def prepare(self, at_once: int, on_done: Callable[[int], None]) -> None:
        """Encode what the store lacks, ``at_once`` clips at a time; pictures that are missing show here."""
        for first in range(0, len(self), at_once):
            chosen = range(first, min(first + at_once, len(self)))
            self._encode(chosen)
            on_done(len(chosen))

    def _encode(self, chosen: Sequence[int]) -> list[FrozenFeatures]:
        clips = [self._load(i) for i in chosen]
        was_training = self._policy.model.training
        found = self._policy.encode(clips)
        self._policy.model.train(was_training)
        for i, clip in zip(chosen, clips, strict=True):
            self._keys[i] = self._policy.clip_key(clip)
        return found

    def __getitem__(self, index: int) -> FrozenFeatures:  # pyright: ignore[reportIncompatibleMethodOverride]
        index = range(len(self))[index]
        key = self._keys[index]
        known = None if key is None else self._policy.features.get(key)
        return self._encode([index])[0] if known is None else known


CLIPS_AT_ONCE = 16


@dataclass(frozen=True)
class Clips:
    """Samples by the frames they show.

    Attributes:
        frames: for each clip the folder that its references are relative to, and the references.
            :meth:`load` reads them.
        samples: ``samples[task][clip]``.
        pictures: a folder besides those of the samples files in which pictures may lie.
    """

    frames: Sequence[tuple[Path, tuple[str, ...]]]
    samples: Mapping[str, Sequence[Sequence[Sample]]]
    pictures: Path | None = None

    def load(self, clip: int) -> list[NDArray[np.uint8]]:
        """The clip's pictures; ValueError naming a sample that shows them when one cannot be read."""
        folder, refs = self.frames[clip]
        with self._of_sample(clip):
            return [load_frame_ref(ref, folder, inside=self._inside(folder)) for ref in refs]

    def size(self, clip: int) -> tuple[int, int, int]:
        """Frames, height and width of the clip, from the first picture's header where it is a file."""
        folder, refs = self.frames[clip]
        if ":" in refs[0]:
            first = self.load(clip)[0]
            return len(refs), first.shape[0], first.shape[1]
        with self._of_sample(clip):
            file = frame_file(refs[0], folder, self._inside(folder))
            with opened_picture(file) as picture:
                return len(refs), picture.height, picture.width

    def check_places(self, clip: int) -> None:
        """ValueError naming a sample that shows a picture of the clip which is missing or lies elsewhere."""
        folder, refs = self.frames[clip]
        with self._of_sample(clip):
            for ref in refs:
                if ":" not in ref:  # else drawn when it is read
                    frame_file(ref, folder, self._inside(folder))

    def _inside(self, folder: Path) -> Sequence[Path]:
        return picture_folders(folder, self.pictures)

    @contextmanager
    def _of_sample(self, clip: int) -> Iterator[None]:
        try:
            yield
        except (ValueError, OSError) as error:
            shown_by = next(rows[clip][0].id for rows in self.samples.values() if rows[clip])
            raise ValueError(f"sample {shown_by!r}: {error}") from error


def check_clips(clips: Clips, tasks: Mapping[str, Task], scored: Collection[str]) -> None:
    """ValueError naming the sample when a picture is missing or elsewhere, or a gold answer is worth too little.

    It must be readable, and of tasks that are ``scored`` (RFT, held-out samples) earn full marks.
    """
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
    """The samples of ``tasks``; samples with the same frames share a clip, whatever their task.

    ``pictures``: a folder besides those of ``files`` in which pictures may lie.
    """
    clips: dict[tuple[Path, tuple[str, ...]], int] = {}
    placed: dict[str, list[tuple[int, Sample]]] = {}
    for name in tasks:
        folder = Path(files[name]).resolve().parent
        rows = placed[name] = []
        for sample in read_samples(files[name]):
            if sample.task != name:
                raise ValueError(
                    f"{files[name]}: sample {sample.id!r} is of task {sample.task!r}, not {name!r}"
                )
            rows.append((clips.setdefault((folder, sample.frames), len(clips)), sample))
        if not rows:
            raise ValueError(f"{files[name]} holds no samples; one JSON object a line is needed")
    by_clip: dict[str, list[list[Sample]]] = {name: [[] for _ in clips] for name in tasks}
    for name, rows in placed.items():
        for clip, sample in rows:
            by_clip[name][clip].append(sample)
    return Clips(list(clips), by_clip, pictures)


def encode_clips(policy: Policy, clips: Clips, console: Console) -> Sequence[FrozenFeatures]:
    """The frozen features of every clip, each encoded once; all in memory unless the store has a folder."""
    count = len(clips.frames)
    if policy.features.folder is not None:
        features = ClipFeatures(policy, count, clips.load)
        with progress(console, "features", count) as advance:
            features.prepare(CLIPS_AT_ONCE, lambda count: advance(count, ""))
        return features
    found: list[FrozenFeatures] = []
    chunks = [range(count)[at : at + CLIPS_AT_ONCE] for at in range(0, count, CLIPS_AT_ONCE)]
    for chunk in track(console, "features", chunks, len(chunks)):
        found += policy.encode([clips.load(clip) for clip in chunk])
    return found


def corpus_as_needed(policy: Policy, tasks: Mapping[str, Task], clips: Clips) -> Corpus:
    """A corpus whose clips are encoded, and whose prompts are tokenized, when a step asks for them.

    For data that neither memory nor a disk holds (73,000 clips of 32 frames are 12 TB of features): each step
    pays for its own clips, and nothing has to be done before the first; clips that the policy's store still has
    are not encoded again. A picture's header says how many tokens it will be.
    """

    def grid(clip: int) -> Tensor:
        return policy.grid(*clips.size(clip))

    features = ClipFeatures(policy, len(clips.frames), clips.load)
    rows = {name: LazyRows(policy, tasks[name], clips.samples[name], grid) for name in clips.samples}
    return Corpus(features, rows)
