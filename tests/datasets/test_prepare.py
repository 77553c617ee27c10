"""Samples from raw annotations: the protocol's windows and frames, reproducible, resumable, scored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from tests.scenes.published import (
    TRAIN,
    VAL,
    info_entry,
    room,
    write_descriptions,
    write_infos,
    write_labels,
    write_media,
    write_scans,
    write_sens,
)

from rft3d.cli import main
from rft3d.datasets import (
    DetectionSettings,
    GroundingSettings,
    Output,
    Prepared,
    Scan2cap,
    ScannetDetection,
    Scanrefer,
    Vsi,
    VsiSettings,
    read_meta,
)
from rft3d.datasets.detection import run_windows
from rft3d.datasets.extract import extract_scan
from rft3d.datasets.vgllm import detection_sample, grounding_sample
from rft3d.datasets.views import frame_area, frame_area_upstream, rotated_frames, spaced_frames
from rft3d.datasets.vsi import type_from_words
from rft3d.datasets.work import Job, JobOutput, prepare_samples
from rft3d.geometry import box_iou_pairs, canonical_boxes, transform_boxes
from rft3d.scenes.readers.vgllm import vgllm
from rft3d.scenes.sources import load_frame_ref
from rft3d.tasks import TASKS, Sample, read_samples
from rft3d.tasks.spatial.task import AFTER_NUMBER


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("disk")
    write_media(root / "media")
    write_infos(root / "embodiedscan_infos_val.pkl")
    write_infos(root / "embodiedscan_infos_train.pkl", info_entry(TRAIN))
    write_scans(root / "scans")
    write_scans(root / "scans", TRAIN)
    write_descriptions(root / "ScanRefer_filtered_val.json")
    write_descriptions(root / "ScanRefer_filtered_train.json", TRAIN)
    write_labels(root / "labels.tsv")
    return root


def detection(disk: Path, out: Path, settings: DetectionSettings | None = None, **more: Any) -> Prepared:
    more = {"media": disk / "media", "settings": settings or DetectionSettings(), **more}
    return ScannetDetection(infos=disk / "embodiedscan_infos_val.pkl", out=out, **more).prepare()


def scanned(disk: Path, split: str) -> dict[str, Path]:
    """The files of one split that ScanRefer's and Scan2Cap's samples come from."""
    return {
        "descriptions": disk / f"ScanRefer_filtered_{split}.json",
        "infos": disk / f"embodiedscan_infos_{split}.pkl",
        "scans": disk / "scans",
        "media": disk / "media",
    }


def test_windows_are_runs_without_gaps() -> None:
    assert run_windows([0, 10, 20, 30, 40], 2, 3, 10) == [(0, 3), (1, 4)]
    assert run_windows([0, 10, 20, 40, 50, 60, 70], 2, 3, 10) == [(3, 6)]
    assert run_windows([0, 10], 2, 3, 10) == []


def test_detection_samples(disk: Path, tmp_path: Path) -> None:
    out = tmp_path / "val.jsonl"
    made = detection(disk, out)
    samples = list(read_samples(out))
    assert made.samples == len(samples) == 4, (
        "13 places, a window of 4 spans 10: 4 windows, below the 10 drawn"
    )
    task = TASKS["detection"]()
    for sample in samples:
        start = int(sample.meta["window"][0]) // 10
        assert [int(name) for name in sample.meta["window"]] == [10 * (start + 3 * k) for k in range(4)]
        assert load_frame_ref(sample.frames[0], tmp_path).shape == (48, 64, 3)
        assert task.score(task.gold(sample), sample).value("f1@0.25") == 1.0
        world = transform_boxes(
            np.array(sample.meta["T_world_camera"][0]),
            np.array([r["bbox_3d"] for r in sample.truth["boxes"]]),
        )
        true = {thing.label: [] for thing in room().objects}
        for thing in room().objects:
            true[thing.label].append(thing.box)
        for row, box in zip(sample.truth["boxes"], world, strict=True):
            assert max(box_iou_pairs(box[None], t[None])[0] for t in true[row["label"]]) > 0.9999
    again = tmp_path / "again.jsonl"
    detection(disk, again)
    assert again.read_bytes() == out.read_bytes()
    meta = read_meta(out)
    assert (
        meta["plan"]["settings"]["frames"] == 4 and meta["samples"] == 4 and len(meta["plan"]["inputs"]) == 1
    )


def test_detection_like_upstream(disk: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    few = DetectionSettings(windows=2)
    detection(disk, ours, few)
    detection(disk, theirs, replace(few, like="vg-llm"))
    drawn = [sample.meta["window"][0] for sample in read_samples(theirs)]
    assert drawn == [f"{10 * w:05d}" for w in Random(42).sample(range(4), 2)]
    for sample in read_samples(theirs):
        boxes = np.array([row["bbox_3d"] for row in sample.truth["boxes"]])
        first = int(sample.meta["window"][0]) // 10
        listed = info_entry()["images"][first]["visible_instance_ids"]
        labels = [room().objects[k].label for k in listed]
        assert [row["label"] for row in sample.truth["boxes"]][: len(labels)] == labels, "the file's order"
        assert not np.allclose(boxes, canonical_boxes(boxes)) or np.allclose(boxes[:, 6:], 0)


def test_grounding_samples(disk: Path, tmp_path: Path) -> None:
    out = tmp_path / "val.jsonl"
    made = Scanrefer(
        **scanned(disk, "val"), out=out, settings=GroundingSettings(frames=5), labels=disk / "labels.tsv"
    ).prepare()
    samples = list(read_samples(out))
    assert made.samples == 2 * len(room().objects), "every description of val is kept"
    assert len({sample.frames for sample in samples}) == 1, "the frames of val don't depend on the object"
    task = TASKS["grounding"]()
    for sample in samples:
        score = task.score(task.gold(sample), sample)
        assert score.value("iou") > 0.8 and score.value("frame") == 1.0
        assert isinstance(sample.meta["unique"], bool) and sample.truth["box_world"][6:] == [0, 0, 0]
        frames = [room().frames[int(Path(ref).stem) // 10] for ref in sample.frames]
        if sample.meta["seen"]:
            visible = [
                sample.meta["object_id"] in f.visible and f.visible[sample.meta["object_id"]] > 0.05
                for f in frames
            ]
            areas = [
                frame_area(sample.truth["box_world"], f) * ok for f, ok in zip(frames, visible, strict=True)
            ]
            assert sample.truth["frame"] == int(np.argmax(areas))


@pytest.mark.parametrize("like", ["rft3d", "vg-llm"])
def test_training_frames_show_the_object(disk: Path, tmp_path: Path, like: Any) -> None:
    out = tmp_path / "train.jsonl"
    made = Scanrefer(
        **scanned(disk, "train"),
        out=out,
        settings=GroundingSettings("train", 3, like=like),  # type: ignore[arg-type]
        image_size=(64, 48),
    ).prepare()
    samples = list(read_samples(out))
    assert len(samples) + sum(made.skipped.values()) * (1 if like == "rft3d" else 2) >= 4 * len(
        room().objects
    )
    assert all(sample.meta["seen"] and len(sample.frames) <= 3 for sample in samples) and samples
    with pytest.raises(ValueError, match="scans of benchmarks"):
        Scanrefer(
            **scanned(disk, "val"), out=tmp_path / "no.jsonl", settings=GroundingSettings("train")
        ).prepare()


def test_frame_draws() -> None:
    wrapped = [rotated_frames(100, 32, Random(seed)) for seed in range(8)]
    assert all(len(frames) == 32 and len(set(frames)) == 32 for frames in wrapped)
    assert any(frames != sorted(frames) for frames in wrapped), "time wraps around"
    assert spaced_frames(8, 4, None) == [1, 3, 5, 7] and spaced_frames(2, 4, None) == [0, 1]
    frame, thing = room().frames[0], room().objects[0]
    for area in (frame_area, frame_area_upstream):
        assert 0 <= area(thing.box, frame) <= 64 * 48
        here = np.concatenate([frame.T_world_camera[:3, 3], [1, 1, 1, 0, 0, 0]])
        assert area(here, frame) == 0, "the camera is inside"
        ahead = frame.T_world_camera @ [0, 0, 2, 1]
        assert area(np.concatenate([ahead[:3], [0.1, 0.1, 0.1, 0, 0, 0]]), frame) > 0
        behind = frame.T_world_camera @ [0, 0, -2, 1]
        assert area(np.concatenate([behind[:3], [0.1, 0.1, 0.1, 0, 0, 0]]), frame) == 0


def test_caption_samples(disk: Path, tmp_path: Path) -> None:
    proposals = tmp_path / "pred.json"
    box = room().objects[0].box
    proposals.write_text(json.dumps({f"scannet/{VAL}": [[*box[:3], *box[3:6]], [9, 9, 9, 1, 1, 1]]}))
    out = tmp_path / "cap.jsonl"
    Scan2cap(
        **scanned(disk, "val"), out=out, settings=GroundingSettings(draws=1, frames=4), proposals=proposals
    ).prepare()
    samples = list(read_samples(out))
    assert len(samples) == len(room().objects) and all(len(s.truth["references"]) == 2 for s in samples)
    assert samples[0].truth["iou"] > 0.2 and samples[0].truth["input_box_world"][:3] == pytest.approx(box[:3])
    assert "object located at [" in samples[0].prompt and samples[0].truth["caption"].startswith(
        "This is the"
    )


def vsi_rows() -> list[dict[str, Any]]:
    return [
        {"id": 1, "dataset": "scannet", "scene_name": VAL, "question_type": "object_counting",
         "question": "How many chair(s) are in this room?", "options": None, "ground_truth": "3"},
        {"id": 2, "dataset": "scannet", "scene_name": VAL, "question_type": "object_rel_distance",
         "question": "Which is closest to the door?", "options": ["A. bed", "B. sofa"], "ground_truth": "B"},
    ]  # fmt: skip


def test_vsi_samples_from_videos(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from rft3d.scenes.clips import write_video

    write_video(
        tmp_path / "videos" / "scannet" / f"{VAL}.mp4",
        [np.full((48, 64, 3), 6 * k, np.uint8) for k in range(40)],
    )
    questions = tmp_path / "test.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in vsi_rows()))
    out = tmp_path / "out" / "vsi.jsonl"
    made = Vsi(questions=(questions,), media=tmp_path / "videos", out=out).prepare()
    one, two = read_samples(out)
    assert made.samples == 2 and len(one.frames) == 32
    expected = [6 * k for k in np.linspace(0, 39, 32).astype(int)]
    found = [float(load_frame_ref(ref, out.parent).mean()) for ref in one.frames]
    assert np.abs(np.array(found) - expected).max() < 5
    task = TASKS["spatial"]()
    assert (task.gold(one), task.gold(two)) == ("3", "B")
    assert task.score("B", two).total == 2.0 and "Options:\nA. bed\nB. sofa\nAnswer with" in two.prompt


def test_vsi_training_questions(disk: Path, tmp_path: Path) -> None:
    write_media(tmp_path / "media", "scene0191_00")
    ask = "<image>\nThese are frames of a video.\nIs it left?\nOptions:\nA. left\nB. right\n"
    ask += "Answer with the option's letter from the given choices directly."
    rows = [
        {"id": str(k), "data_source": "scannet", "scene_name": scene,
         "question_type": "object_rel_direction_v1",
         "conversations": [{"from": "human", "value": ask}, {"from": "gpt", "value": "B"}]}
        for k, scene in enumerate(["scene0191_00", VAL])
    ]  # fmt: skip
    path = tmp_path / "vlm3r.json"
    path.write_text(json.dumps(rows))
    for like in ("rft3d", "vg-llm"):
        out = tmp_path / f"{like}.jsonl"
        made = Vsi(
            questions=(path,),
            media=tmp_path / "media",
            out=out,
            settings=VsiSettings("train", 5, like=like),  # type: ignore[arg-type]
        ).prepare()
        (sample,) = read_samples(out)
        assert made.skipped == {"question about a benchmark's room": 1}
        assert sample.truth == {
            "question_type": "object_rel_direction_easy",
            "answer": "B",
            "options": ["A. left", "B. right"],
        }
        assert sample.prompt == "<image>" * 5 + ask.removeprefix("<image>\n") and list(
            sample.frames
        ) == sorted(sample.frames)
    with pytest.raises(FileExistsError, match="other settings"):
        Vsi(
            questions=(path,),
            media=tmp_path / "media",
            out=tmp_path / "rft3d.jsonl",
            settings=VsiSettings("train", 6),
        ).prepare()


def test_words_tell_the_question_type() -> None:
    assert type_from_words("How many chairs are there?", 0) == "object_counting"
    assert (
        type_from_words(
            "If I am standing by the bed and facing the sofa, is it to my left, right, or back?", 3
        )
        == "object_rel_direction_medium"
    )
    assert type_from_words("What colour is it?", 4) is None and type_from_words("How many?", 4) is None


def test_vgllm_records_become_samples(tmp_path: Path) -> None:
    frame, thing = room().frames[0], room().objects[0]
    turns = [{"from": "human", "value": "<image>\nDetect."}, {"from": "gpt", "value": "x"}]
    K = np.eye(4)
    K[:3, :3] = frame.intrinsics
    cameras = {
        "cam2img": K.tolist(),
        "cam2global": [frame.T_world_camera.tolist()],
        "axis_align_matrix": np.eye(4).tolist(),
    }
    box = thing.box.tolist()
    rows = [
        {
            "conversations": turns,
            "images": ["a.jpg"],
            "boxes": [{"label": "bed", "bbox_3d": box}],
            "target": {"frame": 0, "bbox_3d": box},
            "gt_bbox": box,
            **cameras,
        }
    ]
    (tmp_path / "v.json").write_text(json.dumps(rows))
    (record,) = vgllm(tmp_path / "v.json")
    detected, grounded = detection_sample(record, ["a.jpg"]), grounding_sample(record, ["a.jpg"])
    assert (
        detected.prompt == "<image>Detect."
        and TASKS["detection"]().score(TASKS["detection"]().gold(detected), detected).value("f1@0.25") == 1
    )
    assert len(grounded.truth["T_world_camera"]) == 1 and TASKS["grounding"]().gold(grounded)


TRUTH = {"question_type": "object_counting", "answer": 3}


def make_three(key: str) -> JobOutput:
    if key == "stop":
        raise RuntimeError("stopped")
    return JobOutput(
        tuple(Sample(f"{key}-{k}", "spatial", key, (), "text", TRUTH) for k in range(3)), {"why": 1}
    )


def jobs(*keys: str) -> Iterator[Job]:
    return (Job(key, key) for key in keys)


def test_a_stopped_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(out=tmp_path / "a.jsonl")
    with pytest.raises(RuntimeError, match="stopped"):
        prepare_samples(out, jobs("a/1", "b", "stop"), make_three, plan={"x": 1})
    assert not out.out.exists()
    with pytest.raises(FileExistsError, match="other settings"):
        prepare_samples(out, jobs("a/1"), make_three, plan={"x": 2})
    made = prepare_samples(out, jobs("a/1", "b", "c"), make_three, plan={"x": 1}, total=3)
    assert (made.samples, made.resumed, made.skipped) == (9, 2, {"why": 3})
    assert "jobs 3/3" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.meta.json"]
    again = prepare_samples(out, jobs(), make_three, plan={"x": 1})
    assert (again.samples, again.resumed) == (9, 3), "nothing to do"
    with pytest.raises(ValueError, match="two jobs"):
        prepare_samples(Output(out=tmp_path / "b.jsonl"), jobs("a", "a"), make_three, plan={})


def test_processes_write_the_same_bytes(disk: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        settings = DetectionSettings(frames=2)
        detection(disk, tmp_path / f"{workers}.jsonl", settings, workers=workers)
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_extracted_pictures_feed_the_infos(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sens = write_sens(tmp_path / "scans" / VAL / f"{VAL}.sens")
    assert extract_scan(sens, tmp_path / "one", every=10) == 2
    assert (
        main(["data", "extract", str(tmp_path / "scans"), "--out", str(tmp_path / "images"), "--every", "4"])
        == 0
    )
    assert "4 pictures of 1 recordings" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "images" / VAL).iterdir())[:3] == [
        "00000.jpg",
        "00000.txt",
        "00004.jpg",
    ]
    sens.write_bytes(sens.read_bytes()[:-900])
    with pytest.raises(ValueError, match="cut off"):
        extract_scan(sens, tmp_path / "two")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_recording_that_is_no_jpeg_does_not_stop_the_others(
    workers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    png = bytearray(write_sens(tmp_path / "scans" / "scene0001_00" / "scene0001_00.sens").read_bytes())
    png[12 + 7 + 4 * 64] = 1  # the kind of its colour pictures
    (tmp_path / "scans" / "scene0001_00" / "scene0001_00.sens").write_bytes(png)
    write_sens(tmp_path / "scans" / VAL / f"{VAL}.sens")
    command = [
        "data",
        "extract",
        str(tmp_path / "scans"),
        "--out",
        str(tmp_path / "images"),
        "--workers",
        workers,
    ]
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert "2 pictures of 1 recordings" in printed and "left out: " in printed
    assert "scene0001_00.sens: its pictures are png, only JPEG is copied" in printed
    assert (tmp_path / "images" / VAL / "00000.jpg").is_file()
    (tmp_path / "scans" / VAL / f"{VAL}.sens").unlink()
    assert main(command) == 2  # nothing at all could be extracted


def test_the_command(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "six.jsonl"
    arguments = [
        "--infos",
        str(disk / "embodiedscan_infos_val.pkl"),
        "--media",
        str(disk / "media"),
        "--out",
        str(out),
    ]
    assert (
        main(["data", "prepare", "scannet-detection", *arguments, "--frames", "2", "--like", "vg-llm"]) == 0
    )
    assert "samples of 1 scans" in capsys.readouterr().out
    assert asdict(next(iter(read_samples(out))))["task"] == "detection"
    assert main(["data", "prepare", "scannet-detection", *arguments, "--frames", "3"]) == 2
    assert "--force" in capsys.readouterr().err


def test_thoughts_are_worked_out_from_metadata(disk: Path, tmp_path: Path) -> None:
    """What the boxes show gets a thought, what they don't is left out by type with its reason."""
    scan = "scene0191_00"
    write_media(tmp_path / "media", scan)
    rows = []
    for number, (kind, ask, key) in enumerate(
        [
            ("object_counting", "How many chair(s) are in this room?", "2"),
            ("object_counting", "How many lamp(s) are in this room?", "1"),
            ("object_size_estimation", "What is the length of the longest dimension (length, width, or height) "
             "of the bed, measured in centimeters?", "200"),
            ("object_size_estimation", "What is the length of the longest dimension (length, width, or height) "
             "of the bed, measured in centimeters?", "150"),
            ("room_size_estimation", "What is the size of this room (in square meters)?", "12.0"),
        ]
    ):  # fmt: skip
        text = f"<image>\nThese are frames of a video.\n{ask}\n{AFTER_NUMBER}"
        turns = [{"from": "human", "value": text}, {"from": "gpt", "value": key}]
        rows.append(
            {
                "id": str(number),
                "data_source": "scannet",
                "scene_name": scan,
                "question_type": kind,
                "conversations": turns,
            }
        )
    (tmp_path / "vlm3r.json").write_text(json.dumps(rows))
    axes = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    box = {"axesLengths": [2, 1, 0.5], "normalizedAxes": axes}
    boxes = {
        "bed": [{**box, "centroid": [0, 0, 0.2]}],
        "chair": [{**box, "centroid": [2, 0, 0.2]}, {**box, "centroid": [0, 3, 0.2]}],
    }
    counts = {"bed": 1, "chair": 2}
    metadata = tmp_path / "scannet_meta_info_train.json"
    metadata.write_text(
        json.dumps({scan: {"room_size": 12.0, "object_counts": counts, "object_bbox": boxes}})
    )
    settings = VsiSettings("train", 3, answers="think")
    given: dict[str, Any] = {"questions": (tmp_path / "vlm3r.json",), "media": tmp_path / "media"}
    made = Vsi(**given, out=tmp_path / "t.jsonl", settings=settings, metadata=(metadata,)).prepare()
    samples = list(read_samples(tmp_path / "t.jsonl"))
    assert [TASKS["spatial"]().gold(sample) for sample in samples] == [
        "<think>From above (metres): chair at (2.00, 0.00); (0.00, 3.00). So it is 2.</think><answer>2</answer>",
        "<think>The bed measures 2.00 x 1.00 x 0.50 metres. Its longest edge is 2.00 metres, 200 centimeters. "
        "So it is 200.</think><answer>200</answer>",
    ]
    assert made.skipped == {
        "no thought for object_counting: a thing that it names has no box": 1,
        "no thought for object_size_estimation: the boxes lead to another answer than the key": 1,
        "no thought for room_size_estimation: a floor area without the floor's outline has no working": 1,
    }
    with pytest.raises(ValueError, match="need each other"):
        Vsi(**given, out=tmp_path / "u.jsonl", settings=settings).prepare()
    with pytest.raises(ValueError, match="think-prompt"):
        VsiSettings("test", answers="think")


