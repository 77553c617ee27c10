"""Prediction with a real policy, killed at random moments: the file is what an undisturbed run writes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.tiny import make_policy
from tests.training.survivor import KILLED, in_child, killed_at_random

from rft3d.evaluation.predict import PredictConfig, predict
from rft3d.evaluation.records import read_predictions
from rft3d.tasks.samples import write_samples

from .fakes import detection_sample, write_frames

SAMPLES = [detection_sample(number) for number in range(8)]
CONFIG = PredictConfig(batch_size=2, max_new_tokens=12, temperature=1.0, seed=3)


def run(folder: Path, out: str) -> Path:
    return predict(make_policy(), folder / "s.jsonl", folder / out, model="m", config=CONFIG, progress=False)


KILLS = int(os.environ.get("RFT3D_KILLS", "20"))


@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_kills_during_prediction(tmp_path: Path, kills: int) -> None:
    write_frames(tmp_path, SAMPLES)
    write_samples(tmp_path / "s.jsonl", SAMPLES)
    began = time.perf_counter()
    whole = run(tmp_path, "whole.jsonl").read_bytes()
    took = time.perf_counter() - began
    hit, seed = 0, 0
    while hit < kills:
        hit += killed_at_random(lambda name=f"cut{seed}.jsonl": run(tmp_path, name), took, 5, seed)
        assert (tmp_path / f"cut{seed}.jsonl").read_bytes() == whole
        seed += 1
        assert seed < 20 + 2 * kills
    assert len(read_predictions(tmp_path / "whole.jsonl")) == len(SAMPLES)


def test_a_kill_between_any_two_batches(tmp_path: Path) -> None:
    write_frames(tmp_path, SAMPLES)
    write_samples(tmp_path / "s.jsonl", SAMPLES)
    whole = run(tmp_path, "whole.jsonl").read_bytes()

    def killed(after: int) -> None:
        policy, calls = make_policy(), [0]
        generate = policy.sample_texts

        def spy(*args: object, **kwargs: object) -> object:
            calls[0] += 1
            if calls[0] > after:
                os.kill(os.getpid(), signal.SIGKILL)
            return generate(*args, **kwargs)  # type: ignore[arg-type]

        policy.sample_texts = spy  # type: ignore[method-assign,assignment]
        predict(
            policy, tmp_path / "s.jsonl", tmp_path / "cut.jsonl", model="m", config=CONFIG, progress=False
        )

    for after in (0, 1, 1, 1):  # each child makes one batch more
        assert in_child(lambda count=after: killed(count)) == KILLED
        assert not (tmp_path / "cut.jsonl").exists()
    assert run(tmp_path, "cut.jsonl").read_bytes() == whole
