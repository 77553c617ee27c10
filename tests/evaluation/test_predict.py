"""Predicting: order, resuming, provenance, and nothing half-written at OUT."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from rft3d.digests import model_fingerprint
from rft3d.evaluation.predict import PredictConfig, load_frames, predict
from rft3d.evaluation.records import Prediction, read_predictions, write_predictions
from rft3d.scenes.images import load_rgb
from rft3d.scenes.rooms import make_room
from rft3d.tasks.samples import write_samples

from .fakes import TablePolicy, detection_sample, gold_answers, write_frames

SAMPLES = [detection_sample(number) for number in range(10)]
CONFIG = PredictConfig(batch_size=4, max_new_tokens=2000)


@pytest.fixture
def samples_path(tmp_path: Path) -> Path:
    write_frames(tmp_path / "data", SAMPLES)
    write_samples(tmp_path / "data" / "val.jsonl", SAMPLES)
    return tmp_path / "data" / "val.jsonl"


def test_one_prediction_a_sample_in_order(samples_path: Path, tmp_path: Path) -> None:
    answers = gold_answers(SAMPLES)
    policy = TablePolicy(answers)
    out = predict(policy, samples_path, tmp_path / "p.jsonl", model="m", config=CONFIG, progress=False)
    found = read_predictions(out)
    assert [p.id for p in found] == [s.id for s in SAMPLES]
    assert [p.text for p in found] == [answers[s.prompt] for s in SAMPLES]
    assert not any(p.truncated for p in found)
    assert [call["size"] for call in policy.calls] == [4, 4, 2]
    assert sorted(path.name for path in tmp_path.glob("p.jsonl*")) == ["p.jsonl", "p.jsonl.meta.json"]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_resume_equals_no_stop(samples_path: Path, tmp_path: Path, temperature: float) -> None:
    config = dataclasses.replace(CONFIG, temperature=temperature)
    answers = gold_answers(SAMPLES)
    whole = predict(
        TablePolicy(answers), samples_path, tmp_path / "a", model="m", config=config, progress=False
    )
    out = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        predict(TablePolicy(answers, 2), samples_path, out, model="m", config=config, progress=False)
    assert not out.exists()
    partial = tmp_path / "b.partial"
    partial.write_bytes(partial.read_bytes()[:-7])  # killed while writing: half a line
    policy = TablePolicy(answers)
    predict(policy, samples_path, out, model="m", config=config, progress=False)
    assert [call["size"] for call in policy.calls] == [4, 2]  # the damaged batch is made again, whole
    assert out.read_bytes() == whole.read_bytes()
    assert not partial.exists() and not (tmp_path / "b.partial.meta.json").exists()


def test_a_finished_file_is_kept(samples_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.jsonl"
    predict(TablePolicy(gold_answers(SAMPLES)), samples_path, out, model="m", config=CONFIG, progress=False)
    policy = TablePolicy({})
    assert predict(policy, samples_path, out, model="m", config=CONFIG, progress=False) == out
    assert not policy.calls


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("changed", ["model", "samples", "max_new_tokens"])
def test_another_runs_file_is_refused(
    samples_path: Path, tmp_path: Path, changed: str, finished: bool
) -> None:
    out = tmp_path / "p.jsonl"
    policy = TablePolicy(gold_answers(SAMPLES), None if finished else 1)
    try:
        predict(policy, samples_path, out, model="m", config=CONFIG, progress=False)
    except KeyboardInterrupt:
        assert not finished
    config, model = CONFIG, "m"
    if changed == "model":
        model = "another"
    elif changed == "samples":
        write_samples(samples_path, SAMPLES[:-1])
    else:
        config = dataclasses.replace(CONFIG, max_new_tokens=3)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("p.jsonl*")}
    with pytest.raises(ValueError, match=f"another run: {changed}"):
        predict(TablePolicy({}), samples_path, out, model=model, config=config, progress=False)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("p.jsonl*")} == before


def test_a_file_of_unknown_origin_is_not_overwritten(samples_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.jsonl"
    out.write_text("precious")
    with pytest.raises(ValueError, match="origin is unknown"):
        predict(TablePolicy({}), samples_path, out, model="m", config=CONFIG, progress=False)
    assert out.read_text() == "precious"


def test_truncation_is_recorded(samples_path: Path, tmp_path: Path) -> None:
    config = PredictConfig(batch_size=3, max_new_tokens=5)
    out = predict(
        TablePolicy(gold_answers(SAMPLES)),
        samples_path,
        tmp_path / "p",
        model="m",
        config=config,
        progress=False,
    )
    assert all(p.truncated and len(p.text) == 5 for p in read_predictions(out))


def test_a_missing_picture_names_the_sample(samples_path: Path, tmp_path: Path) -> None:
    (samples_path.parent / SAMPLES[5].frames[1]).unlink()
    with pytest.raises(ValueError, match=SAMPLES[5].id):
        predict(
            TablePolicy(gold_answers(SAMPLES)),
            samples_path,
            tmp_path / "p",
            model="m",
            config=CONFIG,
            progress=False,
        )
    assert not (tmp_path / "p").exists()


def test_room_references_render_the_room_again() -> None:
    sample = dataclasses.replace(SAMPLES[0], frames=("rooms:3/1", "rooms:3/0"))
    room = make_room(3)
    shown = load_frames(sample, Path())
    assert np.array_equal(shown[0], load_rgb(room.frames[1]))
    assert np.array_equal(shown[1], load_rgb(room.frames[0]))
    with pytest.raises(ValueError, match=r"'s0'.*99"):
        load_frames(dataclasses.replace(SAMPLES[0], frames=("rooms:3/0", "rooms:3/99")), Path())


def test_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        model_fingerprint(folder)
    (folder / "weights").write_bytes(b"\1" * (3 << 20))
    first = model_fingerprint(folder)
    assert first == model_fingerprint(folder)
    (folder / "weights").write_bytes(b"\1" * ((3 << 20) - 1) + b"\2")
    assert model_fingerprint(folder) != first
    with pytest.raises(FileNotFoundError):
        model_fingerprint(tmp_path / "nowhere")


def test_any_text_survives_the_file(tmp_path: Path) -> None:
    texts = ["", "\n\r\u2028\x85\x00", "\ud800 half", '"quoted" \\ {"a": 1}', "é中😀", "x" * 100_000]
    written = [Prediction(str(i), text, bool(i % 2), i or None) for i, text in enumerate(texts)]
    write_predictions(tmp_path / "p.jsonl", written)
    assert read_predictions(tmp_path / "p.jsonl") == written


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a"}', "text"),
        ('{"id": [3], "text": ""}', "id"),
        ('{"id": "a", "text": "", "truncated": 1}', "truncated"),
        ('{"id": "a", "text": "", "tokens": "many"}', "tokens"),
        ("[1]", "object"),
        ('{"id": ', "not JSON"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "fine", "text": "x"}) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=rf"p\.jsonl:2.*{message}"):
        read_predictions(path)


@pytest.mark.parametrize("change", [{"batch_size": 0}, {"max_new_tokens": 0}, {"temperature": -1.0}])
def test_settings_are_checked(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        PredictConfig(**change)