def test_samples_without_pictures_or_videos(disk: Path, tmp_path: Path) -> None:
    """A log of answers is scored from annotations alone."""
    row = {
        "id": 3, "dataset": "scannet", "scene_name": VAL, "question_type": "object_counting",
        "question": "How many chair(s) are in this room?", "options": None, "ground_truth": "4",
    }  # fmt: skip
    (tmp_path / "vsi.json").write_text(json.dumps([row]))
    command = ["data", "prepare", "vsi", "--questions", str(tmp_path / "vsi.json")]
    assert main([*command, "--out", str(tmp_path / "q.jsonl"), "--no-frames"]) == 0
    (sample,) = read_samples(tmp_path / "q.jsonl")
    assert sample.frames == () and "<image>" not in sample.prompt and sample.truth["answer"] == 4
    assert main([*command, "--out", str(tmp_path / "r.jsonl")]) == 2  # neither videos nor --no-frames
    bare = detection(disk, tmp_path / "d.jsonl", media=None, no_frames=True)
    shown = detection(disk, tmp_path / "e.jsonl", image_size=(1296, 968))
    assert bare.samples == shown.samples
    for one, other in zip(read_samples(bare.path), read_samples(shown.path), strict=True):
        assert one.truth == other.truth and one.frames == () and other.frames


