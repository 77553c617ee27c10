"""Real rooms of two 84x56 frames, their samples tokenized for a policy of 270 k parameters."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from rich.console import Console
from tests.tiny import Digits, digits_corpus, make_policy

from rft3d.experiments.rooms import TrainingRoom, build_tasks, training_rooms
from rft3d.models import Policy
from rft3d.scenes import RoomConfig
from rft3d.tasks.types import Task
from rft3d.training.config import OptimConfig, SFTConfig
from rft3d.training.data import Corpus, tokenize
from rft3d.training.loop import Watch
from rft3d.training.sft import train_sft

OPTIONS: Mapping[str, Mapping[str, Any]] = {"detection": {"decimals": 1}, "spatial": {}}
LABELS = ("chair", "table", "couch", "pillow", "lamp")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="session")
def rooms() -> list[TrainingRoom]:
    config = RoomConfig(frames=2, width=84, height=56, max_objects=3)
    return list(training_rooms(range(6), config, OPTIONS, workers=1))


@pytest.fixture(scope="session")
def tasks() -> dict[str, Task]:
    return build_tasks(OPTIONS)


@pytest.fixture(scope="session")
def clips(rooms: Sequence[TrainingRoom]) -> list[list[Any]]:
    return [list(room.clip.rgb) for room in rooms]


@pytest.fixture(scope="session")
def new_policy(rooms: Sequence[TrainingRoom], tasks: Mapping[str, Task]) -> Callable[[], Policy]:
    """A maker of equal policies that have learned nothing, with a tokenizer for the rooms' texts."""
    texts = [
        text
        for room in rooms
        for name, samples in room.samples.items()
        for sample in samples
        for text in (sample.prompt, tasks[name].gold(sample))
    ]
    return lambda: make_policy(0, None, [*texts, *texts, *texts], LABELS)


@pytest.fixture(scope="session")
def corpus(
    new_policy: Callable[[], Policy], rooms: Sequence[TrainingRoom], tasks: Mapping[str, Task], clips: Any
) -> Corpus:
    """Detection and spatial samples of all rooms."""
    policy = new_policy()
    samples = {name: [room.samples[name] for room in rooms] for name in tasks}
    return tokenize(policy, tasks, samples, policy.encode(clips))


@pytest.fixture(scope="session")
def digits(new_policy: Callable[[], Policy], clips: Any) -> Corpus:
    """Twelve samples of the toy task: answer with a digit."""
    return digits_corpus(new_policy(), clips)


@pytest.fixture(scope="session")
def new_speaker(
    new_policy: Callable[[], Policy], digits: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Policy]:
    """A maker of equal policies that have learned to answer with some digit."""
    policy = new_policy()
    optim = OptimConfig(name="muon", lr=1e-2)
    config = SFTConfig(8, 6, {Digits.name: 2}, {}, optim, save_every=100)
    train_sft(policy, digits, config, tmp_path_factory.mktemp("speaker"), Watch(Console(file=io.StringIO())))
    learned = policy.model.state_dict()

    def make() -> Policy:
        fresh = new_policy()
        fresh.model.load_state_dict(learned)
        return fresh

    return make


class Stop(Exception):
    """Raised by a test to end a run as a kill would, right after a step."""


@pytest.fixture
def stop_after() -> Callable[[int], Callable[[int], None]]:
    """``stop_after(k)`` is an ``on_step`` that raises :class:`Stop` after step ``k``."""

    def make(last: int) -> Callable[[int], None]:
        def on_step(step: int) -> None:
            if step == last:
                raise Stop

        return on_step

    return make


@pytest.fixture
def stopped() -> type[Stop]:
    return Stop
