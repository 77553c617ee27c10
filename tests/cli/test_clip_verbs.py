"""``detect``, ``ground`` and ``ask`` from the command line, with a policy of a few thousand parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.scenes.videos import write_clip
from tests.tiny import make_policy

from rft3d.cli import main
from rft3d.scenes import RoomConfig, make_room, write_scene


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a video, and a scene folder."""
    folder = tmp_path_factory.mktemp("verbs")
    make_policy().save(folder / "model")
    write_clip(folder / "walk.mp4", frames=20)
    write_clip(folder / "tall.mp4", frames=3, width=64, height=96)
    write_scene(make_room(1, RoomConfig(frames=3, width=84, height=56, max_objects=3)), folder / "room")
    return folder


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    """What a verb prints, which must be JSON and nothing else."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_detect_in_a_video(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    found = answer(
        capsys,
        "detect",
        here / "walk.mp4",
        "--model",
        here / "model",
        "--fov",
        "60",
        "--max-new-tokens",
        "8",
        "--out",
        out,
    )
    assert found["task"] == "detection" and found["sampling"] == "one frame every 1 s from 0.00 s on"
    assert [frame["time_s"] for frame in found["frames"]] == [0.0, 1.0, 2.0, 3.0]  # type: ignore[index]
    assert str(found["model"]).startswith("model@") and found["tokens"] == 8 and found["truncated"] is True
    assert {path.name for path in out.iterdir()} >= {"index.html", "answer.json", "sheet.jpg", "frames"}
    assert json.loads((out / "answer.json").read_text()) == found


def test_the_answer_is_the_same_every_time(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = (
        "ask",
        here / "walk.mp4",
        "How many chairs are in this room?",
        "--model",
        here / "model",
        "--frames",
        "3",
        "--max-new-tokens",
        "4",
        "--out",
        tmp_path,
    )
    assert answer(capsys, *ask) == answer(capsys, *ask)


def test_ground_in_a_folder_with_poses(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(
        capsys,
        "ground",
        here / "room",
        "the chair by the window",
        "--model",
        here / "model",
        "--max-new-tokens",
        "4",
        "--out",
        tmp_path,
    )
    assert found["description"] == "the chair by the window" and len(found["frames"]) == 3  # type: ignore[arg-type]


def test_ask_with_options_about_a_portrait_video(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(
        capsys,
        "ask",
        here / "tall.mp4",
        "Which is nearer?",
        "--options",
        "bed",
        "desk",
        "--model",
        here / "model",
        "--max-new-tokens",
        "4",
        "--out",
        tmp_path,
    )
    assert found["options"] == ["A. bed", "B. desk"] and found["size"] == [64, 96]
    assert any("portrait" in str(note) for note in found["notes"])  # type: ignore[union-attr]


def test_without_out_the_page_is_in_runs(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    answer(
        capsys,
        "ask",
        here / "walk.mp4",
        "How many?",
        "--model",
        here / "model",
        "--frames",
        "1",
        "--max-new-tokens",
        "1",
    )
    assert (tmp_path / "runs/ask/walk/index.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.mp4",), "; give a video, a picture"),
        (("walk.mp4", "--fov", "60", "--intrinsics", "1", "1", "1", "1"), "not both"),
        (("walk.mp4", "--intrinsics", "50", "50", "900", "10"), "outside the 96x64 picture"),
        (("walk.mp4", "--frames", "0"), "frames must be at least 1"),
        (("walk.mp4", "--start", "99"), "nothing lies between"),
        (("walk.mp4", "--model", "no-such-model"), "no-such-model"),
        (("cut.mp4",), "cut off"),
    ],
)
def test_mistakes_are_one_line(
    here: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "cut.mp4").write_bytes((here / "walk.mp4").read_bytes()[:900])
    video, *rest = arguments
    model = () if "--model" in rest else ("--model", str(here / "model"))
    capsys.readouterr()
    assert main(["detect", str(here / video), *model, *rest]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("rft3d detect: ") and message in line and captured.out == ""


def test_try_goes_from_nothing_to_boxes(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = {"frames": 2, "width": 84, "height": 56, "max_objects": 3}
    policy = make_policy()
    policy.task_options["detection"] = {"decimals": 1}
    policy.save(tmp_path / "model")
    (tmp_path / "model" / "world.json").write_text(json.dumps(world))
    found = answer(capsys, "try", "--model", tmp_path / "model", "--out", tmp_path / "out", "--room", "3")
    assert found["clip"] == "rooms-3" and len(found["frames"]) == 2  # type: ignore[arg-type]
    assert found["warnings"] == [] and (tmp_path / "out" / "index.html").is_file()
    assert str(found["notes"][0]).endswith("objects (the same label, IoU above 0.25)")  # type: ignore[index]
    assert "true box" in (tmp_path / "out" / "index.html").read_text()
    again = answer(capsys, "detect", "--model", tmp_path / "model", "--out", tmp_path / "again")
    assert again["clip"] == "rooms-7" and again["notes"][0].startswith("found ")  # type: ignore[index]
    unknown = answer(
        capsys, "ground", "rooms:3", "the unicorn", "--model", tmp_path / "model", "--out", tmp_path
    )
    assert ("no object that this model knows" in str(unknown["notes"])) == bool(unknown["boxes"])


def test_a_room_seed_is_a_clip_and_other_pictures_get_a_warning(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--model", here / "model", "--max-new-tokens", "4", "--frames", "2", "--out", tmp_path)
    assert answer(capsys, "detect", "rooms:4", *common)["warnings"] == []
    assert answer(capsys, "detect", here / "room", *common)["warnings"] == []  # a saved room
    warned = answer(capsys, "detect", here / "walk.mp4", *common)["warnings"]
    assert "only seen procedural rooms" in str(warned)
    assert "only seen procedural rooms" in (tmp_path / "index.html").read_text()