def vgllm_row(frame: Any, box: list[float], **more: Any) -> dict[str, Any]:
    K = np.eye(4)
    K[:3, :3] = frame.intrinsics
    return {
        "conversations": [{"from": "human", "value": "<image>\nDetect."}, {"from": "gpt", "value": "x"}],
        "images": [f"scannet/posed_images/{VAL}/00000.jpg"],
        "cam2img": K.tolist(),
        "cam2global": [frame.T_world_camera.tolist()],
        "axis_align_matrix": np.eye(4).tolist(),
        **more,
    }


def test_vgllms_own_files_are_prepared(tmp_path: Path) -> None:
    frame, thing = room().frames[0], room().objects[0]
    box = thing.box.tolist()
    words = [{"from": "human", "value": "Localize it."}]
    rows = {
        "det": vgllm_row(frame, box, boxes=[{"label": "bed", "bbox_3d": box}]),
        "empty": vgllm_row(frame, box, boxes=[]),
        "val": vgllm_row(frame, box, gt_bbox=box, target=None, conversations=words, prompt="Localize it.\n"),
        "train": {
            k: v for k, v in vgllm_row(frame, box, target={"frame": 0, "bbox_3d": box}).items()
            if not k.startswith(("cam", "axis"))
        },
        "cap": vgllm_row(frame, box, annotations=["A bed."], input_box=box[:6], gt_box=box[:6], iou=1.0),
    }  # fmt: skip
    made: dict[str, Sample] = {}
    for name, row in rows.items():
        (tmp_path / f"{name}.json").write_text(json.dumps([row]))
        command = ["data", "prepare", "vg-llm", "--file", str(tmp_path / f"{name}.json")]
        out = tmp_path / "out" / f"{name}.jsonl"
        assert main([*command, "--out", str(out), "--media", str(tmp_path), "--angles", "intrinsic"]) == 0
        (made[name],) = read_samples(out)
    assert made["det"].task == made["empty"].task == "detection" and made["empty"].truth["boxes"] == []
    assert made["det"].frames == (f"../scannet/posed_images/{VAL}/00000.jpg",)
    grounding = TASKS["grounding"]()
    assert made["val"].truth["frame"] == 0 and made["val"].prompt == "Frame-0: <image>Localize it.\n"
    assert grounding.score(grounding.gold(made["val"]), made["val"]).value("iou") > 0.9
    assert made["cap"].task == "captioning" and made["cap"].truth["caption"] == "x"
    assert grounding.parse(grounding.gold(made["train"]), made["train"], "strict")
    with pytest.raises(ValueError, match="serves SFT only"):
        grounding.score(grounding.gold(made["train"]), made["train"])
    # one box cannot tell its convention: nobody guesses
    command = [
        "data",
        "prepare",
        "vg-llm",
        "--file",
        str(tmp_path / "det.json"),
        "--out",
        str(tmp_path / "x"),
    ]
    assert main([*command, "--no-frames"]) == 2


def test_windows_without_objects_are_kept(disk: Path, tmp_path: Path) -> None:
    from rft3d.tasks import Detection

    scene = replace(room(), objects=(), expressions=())
    refs = [frame.name for frame in scene.frames]
    (sample,) = Detection(keep_empty=True).samples(scene, refs, 0)
    assert sample.truth["boxes"] == [] and Detection().samples(scene, refs, 0) == []
    assert Detection().score(Detection().gold(sample), sample).value("f1@0.25") == 1.0
    wrong = Detection().score('[{"label": "bed", "bbox_3d": [0, 0, 2, 1, 1, 1, 0, 0, 0]}]', sample)
    assert Detection().metric([sample], [wrong])["count/predictions"] == 1
