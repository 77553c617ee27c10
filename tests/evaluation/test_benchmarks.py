"""Benchmarks: the published rules by hand-made numbers, and every difference to upstream's in its column."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rft3d.answers import LabelledBox, render_detections, render_frame_box
from rft3d.answers.types import FrameBox
from rft3d.cli import main
from rft3d.datasets.vsi import frames_of
from rft3d.evaluation import BENCHMARKS, Prediction, ScoreConfig, score_benchmark, write_predictions
from rft3d.evaluation.benchmarks.scannet_detection import CATE31_UPSTREAM
from rft3d.evaluation.benchmarks.scanrefer import refine
from rft3d.evaluation.results import BenchmarkResult, Official
from rft3d.files import plain
from rft3d.scenes.readers.scanrefer import read_proposals
from rft3d.scenes.readers.vsi_bench import COUNTS, vsi_bench
from rft3d.scenes.types import CATE8, CATE20, CATE31
from rft3d.tasks.samples import read_samples, write_samples
from rft3d.tasks.types import Sample

from .fakes import caption_sample, detection_sample, gold_answers, grounding_sample

CONFIG = ScoreConfig(resamples=20)
COMPAT = replace(CONFIG, compat="vg-llm")
UNIT = [0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def score(
    tmp_path: Path,
    name: str,
    samples: list[Sample],
    predictions: list[Prediction],
    config: ScoreConfig = COMPAT,
) -> BenchmarkResult:
    write_samples(tmp_path / "s.jsonl", samples)
    write_predictions(tmp_path / "p.jsonl", predictions)
    result = score_benchmark(name, tmp_path / "s.jsonl", tmp_path / "p.jsonl", config)
    json.dumps(result, allow_nan=False, default=plain)
    return result


def metric(result: BenchmarkResult, variant: str, name: str) -> float:
    return result.variants[variant].metrics[name]


def room(number: int, *things: tuple[str, list[float]]) -> Sample:
    rows = [{"label": label, "bbox_3d": box} for label, box in things]
    return Sample(f"r{number}", "detection", f"scene{number}", (), "Detect", {"boxes": rows})


def shifted(x: float, **changes: float) -> list[float]:
    box = list(UNIT)
    box[0] = x
    for index, value in changes.items():
        box[int(index[1:])] = value
    return box


def text(*things: tuple[str, list[float]]) -> str:
    return render_detections([LabelledBox(label, tuple(box)) for label, box in things])


def test_the_class_lists() -> None:
    assert set(CATE8) < set(CATE20) < set(CATE31) and len(CATE20) == 20 and len(CATE31) == 30
    assert len(CATE31_UPSTREAM) == 31 and CATE31_UPSTREAM.count("lamp") == 2
    assert set(CATE31_UPSTREAM) - set(CATE31) == {"towl"}
    assert sum(COUNTS.values()) == 5130 == BENCHMARKS["vsi-bench"].official["samples"]


def test_detection_counts_are_pooled_and_classes_averaged(tmp_path: Path) -> None:
    samples = [
        room(0, ("chair", shifted(0)), ("chair", shifted(5)), ("lamp", shifted(9))),
        room(1, ("chair", shifted(0)), ("towel", shifted(3))),
    ]
    answers = [
        text(("chair", shifted(0)), ("chair", shifted(50)), ("lamp", shifted(9))),
        text(("chair", shifted(0.1)), ("towel", shifted(3)), ("dragon", shifted(3))),
    ]
    predictions = [Prediction(s.id, answer) for s, answer in zip(samples, answers, strict=True)]
    result = score(tmp_path, "scannet-detection-4f", samples, predictions)
    # chair: 2 hits, 1 wrong, 1 missed -> 2/3; lamp and towel 1
    assert metric(result, "ours", "f1@0.25") == pytest.approx((2 / 3 + 1) / 20)
    assert metric(result, "ours", "f1@0.25/cate8") == pytest.approx((2 / 3) / 8)
    assert metric(result, "ours", "f1@0.25/cate30") == pytest.approx((2 / 3 + 1 + 1) / 30)
    assert metric(result, "ours", "count/outside_pred") == 1
    # upstream: lamp counts twice, the towel never
    assert metric(result, "vg-llm", "f1@0.25/cate31") == pytest.approx((2 / 3 + 2) / 31)
    assert metric(result, "vg-llm", "f1@0.25") == pytest.approx(metric(result, "ours", "f1@0.25"))
    assert result.official.complete is False
    found = result.variants["ours"].headline["f1@0.25"]
    assert found.low <= found.value <= found.high and found.scenes == 2


def test_a_hit_needs_more_than_a_quarter(tmp_path: Path) -> None:
    """Two unit cubes shifted by 0.6 overlap with IoU exactly 1/4 (0.4 / 1.6); a hair less shift is a hit."""
    cases = {0.6: 0.0, 0.59: 1.0}
    for shift, hits in cases.items():
        samples = [room(0, ("chair", shifted(0)))]
        predictions = [Prediction("r0", text(("chair", [shift, *UNIT[1:]])))]
        result = score(tmp_path, "scannet-detection-4f", samples, predictions)
        for variant in ("ours", "vg-llm"):
            assert metric(result, variant, "f1@0.25/class:chair") == hits


@pytest.mark.parametrize(
    ("answer", "truncated", "ours", "upstream"),
    [
        ("{gold}", False, 1.0, 1.0),
        ("{gold}", True, 0.0, 1.0),  # upstream scores whole lines of a cut text
        ("{one_line}", False, 1.0, 0.0),  # and throws a list on one line away
        ("{damaged}", False, 0.0, 1.0),  # and drops only the damaged line
        ("{single_quotes}", False, 0.0, 1.0),
        ("{negative}", False, 0.0, 1.0),
    ],
)
def test_every_difference_of_reading(
    tmp_path: Path, answer: str, truncated: bool, ours: float, upstream: float
) -> None:
    gold = text(("chair", shifted(0)))
    entry = json.dumps({"label": "chair", "bbox_3d": UNIT})
    answer = answer.format(
        gold=gold,
        one_line=f"[{entry}]",
        damaged=f"[\n{entry},\n{{'label': 'chair', 'bbox_3d': [1,\n]",
        single_quotes=f"[\n{entry}\n]".replace('"', "'"),
        negative=text(("chair", shifted(0, _3=-1.0, _4=-1.0))),
    )
    samples = [room(0, ("chair", shifted(0)))]
    result = score(tmp_path, "scannet-detection-4f", samples, [Prediction("r0", answer, truncated)])
    assert metric(result, "ours", "f1@0.25/class:chair") == ours
    assert metric(result, "vg-llm", "f1@0.25/class:chair") == upstream


def test_thin_boxes_are_unmatchable_upstream(tmp_path: Path) -> None:
    thin = shifted(0, _3=1e-4)  # a face of 1e-4 x 1 m: two triangles of half a square centimetre
    samples = [room(0, ("picture", thin))]
    answer = f'[\n{{"label": "picture", "bbox_3d": {thin}}}\n]'
    result = score(tmp_path, "scannet-detection-6f", samples, [Prediction("r0", answer)])
    assert metric(result, "ours", "f1@0.25/class:picture") == 1.0
    assert metric(result, "vg-llm", "f1@0.25/class:picture") == 0.0


def test_scanrefer_raw_and_refined(tmp_path: Path) -> None:
    samples = [replace(grounding_sample(n), meta={"unique": n % 2 == 0}) for n in range(4)]
    gold = gold_answers(samples)
    predictions = [Prediction(s.id, gold[s.prompt]) for s in samples[:3]] + [
        Prediction(samples[3].id, "no idea")
    ]
    truth = samples[0].truth["box_world"]
    # the second frame's camera stands 0.2 m to the right: the same numbers there are 0.2 m further right
    predictions[0] = Prediction(samples[0].id, render_frame_box(FrameBox(1, tuple(truth))))
    proposals = {f"scannet/{s.scene}": [[*s.truth["box_world"][:6]], [9.0, 9, 9, 1, 1, 1]] for s in samples}
    (tmp_path / "proposals.json").write_text(json.dumps(proposals))
    result = score(
        tmp_path, "scanrefer", samples, predictions, replace(COMPAT, proposals=tmp_path / "proposals.json")
    )
    assert list(result.variants) == ["ours", "ours, refined", "vg-llm", "vg-llm, refined"]
    assert metric(result, "ours", "acc@0.25") == 0.75
    assert metric(result, "ours", "acc@0.5") == 0.5  # a shift of 0.2 of 0.5 m leaves IoU 0.43
    assert (
        metric(result, "ours", "acc@0.25/unique") == 1.0
        and metric(result, "ours", "acc@0.25/multiple") == 0.5
    )
    assert metric(result, "ours, refined", "acc@0.5") == metric(result, "vg-llm, refined", "acc@0.5")
    assert result.variants["ours"].unreadable.count == 1


def test_accuracy_counts_an_iou_of_exactly_the_threshold(tmp_path: Path) -> None:
    sample = grounding_sample(0)
    sample = replace(sample, truth={**sample.truth, "box_world": UNIT})
    # sizes halved along one axis: IoU exactly 0.5
    answer = render_frame_box(FrameBox(0, tuple(shifted(0, _3=0.5))))
    result = score(tmp_path, "scanrefer", [sample], [Prediction(sample.id, answer)])
    for variant in ("ours", "vg-llm"):
        assert metric(result, variant, "acc@0.5") == 1.0


def test_refining_takes_the_best_proposal_or_none(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"scannet/a": [[0.9, 0, 2, 1, 1, 1], [0.2, 0, 2, 1, 1, 1]], "b": []}))
    found = read_proposals(path)
    assert refine(tuple(UNIT), found["a"])[0] == 0.2
    assert refine(tuple(shifted(50)), found["a"]) == tuple(shifted(50))
    assert refine(tuple(UNIT), found["b"]) == tuple(UNIT)
    path.write_text(json.dumps({"a": [[0, 0, 2]]}))
    with pytest.raises(ValueError, match="dx, dy, dz"):
        read_proposals(path)
    samples = [grounding_sample(0)]
    with pytest.raises(ValueError, match="no proposals for 1 scenes"):
        path.write_text(json.dumps({"a": []}))
        score(tmp_path, "scanrefer", samples, [Prediction("g0", "")], replace(CONFIG, proposals=path))


def question(number: int, kind: str, answer: float | str, options: list[str] | None = None) -> Sample:
    truth = {"question_type": kind, "answer": answer, **({"options": options} if options else {})}
    return Sample(f"q{number}", "spatial", f"scene{number}", (), "Question?", truth)


def test_vsi_bench_readings_and_averages(tmp_path: Path) -> None:
    left = ["A. left", "B. right"]
    samples = [
        question(0, "object_counting", 2),
        question(1, "object_rel_direction_easy", "A", left),
        question(2, "object_rel_direction_hard", "B", left),
        question(3, "object_rel_direction_hard", "B", left),
        question(4, "object_rel_distance", "A", left),
    ]
    answers = ["1.9", "A. left", "The answer is B", "<think>A or B?</think><answer>B</answer>", "A"]
    predictions = [Prediction(f"q{i}", answer, truncated=i == 4) for i, answer in enumerate(answers)]
    result = score(tmp_path, "vsi-bench", samples, predictions)
    # lenient: 1, 1, 1, 1, truncated; |1.9 - 2| / 2 is 0.05, which the last threshold lets pass in floats
    assert metric(result, "ours", "micro") == pytest.approx(4 / 5)
    assert metric(result, "ours", "macro8") == pytest.approx((1 + (1 + 1) / 2 + 0) / 3)
    # strict: "The" is no letter, "A." is
    assert metric(result, "strict", "micro") == pytest.approx(3 / 5)
    assert metric(result, "strict", "accuracy/object_rel_direction") == pytest.approx((1 + 0.5) / 2)
    # upstream: tags are text, a cut answer is an answer
    assert metric(result, "vg-llm", "micro") == pytest.approx(3 / 5)
    assert metric(result, "vg-llm", "accuracy/object_rel_distance") == 1.0
    assert metric(result, "vg-llm", "accuracy/object_rel_direction_hard") == 0.0
    assert result.official.expected["samples"] == 5130 and not result.official.complete


def test_names_are_checked(tmp_path: Path) -> None:
    sample = detection_sample(0)
    with pytest.raises(ValueError, match="unknown benchmark 'kitti'"):
        score(tmp_path, "kitti", [sample], [])
    with pytest.raises(ValueError, match="missing"):
        score(tmp_path, "scannet-detection-4f", [sample], [])
    allowed = score(tmp_path, "scannet-detection-4f", [sample], [], replace(COMPAT, allow_missing=True))
    assert len(allowed.missing) == 1
    assert np.isclose(metric(allowed, "vg-llm", "f1@0.25"), 0)


def test_scan2cap_by_hand_and_like_upstream(tmp_path: Path) -> None:
    """Three objects: a perfect caption, one about a badly detected box, and a refusal."""
    samples = [caption_sample(0), caption_sample(1, iou=0.3), caption_sample(2)]
    texts = [samples[0].truth["caption"], samples[1].truth["caption"], "I cannot see it."]
    predictions = [Prediction(s.id, t) for s, t in zip(samples, texts, strict=True)]
    result = score(tmp_path, "scan2cap", samples, predictions)
    ours, theirs = result.variants["ours"], result.variants["vg-llm"]
    assert list(ours.headline) == ["cider@0.5", "bleu4@0.5", "rouge_l@0.5"]
    assert ours.metrics["rouge_l@0.5"] == pytest.approx(1 / 3)
    assert ours.metrics["count/boxes"] == 2 and ours.unreadable.count == 1
    assert theirs.metrics["rouge_l@0.5"] > ours.metrics["rouge_l@0.5"], "sos eos, and the refusal's words"
    assert "detected boxes" in ours.note and not result.official.complete
    assert "METEOR" in result.benchmark.protocol
    true = [caption_sample(number) for number in range(3)]
    note = score(tmp_path, "scan2cap", true, predictions).variants["ours"].note
    assert "NOT the published protocol" in note


def test_vsi_as_other_harnesses_read_today(tmp_path: Path) -> None:
    samples = [
        question(0, "object_size_estimation", 1665.0),
        question(1, "object_rel_distance", "B", ["A. x", "B. y"]),
    ]
    predictions = [Prediction("q0", "1,665 cm"), Prediction("q1", "The answer is B")]
    values = {}
    for compat, name in (("lmms-eval", "lmms-eval 0.7.2"), ("vlmevalkit", "VLMEvalKit 0.2rc1")):
        found = score(tmp_path, "vsi-bench", samples, predictions, replace(CONFIG, compat=compat))
        values[compat] = [
            metric(found, name, f"accuracy/{kind}")
            for kind in ("object_size_estimation", "object_rel_distance")
        ]
    assert values == {"lmms-eval": [0.0, 0.0], "vlmevalkit": [0.0, 1.0]}  # 1, and "The"; 665, and B
    with pytest.raises(ValueError, match="not scored by 'lmms-eval'"):
        score(tmp_path, "scanrefer", [grounding_sample(0)], [], replace(CONFIG, compat="lmms-eval"))


def test_expressions_count_as_wrong_boxes_and_are_listed(tmp_path: Path) -> None:
    answer = f'{{"label": "chair", "bbox_3d": {UNIT}}}\n{{"label": "chair", "bbox_3d": [np.pi] * 9}}'
    result = score(tmp_path, "scannet-detection-4f", [room(0, ("chair", UNIT))], [Prediction("r0", answer)])
    assert metric(result, "vg-llm", "f1@0.25/class:chair") == pytest.approx(2 / 3)
    reasons = result.variants["vg-llm"].unreadable.reasons
    assert any("not run" in reason and count == 1 for reason, count in reasons.items())


def prepared(tmp_path: Path, rows: list[dict[str, Any]], name: str = "q") -> list[Sample]:
    """Samples without frames of questions in a published layout."""
    (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    out = tmp_path / f"{name}.jsonl"
    command = ["data", "prepare", "vsi", "--questions", str(tmp_path / f"{name}.json"), "--no-frames"]
    assert main([*command, "--out", str(out)]) == 0
    return list(read_samples(out))


def revsi_row(number: int, kind: str, answer: str, frames: object = "32") -> dict[str, Any]:
    choice = kind.startswith(("object_rel", "route"))
    return {
        "id": number, "dataset": "ScanNet", "scene_id": f"scene000{number}_00", "num_frames": frames,
        "question_type": kind, "question": "Where?", "options": ["A. left", "B. right"] if choice else None,
        "ground_truth": answer, "queried_object_ids": [1],
    }  # fmt: skip


def test_revsi_has_seven_categories_and_a_key_for_each_number_of_frames(tmp_path: Path) -> None:
    kinds = [
        ("object_counting_single", "2"), ("object_counting_multiple", "4"), ("object_abs_distance", "1.5"),
        ("room_size_estimation_single", "20"), ("object_rel_direction_forward_easy", "A"),
        ("object_rel_direction_backward_hard", "B"), ("object_rel_distance_farthest", "A"), ("route_planning", "B"),
    ]  # fmt: skip
    samples = prepared(tmp_path, [revsi_row(i, kind, key) for i, (kind, key) in enumerate(kinds)])
    assert {sample.meta["frame_budget"] for sample in samples} == {"32"}
    assert samples[0].prompt.endswith("Where?\nAnswer the question using a single integer or decimal number.")
    assert samples[4].prompt.endswith("Answer with the option's letter from the given choices directly.")
    texts = ["2", "three", "1.5 meters", "I guess 20.", "A. left", "<answer>B</answer>", "B", " B."]
    predictions = [Prediction(sample.id, text) for sample, text in zip(samples, texts, strict=True)]
    config = replace(CONFIG, compat="lmms-eval")
    result = score(tmp_path, "revsi", samples, predictions, config)
    # by categories: counting (1 + 0.5) / 2, distance 1, room 1, direction 1, relative distance 0, route 1;
    # |3 - 4| / 4 passes the thresholds 0.5 to 0.75
    assert metric(result, "ours", "accuracy/object_counting") == pytest.approx((1 + 0.6) / 2)
    assert metric(result, "ours", "overall") == pytest.approx((0.8 + 1 + 1 + 1 + 0 + 1) / 6)
    assert (
        metric(result, "ours", "overall/tasks") == 6
        and metric(result, "ours", "accuracy/route_planning") == 1
    )
    assert metric(result, "ours", "micro") == pytest.approx((1 + 0.6 + 1 + 1 + 1 + 1 + 0 + 1) / 8)
    # as published: the text up to the first space, tags or not
    assert metric(result, "lmms-eval", "overall") == pytest.approx((0.5 + 1 + 0 + 0.5 + 0 + 1) / 6)
    others = prepared(tmp_path, [revsi_row(9, "route_planning", "A", 64)], "other")
    with pytest.raises(ValueError, match="32 and 64 frames in one file"):
        score(tmp_path, "revsi", [*samples, *others], [*predictions, Prediction(others[0].id, "A")], config)
    with pytest.raises(ValueError, match="no sample belongs to revsi"):
        score(tmp_path, "revsi", [question(0, "object_counting", 2)], [Prediction("q0", "2")], config)
    with pytest.raises(ValueError, match=r"question_type is .*; it must be one of"):
        list(vsi_bench(write_rows(tmp_path, [revsi_row(0, "obj_appearance_order", "A")])))
    (record,) = vsi_bench(write_rows(tmp_path, [revsi_row(0, "object_counting_single", "2", "all")]))
    assert record.video == "all_frame/scene0000_00.mp4" and record.extra["frame_budget"] == "all"
    assert frames_of(record, 8) == 8  # all frames: as many as are asked for
    (record,) = vsi_bench(write_rows(tmp_path, [revsi_row(0, "object_counting_single", "2", 16)]))
    assert frames_of(record, 8) == 16


def write_rows(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    return tmp_path / "rows.json"


def test_debiased_scores_its_questions_of_the_whole_benchmark(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": n, "dataset": "scannet", "scene_name": f"scene{n}", "question_type": "object_counting",
         "question": "How many chair(s) are in this room?", "options": None, "ground_truth": "2", "pruned": n > 0}
        for n in range(3)
    ]  # fmt: skip
    samples = prepared(tmp_path, rows)
    predictions = [Prediction(sample.id, text) for sample, text in zip(samples, "299", strict=True)]
    assert metric(score(tmp_path, "vsi-bench", samples, predictions), "ours", "micro") == pytest.approx(1 / 3)
    result = score(tmp_path, "vsi-bench-debiased", samples, predictions)
    assert metric(result, "ours", "micro") == 1 and result.samples == 1
    assert result.official == Official({"samples": 2362}, {"samples": 1, "scenes": 1}, (0,), complete=False)
