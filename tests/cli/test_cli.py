"""The command line: help for every verb, one clear line on bad input, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from tests.evaluation.fakes import TablePolicy, detection_sample, gold_answers, spatial_sample, write_frames
from tests.scenes.clips import write_clip

import rft3d
from rft3d.cli import VERBS, main
from rft3d.cli._words import EXAMPLES
from rft3d.evaluation import Prediction, write_predictions
from rft3d.tasks.samples import read_samples, write_samples

SAMPLES = [spatial_sample(number) for number in range(4)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_frames(tmp_path, SAMPLES)
    write_samples(tmp_path / "s.jsonl", SAMPLES)
    answers = gold_answers(SAMPLES)
    write_predictions(tmp_path / "p.jsonl", [Prediction(s.id, answers[s.prompt]) for s in SAMPLES])
    return tmp_path


def failure(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 2) -> str:
    """The one line that a failing command leaves on standard error."""
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.startswith("rft3d ")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: rft3d {verb}" in text
    assert len(text.splitlines()) > 8


def test_options_are_shown_with_names_not_with_types(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(
        each in shown
        for each in ("--model MODEL", "--frames N ", "--fov NUMBER ", "--intrinsics FX FY CX CY")
    )
    assert not re.search(r"\b(STR|INT|FLOAT|PATH|None}\|)", shown)


def test_help_names_every_verb_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in VERBS)
    script = (
        "import sys; from rft3d.cli import main; main(['--help'])\n"
        "heavy = {'numpy', 'torch', 'tyro', 'rich', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    source = str(Path(rft3d.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert done.returncode == 0, done.stderr


def test_what_lists_a_folder_and_what_says_no_imports_no_torch(tmp_path: Path) -> None:
    write_samples(tmp_path / "samples.detection.jsonl", [])
    lines = [
        "cache {}", "cache nowhere", "estimate nowhere.py", "train nowhere.py", "report {}", "report nowhere",
        "watch {} --once", "data check {}", "leaderboard", "leaderboard nowhere.json", "samples nowhere --out a",
        "questions nowhere --out b.jsonl", "export overlay nowhere --out c", "score nowhere --samples s --task x",
        "detect nowhere", "predict --model nowhere --samples s --out o", "headroom --model nowhere --samples s",
        f"experiment list --recipes {Path(__file__).parents[2] / 'recipes' / 'experiments'}",
    ]  # fmt: skip
    script = (
        "import json, sys; from rft3d.cli import main\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    main(line.split())\n"
        "    heavy = {'torch', 'transformers'} & set(sys.modules)\n"
        "    assert not heavy, (line, heavy)\n"
    )
    given = json.dumps([line.format(tmp_path) for line in lines])
    source = str(Path(rft3d.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", script, given],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    script = "import sys; from rft3d.cli import main; sys.exit(main(['experiment', 'list']))"
    source = Path(rft3d.__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(source)},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # before anything is written
        complaint = process.stderr.read()
    assert (process.returncode, complaint) == (141, "")


def test_a_broken_pipe_elsewhere_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("rft3d.cli._run", broken)
    assert "score: Broken pipe" in failure(capfd, "score")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"rft3d {rft3d.__version__}"


def test_bad_arguments_are_one_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cook: no such command (rft3d --help" in failure(capsys, "cook")
    assert "scor: no such command; did you mean score?" in failure(capsys, "scor")
    assert "--samples" in failure(capsys, "score", "--task", "spatial")
    line = failure(capsys, "score", "p", "--task", "detectoin", "--samples", "s")
    assert "--task detectoin: must be one of captioning, detection, grounding, spatial" in line
    assert "did you mean detection?" in line and "(e.g. rft3d score p.jsonl" in line
    assert "--colour" in failure(capsys, "report", files, "--colour", "red")
    line = failure(capsys, "rooms", "--seed", "x", "--count", "1", "--out", files / "o")
    assert "--seed x: must be a whole number" in line and "helptext" not in line
    assert "needs QUESTION" in failure(capsys, "ask", "clip.mp4")
    line = failure(capsys, "detect", "clip.mp4", "--intrinsics", "1", "2")
    assert "--intrinsics 1 2: must be numbers, as FX FY CX CY (" in line
    headroom = ("headroom", "--model", "m", "--samples", "s", "--temperatures")
    assert "--temperatures a: must be numbers, as 0.35 0.6 1.0 (" in failure(capsys, *headroom, "a")
    assert "headroom: HeadroomConfig.temperatures is empty; it must be some" in failure(capsys, *headroom)
    assert "did you mean vsi-bench?" in failure(capsys, "leaderboard", "--benchmark", "vsi")
    assert "detect: --frames: needs 1 value (" in failure(capsys, "detect", "clip.mp4", "--frames")
    assert "detect: more: one argument too many (" in failure(capsys, "detect", "clip.mp4", "more")
    (files / "scannet_meta_info_val.json").write_text("{}")
    line = failure(capsys, "detect", files / "scannet_meta_info_val.json")
    assert "holds text, no pictures; give a video" in line
    assert "ovrlay: must be one of" in failure(capsys, "export", "ovrlay", "run")
    line = failure(capsys, "rooms", "--seed", "1", "--count", "1", "--out", files / "o", "--lke", "rooms")
    assert "--lke: no such option; did you mean --like?" in line
    assert main([]) == 2


def test_score_prints_a_table_and_writes_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["score", "--task", "spatial", "--samples", str(files / "s.jsonl"), "--resamples", "20"]
    out = files / "scores" / "spatial.json"
    arguments += [str(files / "p.jsonl"), "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "macro8" in printed and "100.0" in printed and "unreadable 0.0 %" in printed
    result = json.loads(out.read_text())
    assert result["headline"]["micro"]["value"] == 1.0
    assert "exists; give another name, or --force" in failure(capsys, *arguments)
    assert main([*arguments, "--force"]) == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "'q3'"),
        ("unknown", "'stranger'"),
        ("broken", "p.jsonl:5"),
        ("absent", "p.jsonl"),
        ("binary", "p.jsonl"),
    ],
)
def test_bad_predictions_leave_one_line_and_no_file(
    files: Path, capsys: pytest.CaptureFixture[str], damage: str, message: str
) -> None:
    path, out = files / "p.jsonl", files / "out.json"
    if damage == "missing":
        path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    elif damage == "unknown":
        path.write_text(path.read_text() + '{"id": "stranger", "text": ""}\n')
    elif damage == "broken":
        path.write_text(path.read_text() + "{\n")
    elif damage == "absent":
        path.unlink()
    else:
        path.write_bytes(b"\xff\xfe\x00\x01")
    line = failure(
        capsys,
        "score",
        "--task",
        "spatial",
        "--samples",
        files / "s.jsonl",
        path,
        "--out",
        out,
    )
    assert message in line
    assert not out.exists()


def test_debug_shows_the_traceback(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [
        "score",
        "--task",
        "spatial",
        "--samples",
        str(files / "no"),
        str(files / "no"),
    ]
    with pytest.raises(FileNotFoundError):
        main([*arguments, "--debug"])
    monkeypatch.setenv("RFT3D_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        main(arguments)


def test_predict_runs_the_model_it_is_given(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = types.ModuleType("rft3d.models")
    seen: list[str] = []

    def load_policy(path: str) -> TablePolicy:
        seen.append(path)
        return TablePolicy(gold_answers(SAMPLES))

    fake.load_policy = load_policy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rft3d.models", fake)
    model = files / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"1")
    out = files / "new.jsonl"
    assert (
        main(["predict", "--model", str(model), "--samples", str(files / "s.jsonl"), "--out", str(out)]) == 0
    )
    assert seen == [str(model)]
    assert out.read_text() == "".join(
        json.dumps({"id": s.id, "text": t, "truncated": False, "tokens": len(t)}) + "\n"
        for s in SAMPLES
        for t in [gold_answers(SAMPLES)[s.prompt]]
    )


def test_predict_names_what_is_missing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--out", files / "o.jsonl")
    assert "no model folder" in failure(
        capsys, "predict", "--model", files / "no", "--samples", files / "s.jsonl", *common
    )
    model = files / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"1")
    assert "no.jsonl" in failure(
        capsys, "predict", "--model", model, "--samples", files / "no.jsonl", *common
    )
    assert "batch_size" in failure(
        capsys, "predict", "--model", model, "--samples", files / "s.jsonl", *common, "--batch-size", "0"
    )
    assert not (files / "o.jsonl").exists()


def test_files_that_are_missing_or_in_the_way_are_named_with_their_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent, file = tmp_path / "no.jsonl", tmp_path / "file"
    file.touch()
    line = failure(capsys, "score", "p.jsonl", "--task", "detection", "--samples", absent)
    assert line == f"rft3d score: --samples {absent}: there is no such file; check the path\n"
    assert (
        failure(capsys, "leaderboard", tmp_path)
        == f"rft3d leaderboard: {tmp_path}: this is a folder; give a file\n"
    )
    line = failure(capsys, "demo", "--quick", "--out", file)
    assert line == f"rft3d demo: --out {file}: a file is where a folder has to be; give another name\n"


def test_report_of_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not a run folder" in failure(capsys, "report", tmp_path)
    assert "no run folder" in failure(capsys, "report", tmp_path / "no")
    assert not list(tmp_path.iterdir())


def test_train_needs_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no recipe at" in failure(capsys, "train", tmp_path / "no.py", "--steps", "3")


def test_train_passes_overrides_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("rft3d.training.recipes")
    calls: list[tuple[Path, list[str]]] = []
    fake.run_recipe = lambda path, overrides: calls.append((path, overrides))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rft3d.training", types.ModuleType("rft3d.training"))
    monkeypatch.setitem(sys.modules, "rft3d.training.recipes", fake)
    recipe = tmp_path / "r.py"
    recipe.write_text("")
    assert main(["train", str(recipe), "--grpo.steps", "3"]) == 0
    assert calls == [(recipe, ["--grpo.steps", "3"])]


def test_rooms_writes_scenes_and_samples_of_every_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rooms"
    assert main(["rooms", "--seed", "5", "--count", "2", "--out", str(out)]) == 0
    for name in ("detection", "grounding", "spatial"):
        samples = list(read_samples(out / f"samples.{name}.jsonl"))
        assert {sample.task for sample in samples} == {name}
        for sample in samples:
            assert all((out / frame).is_file() for frame in sample.frames)
            assert len(sample.meta["T_world_camera"]) == len(sample.frames)
    capsys.readouterr()
    assert "exists" in failure(capsys, "rooms", "--seed", "5", "--count", "2", "--out", out)
    assert "count" in failure(capsys, "rooms", "--seed", "5", "--count", "0", "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_samples_of_a_clip_and_of_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, out, again = write_clip(tmp_path / "clip"), tmp_path / "out", tmp_path / "again"
    common = ["samples", "--frames", "2"]
    assert main([*common, str(clip), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "gold answers, grounding: full marks" in printed and "2 decimals" in printed
    labels = {row["label"] for s in read_samples(out / "samples.detection.jsonl") for row in s.truth["boxes"]}
    assert all(label in printed.split("--classes")[1] for label in labels)
    scenes = out / "scenes"
    assert main([*common, str(scenes), "--out", str(again)]) == 0
    for name in ("detection", "grounding", "spatial"):
        assert (again / f"samples.{name}.jsonl").read_bytes() == (out / f"samples.{name}.jsonl").read_bytes()


def test_samples_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "clip")
    common = ("samples", "--out", tmp_path / "out")
    assert "has 3 frames" in failure(capsys, *common, clip)
    assert "stride" in failure(capsys, *common, clip, "--frames", "2", "--stride", "0")
    assert "--decimals" in failure(capsys, *common, clip, "--decimals", "-1")
    assert "scene.json" in failure(capsys, *common, clip / "rgb")
    assert "nothing at" in failure(capsys, *common, tmp_path / "gone")
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


def test_score_over_labels_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class that is named but not listed costs nothing; the published list is the default."""
    sample = detection_sample(0)
    write_samples(tmp_path / "s.jsonl", [sample])
    gold = gold_answers([sample])[sample.prompt]
    write_predictions(tmp_path / "p.jsonl", [Prediction(sample.id, gold.replace("chair", "plant"))])
    command = ["score", "--samples", str(tmp_path / "s.jsonl"), str(tmp_path / "p.jsonl")]
    command += ["--resamples", "0", "--force", "--out", str(tmp_path / "o.json"), "--task"]
    for classes, f1 in (([], 0.05), (["--classes", "table"], 1.0), (["--classes", "table", "chair"], 0.5)):
        assert main([*command, "detection", *classes]) == 0
        assert json.loads((tmp_path / "o.json").read_text())["metrics"]["f1@0.25"] == pytest.approx(f1)
    capsys.readouterr()
    assert "classes" in failure(capsys, *command, "spatial", "--classes", "table")


