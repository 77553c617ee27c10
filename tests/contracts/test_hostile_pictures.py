"""Pictures that samples files name: one that is damaged costs its sample, one that lies elsewhere isn't opened."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.evaluation.fakes import TablePolicy, detection_sample, gold_answers, write_frames

from rft3d.evaluation.export_verl import export_verl
from rft3d.evaluation.headroom import HeadroomConfig, headroom_of_files
from rft3d.evaluation.predict import PredictConfig, predict
from rft3d.evaluation.records import Prediction, read_predictions, write_predictions
from rft3d.report import ReportConfig, write_report
from rft3d.report.exhibit import Wanted, exhibits
from rft3d.scenes.sources import load_frame_ref
from rft3d.tasks.samples import write_samples

SAMPLES = [detection_sample(number) for number in range(4)]


def bomb(path: Path, side: int = 50_000) -> None:
    """A PNG of 200 bytes that says it has ``side`` x ``side`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that ``rft3d samples`` might have written, with answers."""
    root = tmp_path / "run"
    write_frames(root, SAMPLES)
    write_samples(root / "samples.detection.jsonl", SAMPLES)
    answers = gold_answers(SAMPLES)
    made = [Prediction(sample.id, answers[sample.prompt]) for sample in SAMPLES]
    write_predictions(root / "m" / "detection.predictions.jsonl", made)
    return root


def _predicted(
    run: Path, tmp_path: Path, **options: object
) -> tuple[list[Prediction], list[str], TablePolicy]:
    policy, told = TablePolicy(gold_answers(SAMPLES)), []
    out = predict(
        policy, run / "samples.detection.jsonl", tmp_path / "p.jsonl", model="m", progress=False,
        config=PredictConfig(batch_size=2, max_new_tokens=2000), told=told.append, **options,
    )  # fmt: skip
    return read_predictions(out), told, policy


@pytest.mark.parametrize("kind", ["bomb", "text", "cut", "nothing"])
def test_a_damaged_picture_costs_its_sample_only(run: Path, tmp_path: Path, kind: str) -> None:
    bad = run / SAMPLES[1].frames[1]
    content = {"text": b"words", "cut": bad.read_bytes()[:60], "nothing": b""}.get(kind)
    bomb(bad) if content is None else bad.write_bytes(content)
    found, told, policy = _predicted(run, tmp_path)
    assert [p.id for p in found] == [s.id for s in SAMPLES]
    assert [bool(p.text) for p in found] == [True, False, True, True]
    assert len(told) == 1 and str(bad) in told[0] and SAMPLES[1].id in told[0] and "\n" not in told[0]
    assert [call["size"] for call in policy.calls] == [1, 2]
    page = write_report(run, tmp_path / "report").read_text()
    assert str(bad) in page and page.count('id="p-') == 7  # of eight pictures


def test_a_batch_of_nothing_but_damaged_pictures(run: Path, tmp_path: Path) -> None:
    for sample in SAMPLES:
        bomb(run / sample.frames[0])
    found, told, policy = _predicted(run, tmp_path)
    assert [p.text for p in found] == [""] * 4 and len(told) == 4 and not policy.calls


@pytest.mark.parametrize("how", ["dots", "absolute", "link"])
def test_pictures_elsewhere_are_not_opened(run: Path, tmp_path: Path, how: str) -> None:
    pytest.importorskip("pyarrow")
    private = tmp_path / "private"
    write_frames(private, SAMPLES[:1])
    target = private / SAMPLES[0].frames[0]
    name = {"dots": "../private/" + SAMPLES[0].frames[0], "absolute": str(target), "link": "frames/link.png"}[
        how
    ]
    if how == "link":
        (run / name).symlink_to(target)
    sly = replace(SAMPLES[0], frames=(name, SAMPLES[0].frames[1]))
    write_samples(run / "samples.detection.jsonl", [sly, *SAMPLES[1:]])
    said = r"sample 's0': frame reference .* lies outside .*run; if you trust .*--pictures"
    with pytest.raises(ValueError, match=said):
        _predicted(run, tmp_path)
    with pytest.raises(ValueError, match=said):
        list(exhibits(run))
    policy, few = Sampler(gold_answers(SAMPLES)), HeadroomConfig(2, (0.5,), 2, resamples=2)
    asked = {run / "samples.detection.jsonl": [sly]}
    with pytest.raises(ValueError, match=said):
        headroom_of_files(policy, "m", asked, few, show=False)
    assert headroom_of_files(policy, "m", asked, few, show=False, pictures=private).tasks[0].samples == 1
    for embed in (True, False):
        with pytest.raises(ValueError, match=said):
            export_verl(run / "samples.detection.jsonl", tmp_path / "verl", embed=embed)
    page = write_report(run, tmp_path / "closed").read_text()
    assert "lies outside" in page and page.count('id="p-') == 7
    page = write_report(run, tmp_path / "open", ReportConfig(pictures=private)).read_text()
    assert page.count('id="p-') == 8
    assert len(list(exhibits(run, Wanted(pictures=private)))) == 4
    assert load_frame_ref(name, run).shape == (112, 168, 3)  # who names no folder trusts the file


def test_a_folder_given_beside_the_samples(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "media"
    (run / "frames").rename(moved)
    (run / "frames").symlink_to(moved)
    with pytest.raises(ValueError, match="--pictures"):
        _predicted(run, tmp_path)
    (tmp_path / "p.jsonl.partial").unlink()
    found, told, _ = _predicted(run, tmp_path, pictures=moved)
    assert all(p.text for p in found) and not told


class Sampler(TablePolicy):
    task_options: ClassVar[Mapping[str, Any]] = {}

    def sample_texts(self, prompts: Any, frames: Any, per: int, **how: Any) -> list[Any]:
        how["temperature"] = 0.0
        return super().sample_texts(prompts, frames, per, **how)


def test_a_damaged_picture_among_those_that_are_exported_or_measured(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    bomb(run / SAMPLES[1].frames[1])
    told: list[str] = []
    assert export_verl(run / "samples.detection.jsonl", tmp_path / "verl", told=told.append) == 3
    policy = Sampler(gold_answers(SAMPLES))
    config = HeadroomConfig(k=2, temperatures=(0.5,), batch_size=2, resamples=2)
    asked = {run / "samples.detection.jsonl": SAMPLES}
    (found,) = headroom_of_files(policy, "m", asked, config, show=False, told=told.append).tasks
    assert found.samples == 3 and found.ids == tuple(sample.id for sample in (SAMPLES[0], *SAMPLES[2:]))
    assert len(told) == 2 and all(str(run / SAMPLES[1].frames[1]) in line for line in told)
