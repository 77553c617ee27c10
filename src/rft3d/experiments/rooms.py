"""Training rooms: rendered by worker processes; views made from others' samples; a policy from the rooms alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from random import Random

from torch.utils.data import Dataset

from rft3d.experiments.types import Options, Scratch
from rft3d.models import Policy, build_tiny
from rft3d.pretraining.encoders import pretrain_encoders
from rft3d.pretraining.endless import DenseClip, dense_clip, in_order, stacked
from rft3d.pretraining.weights import rooms_tokenizer
from rft3d.scenes import CATE20, RoomConfig, make_room
from rft3d.tasks import Sample, Task, make_task, task_of
from rft3d.training.data import draw
from rft3d.training.runs import Run

CHUNK = 16
CONCLUSION = " So it is "
"""Where a thought's working-out ends (:mod:`rft3d.tasks.spatial.thoughts`)."""


@dataclass(frozen=True)
class TrainingRoom:
    """One rendered room: dense labels for the encoders and samples of every view."""

    clip: DenseClip
    samples: Mapping[str, Sequence[Sample]]


def build_tasks(options: Options) -> dict[str, Task]:
    """A task for each view, with these options."""
    return {view: make_task(task_of(view), None, own) for view, own in options.items()}


class _Rooms(Dataset[TrainingRoom]):
    """``rooms[seed]``, rendered when it is asked for."""

    def __init__(self, config: RoomConfig, options: Options) -> None:
        self.config, self.tasks = config, build_tasks(options)

    def __getitem__(self, seed: int) -> TrainingRoom:
        scene = make_room(seed, self.config)
        refs = [f"rooms:{seed}/{i}" for i in range(len(scene.frames))]
        samples = {view: task.samples(scene, refs, seed) for view, task in self.tasks.items()}
        return TrainingRoom(dense_clip(scene, CATE20), samples)


def training_rooms(
    seeds: Sequence[int], config: RoomConfig, options: Options, workers: int = 2
) -> Iterator[TrainingRoom]:
    """Rooms of ``seeds``, in order. Deterministic in the arguments, whatever the number of workers."""
    return in_order(_Rooms(config, options), seeds, workers if workers > 1 and len(seeds) > CHUNK else 0)


def corrupted(samples: Sequence[Sequence[Sample]], seed: int) -> list[list[Sample]]:
    """``samples[scene]`` with each thought's working-out taken from another scene, same question type.

    Its form, length and conclusion are as before, only what it says about the room is wrong: what is left is the
    effect of writing *a* thought. A sample stays as it is only where no other scene has a question of its type.
    """
    by_type: dict[str, list[Sample]] = {}
    for rows in samples:
        for sample in rows:
            by_type.setdefault(sample.truth["question_type"], []).append(sample)
    return [[_corrupted(sample, by_type, seed) for sample in rows] for rows in samples]


def _corrupted(sample: Sample, by_type: Mapping[str, Sequence[Sample]], seed: int) -> Sample:
    own = sample.truth["thought"]
    alike = by_type[sample.truth["question_type"]]
    start = Random(f"{seed}:{sample.id}").randrange(len(alike))
    turns = (alike[start - k] for k in range(len(alike)))  # soon one of another scene
    foreign = next((each for each in turns if each.scene != sample.scene), sample).truth["thought"]
    working, end = foreign.rpartition(CONCLUSION)[0], own.rpartition(CONCLUSION)[2]
    truth = {**sample.truth, "thought": f"{working}{CONCLUSION}{end}"}
    identity = sample.id.replace(":spatial-think:", ":spatial-corrupt:")
    return replace(sample, id=identity, truth=truth)


def from_scratch(
    run: Run, rooms: Sequence[TrainingRoom], scratch: Scratch, seed: int, options: Options
) -> Policy:
    """A policy from nothing but rooms: its tokenizer from their texts, its encoders trained on them and frozen, its
    language model untrained."""
    tasks = build_tasks(options)
    asked = [(view, each) for room in rooms for view, group in room.samples.items() for each in group]
    tokenizer = rooms_tokenizer(text for v, each in asked for text in (each.prompt, tasks[v].gold(each)))
    policy = build_tiny(scratch.tiny, tokenizer, seed, {view: dict(own) for view, own in options.items()})
    how = scratch.encoder

    def drawn(start: int) -> Iterator[DenseClip]:
        for step in count(start):
            yield stacked([rooms[i].clip for _, i in draw(how.seed, step, how.clips_per_step, len(rooms))])

    pretrain_encoders(policy, drawn, CATE20, how, run.stage("encoders"), run.console)
    return policy