def test_a_recipe_lists_its_fields_and_can_be_rehearsed(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(Path(__file__).parents[2] / "recipes" / "rft_4b_detection.py")
    assert main(["train", recipe, "--help"]) == 0
    fields = capsys.readouterr().out
    assert "--stages.0.group-size INT" in fields and "What advantages are divided by" in fields
    assert main(["train", recipe, "--dry-run", "--stages.0.steps", "7"]) == 0
    shown = capsys.readouterr().out
    assert '"steps": 7' in shown and "cost\n" in shown and "(not there yet)" in shown
    line = failure(capsys, "train", recipe, "--stages.0.stepz", "3")
    assert "--stages.0.stepz: no such option; did you mean --stages.0.steps?" in line
    line = failure(capsys, "train", recipe, "--stages.0.optim.betas", "a", "b")
    assert "--stages.0.optim.betas a b: must be numbers, as 0.9 0.999 (" in line
    line = failure(capsys, "train", recipe.replace("rft_4b", "rtf_4b"))
    assert "no recipe at" in line and "did you mean rft_4b_detection.py?" in line


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_two_examples_that_name_it(verb: str) -> None:
    assert len(EXAMPLES[verb]) == 2 and all(each.startswith(f"rft3d {verb}") for each in EXAMPLES[verb])
