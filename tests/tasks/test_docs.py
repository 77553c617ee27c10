"""The records in ``docs/data.md`` and in the tasks' docstrings are real: they read, score and are made so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rft3d.scenes import RoomConfig, make_room
from rft3d.tasks import TASKS, Captioning, Detection, Grounding, Spatial
from rft3d.tasks import detection as detection_page
from rft3d.tasks import grounding as grounding_page
from rft3d.tasks.forkme import CountFrames
from rft3d.tasks.samples import read_jsonl, sample_from_record, write_jsonl
from rft3d.tasks.spatial import task as spatial_page

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def documented() -> list[dict]:
    lines, inside = [], False
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```json"
        elif inside:
            lines.append(json.loads(line))
    return lines


def test_documented_samples_are_what_the_tasks_make() -> None:
    scene = make_room(1, RoomConfig(frames=2))
    refs = ["rooms:1/0", "rooms:1/1"]
    makers = [Detection(), Grounding(), Spatial(max_per_type=9), Spatial(max_per_type=9, answers="think"),
              Captioning()]  # fmt: skip
    made = {sample.id: sample for task in makers for sample in task.samples(scene, refs, 0)}
    shown = [sample_from_record(record) for record in documented() if "truth" in record]
    assert {sample.task for sample in shown} == set(TASKS)
    for sample in shown:
        mine = next(s for s in made.values() if s.prompt == sample.prompt)
        assert mine.frames == sample.frames
        numbers(mine.truth, sample.truth)


def numbers(mine: object, shown: object) -> None:
    """Equal up to the four decimals that the page shows."""
    if isinstance(shown, dict):
        assert isinstance(mine, dict) and mine.keys() == shown.keys()
        for key in shown:
            numbers(mine[key], shown[key])
    elif isinstance(shown, list):
        assert isinstance(mine, list) and len(mine) == len(shown)
        for one, other in zip(mine, shown, strict=True):
            numbers(one, other)
    elif isinstance(shown, float):
        assert mine == pytest.approx(shown, abs=1e-4)
    else:
        assert mine == shown


def test_documented_predictions_score(tmp_path: Path) -> None:
    records = documented()
    samples = {r["id"]: sample_from_record(r) for r in records if "truth" in r}
    predictions = [r for r in records if "text" in r]
    assert {r["id"] for r in predictions} == set(samples)
    for record in predictions:
        sample = samples[record["id"]]
        score = TASKS[sample.task]().score(record["text"], sample)
        assert score.value("format") == 1.0 and score.total > 1.0
    assert write_jsonl(tmp_path / "p.jsonl", predictions) == len(predictions)
    assert [record for _, record in read_jsonl(tmp_path / "p.jsonl")] == predictions


def test_docstrings_show_real_samples() -> None:
    scene = make_room(1)
    refs = [f"rooms:1/{index}" for index in range(4)]
    page = detection_page.__doc__ or ""
    (sample,) = Detection().samples(scene, refs, 0)
    assert all(line.strip() in page for line in Detection().gold(sample).splitlines())
    two = make_room(1, RoomConfig(frames=2))
    grounding = Grounding().samples(two, refs[:2], 0)[0]
    assert all(
        line.strip() in (grounding_page.__doc__ or "") for line in Grounding().gold(grounding).splitlines()
    )
    page = " ".join((spatial_page.__doc__ or "").split())
    for answers in ("direct", "think"):
        task = Spatial(answers=answers, types=("object_rel_direction_medium",), max_per_type=1)
        (question,) = task.samples(scene, refs, 0)
        assert task.gold(question) in page
        assert question.truth["options"] == ["A. right", "B. back", "C. left"]


def test_forkme_shows_its_sample() -> None:
    import rft3d.tasks.forkme as page

    (sample,) = CountFrames().samples(make_room(1), [f"rooms:1/{index}" for index in range(4)], 0)
    for value in (sample.id, *sample.frames, sample.prompt[:80], str(sample.truth["answer"])):
        assert str(value) in (page.__doc__ or "")
    assert CountFrames().gold(sample) == "2"
