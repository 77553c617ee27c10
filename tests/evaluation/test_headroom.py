"""Consensus and headroom: what several answers agree on, and what that is worth beside the greedy answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rft3d.answers import FrameBox, LabelledBox, parse_detections, render_detections, render_frame_box
from rft3d.evaluation.consensus import agreed_boxes, consensus
from rft3d.evaluation.headroom import HeadroomConfig, Questioned, headroom_of_files, read_questions
from rft3d.evaluation.predict import PredictConfig, predict
from rft3d.evaluation.records import read_predictions
from rft3d.evaluation.tables import headroom_table
from rft3d.prompts import Generation, Prompt
from rft3d.tasks import TASKS
from rft3d.tasks.forkme import CountFrames
from rft3d.tasks.samples import write_samples
from rft3d.tasks.types import Sample

from .fakes import detection_sample, grounding_sample, spatial_sample, write_frames

DETECTION = detection_sample(0)
GROUNDING = grounding_sample(0)
COUNTING = spatial_sample(0)


def box(x: float, label: str = "chair") -> LabelledBox:
    return LabelledBox(label, (x, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0))


def test_boxes_that_most_samples_name_are_kept_and_the_central_one_is_chosen() -> None:
    answers = [[box(0.0), box(5.0)], [box(0.1)], [box(0.2), box(9.0, "table")]]
    assert agreed_boxes(answers) == [box(0.1)]  # the middle one; what only one sample saw is left out


def test_two_things_of_one_label_stay_two() -> None:
    answers = [[box(0.0), box(3.0)], [box(3.1), box(0.1)], [box(0.05), box(3.05)]]
    assert sorted(each.box[0] for each in agreed_boxes(answers)) == [0.05, 3.05]


def test_one_sample_agrees_with_itself() -> None:
    assert agreed_boxes([[box(0.0), box(3.0)]]) == [box(0.0), box(3.0)]


def test_a_duplicate_inside_one_answer_is_no_second_vote() -> None:
    answers = [[box(0.0), box(0.0)], [box(4.0)], [box(7.0)]]
    assert agreed_boxes(answers) == []


def test_unreadable_texts_have_no_vote() -> None:
    task = TASKS["detection"]()
    good = render_detections([box(0.0)])
    found = parse_detections(consensus(task, DETECTION, ["nonsense", good, good]))
    assert found == (box(0.0),)
    assert consensus(task, DETECTION, ["nonsense", "more"]) == "nonsense"


def test_grounding_takes_the_central_box_and_never_mixes_frames() -> None:
    texts = [render_frame_box(FrameBox(f, box(x).box)) for f, x in ((0, 0.0), (0, 0.2), (0, 0.1), (1, 0.1))]
    assert consensus(TASKS["grounding"](), GROUNDING, texts) == texts[2]


def test_spatial_answers_vote_and_numbers_have_a_median() -> None:
    assert consensus(TASKS["spatial"](), COUNTING, ["2", "9", "3", "x"]) == "3"
    choice = Sample(
        "c",
        "spatial",
        "s",
        (),
        "Which?",
        {"question_type": "route_planning", "answer": "A", "options": ["1", "2", "3"]},
    )
    assert consensus(TASKS["spatial"](), choice, ["B", "A", "A", "C", "B", "A."]) == "A"


def test_no_texts_and_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one text"):
        consensus(TASKS["spatial"](), COUNTING, [])
    with pytest.raises(ValueError, match="no consensus"):
        consensus(TASKS["captioning"](), COUNTING, ["A chair."])


class Noisy:
    """Greedy it is wrong; two of three samples are right, the third is wrong in another way."""

    def sample_texts(
        self,
        prompts: Sequence[Prompt],
        frames: Sequence[Sequence[np.ndarray]],
        per: int,
        *,
        max_new_tokens: int,
        seed: int,
        temperature: float,
    ) -> list[list[Generation]]:
        found = []
        for prompt in prompts:
            right = self.right(prompt)
            answers = (
                ["100"] * per if temperature == 0 else ["50" if i % 3 == 2 else right for i in range(per)]
            )
            found.append([Generation(text, False, 1) for text in answers])
        return found

    @staticmethod
    def right(prompt: Prompt) -> str:
        return str(1 + int(prompt.text.split("room ")[1].rstrip("?")) % 3)


@pytest.fixture
def questions(tmp_path: Path) -> tuple[Path, list[Sample]]:
    samples = [spatial_sample(number) for number in range(6)]
    write_frames(tmp_path, samples)
    write_samples(tmp_path / "samples.jsonl", samples)
    return tmp_path / "samples.jsonl", samples


def test_headroom_sees_what_sampling_knows(questions: tuple[Path, list[Sample]]) -> None:
    path, samples = questions
    config = HeadroomConfig(k=3, temperatures=(0.5,), resamples=50)
    seen: list[int] = []
    found = Questioned(Noisy(), TASKS["spatial"](), samples, [path.parent], config, seen.append).headroom()
    row = found.temperatures[0]
    values = {
        name: row.answers[name]["micro"].value for name in ("greedy", "one sample", "best of k", "consensus")
    }
    assert values["greedy"] == 0.0 and values["best of k"] == values["consensus"] == 1.0
    assert values["one sample"] == pytest.approx(2 / 3)
    assert row.flat == 0.0 and row.minus_greedy["consensus"]["micro"].low == 1.0
    assert "gain up to about that much" in found.sentence and "temperature 0.5" in found.sentence
    assert sum(seen) == 12


def test_without_a_gap_the_sentence_promises_nothing(questions: tuple[Path, list[Sample]]) -> None:
    path, samples = questions
    policy = Noisy()
    policy.right = lambda prompt: "100"  # type: ignore[method-assign]
    few = HeadroomConfig(k=3, resamples=20)
    found = Questioned(policy, TASKS["spatial"](), samples, [path.parent], few).headroom()
    assert "expect RL to gain little" in found.sentence


def test_a_task_of_ones_own_has_headroom_without_a_consensus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its metrics without a ``/``, greedy against the best of k; a folder stands for its file too."""
    monkeypatch.setitem(TASKS, "forkme", CountFrames)
    asked = [spatial_sample(number) for number in range(6)]
    samples = [replace(s, task="forkme", truth={"answer": s.truth["answer"]}, meta={}) for s in asked]
    write_frames(tmp_path, samples)
    write_samples(tmp_path / "samples.forkme.jsonl", samples)
    policy, told = Noisy(), []
    policy.task_options = {}  # type: ignore[attr-defined]
    config = HeadroomConfig(k=3, temperatures=(0.5, 1.0), resamples=50)
    asked_of = read_questions([tmp_path])
    found = headroom_of_files(policy, "m", asked_of, config, told.append, show=False).tasks[0]
    row = found.best
    assert told and found.metrics == ("accuracy",) and found.reach == "best of k"
    assert row.answers.keys() == {"greedy", "one sample", "best of k"}
    assert row.answers["greedy"]["accuracy"].value == 0 and row.minus_greedy["best of k"]["accuracy"].low == 1
    assert "forkme has no consensus" in found.sentence and "by best of 3" in found.sentence
    assert headroom_table(found).row_count == 5


def test_predict_writes_the_consensus(questions: tuple[Path, list[Sample]], tmp_path: Path) -> None:
    path, samples = questions
    config = PredictConfig(temperature=0.5, consensus=3)
    out = predict(Noisy(), path, tmp_path / "p.jsonl", model="m", config=config, progress=False)
    found = read_predictions(out)
    assert [p.text for p in found] == [str(s.truth["answer"]) for s in samples]
    assert {p.tokens for p in found} == {3}


@pytest.mark.parametrize(
    "wrong", [{"consensus": 1, "temperature": 0.5}, {"consensus": 8, "temperature": 0.0}]
)
def test_a_consensus_of_one_or_of_greedy_answers_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 2 samples and a temperature above 0"):
        PredictConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"k": 1}, {"temperatures": ()}, {"temperatures": (0.0,)}])
def test_headroom_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        HeadroomConfig(**wrong)
