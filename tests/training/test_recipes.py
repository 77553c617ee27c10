"""A recipe from file to saved policies, in miniature; its mistakes are one line each."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.tiny import same_weights, weights_of

from rft3d.cli import main
from rft3d.evaluation.dataset import write_dataset
from rft3d.files import read_json
from rft3d.models import Policy, load_policy
from rft3d.models.fusion import SpatialQwen
from rft3d.scenes import RoomConfig, iter_rooms
from rft3d.tasks import Grounding, read_samples, write_samples
from rft3d.training.clips import read_clips
from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.data import require_gold
from rft3d.training.recipes import Recipe, apply_overrides, check_recipe, load_recipe, run_recipe

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.py"))

MINIATURE = """
from pathlib import Path
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.recipes import Recipe

HERE = Path({here!r})

def config() -> Recipe:
    data = HERE / "data"
    return Recipe(
        out=HERE / "run",
        model=HERE / "start",
        samples={{"detection": data / "samples.detection.jsonl", "spatial": data / "samples.spatial.jsonl"}},
        stages=(
            SFTConfig(2, 2, {{"detection": 1, "spatial": 2}}, {{}}, OptimConfig(lr=1e-3), save_every=1),
            RFTConfig(1, {{"detection": 1, "spatial": 2}}, 3, {{"detection": 12, "spatial": 4}}),
        ),
    )
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rooms with samples."""
    folder = tmp_path_factory.mktemp("recipe")
    small = RoomConfig(frames=2, width=84, height=56, max_objects=3)
    write_dataset(iter_rooms(range(2), small), folder / "data", seed=0)
    return folder


@pytest.fixture
def here(start: Path, tmp_path: Path, new_policy: Callable[[], Policy]) -> Path:
    """A folder with data, a policy to start from, and ``mini.py``."""
    (tmp_path / "data").symlink_to(start / "data")
    policy = new_policy()
    policy.task_options = {"detection": {"decimals": 1, "order": "azimuth"}}
    policy.save(tmp_path / "start")
    (tmp_path / "mini.py").write_text(MINIATURE.format(here=str(tmp_path)))
    return tmp_path


def test_a_miniature_recipe_end_to_end(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = SpatialQwen.encode
    monkeypatch.setattr(SpatialQwen, "encode", lambda self, *a: encoded.append(len(a[0])) or encode(self, *a))
    run_recipe(here / "mini.py", ["--stages.0.steps", "3", "--seed", "5"])
    out = here / "run"
    assert sum(encoded) == 2, "each of the two clips goes through the encoders once"
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"0-sft: {out}/models/0-sft", f"1-rft: {out}/models/1-rft"]
    assert len((out / "stages/0-sft/metrics.jsonl").read_text().splitlines()) == 3
    assert {s["stage"] for s in json.loads((out / "stages.json").read_text())} == {"0-sft", "1-rft"}
    saved = {name: load_policy(here / name) for name in ("start", "run/models/0-sft", "run/models/1-rft")}
    assert not same_weights(weights_of(saved["start"]), weights_of(saved["run/models/0-sft"]))
    assert saved["run/models/1-rft"].task_options["detection"]["order"] == "azimuth"
    assert json.loads((out / "config.json").read_text())["seed"] == 5

    before = (out / "models/1-rft/model.safetensors").stat().st_mtime_ns
    run_recipe(here / "mini.py", ["--stages.0.steps", "3", "--seed", "5"])
    assert (out / "models/1-rft/model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"differs in stages\.0\.steps\)"):
        run_recipe(here / "mini.py", ["--stages.0.steps", "4", "--seed", "5"])
    model = out / "models/1-rft/model.safetensors"
    data = model.read_bytes()
    model.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(ValueError, match=r"1-rft is not what was saved: the bytes of model.safetensors have"):
        run_recipe(here / "mini.py", ["--stages.0.steps", "3", "--seed", "5"])


def test_a_samples_file_or_model_changed_between_two_starts_is_refused(here: Path) -> None:
    _own_data(here)
    run_recipe(here / "mini.py", ["--stages.0.steps", "1"])
    samples = here / "data" / "samples.spatial.jsonl"
    text = samples.read_text()
    samples.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=r"differs in digests\.spatial\)"):
        run_recipe(here / "mini.py", ["--stages.0.steps", "1"])
    samples.write_text(text)
    (here / "start" / "new").touch()
    with pytest.raises(ValueError, match=r"differs in digests\.model\)"):
        run_recipe(here / "mini.py", ["--stages.0.steps", "1"])


def test_a_stopped_recipe_goes_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_recipe(here / "mini.py", [])
    out = here / "again"
    save = Policy.save
    broken = {"0-sft", "1-rft"}

    def fails_once(policy: Policy, path: Path) -> None:
        if path.name in broken:
            broken.discard(path.name)
            raise KeyboardInterrupt
        save(policy, path)

    monkeypatch.setattr(Policy, "save", fails_once)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_recipe(here / "mini.py", ["--out", str(out)])
    run_recipe(here / "mini.py", ["--out", str(out)])
    for name in ("0-sft", "1-rft"):
        whole, resumed = load_policy(here / "run/models" / name), load_policy(out / "models" / name)
        assert same_weights(weights_of(whole), weights_of(resumed))
        whole, resumed = (read_json(run / "stages" / name / "done.json") for run in (here / "run", out))
        assert whole["tokens"] == resumed["tokens"] > 0


def test_saving_and_loading_keeps_every_bit(new_policy: Callable[[], Policy], tmp_path: Path) -> None:
    policy = new_policy()
    policy.save(tmp_path / "p")
    loaded = load_policy(tmp_path / "p")
    assert same_weights(weights_of(policy), weights_of(loaded))
    assert torch.equal(policy.model.suppressed, loaded.model.suppressed)


def one_line(here: Path, capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    """What ``rft3d train`` leaves on standard error when the recipe or an override is wrong."""
    capsys.readouterr()
    assert main(["train", str(here / "mini.py"), *overrides]) == 2
    *before, line = capsys.readouterr().err.splitlines()
    assert line.startswith("rft3d train: ")
    assert all("Loading weights" in text for text in before if text), "the bar of loading a policy, no more"
    assert not (here / "run").exists()
    return line


def test_wrong_overrides_are_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--stages.0.stepz" in one_line(here, capsys, "--stages.0.stepz", "3")
    line = one_line(here, capsys, "--stages.0.steps", "many")
    assert "--stages.0.steps many: must be a whole number" in line
    assert "no-model" in one_line(here, capsys, "--model", str(here / "no-model"))
    assert "--model FOLDER" in one_line(here, capsys, "--model", "None")
    absent = here / "absent.jsonl"
    assert str(absent) in one_line(here, capsys, "--samples.spatial", str(absent))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "no function 'config'"),
        ("def config():\n    return 3\n", "returned a int"),
        (
            MINIATURE.replace('"spatial": data', '"cooking": data'),
            "task is 'cooking'; it must be one of detection",
        ),
        (
            MINIATURE.replace(', "spatial": data / "samples.spatial.jsonl"', ""),
            "stage 0 trains on spatial but",
        ),
        (MINIATURE.replace('"spatial": 4', '"grounding": 4'), "stage 1 has no max_new_tokens for spatial"),
        (MINIATURE.replace("spatial.jsonl", "detection.jsonl"), "is of task 'detection', not 'spatial'"),
    ],
)
def test_wrong_recipes_are_one_line(
    source: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mini.py").write_text(source.format(here=str(here)) if "{here" in source else source)
    assert message in one_line(here, capsys)


def test_a_gold_that_earns_no_format_mark_stops_the_run_before_training(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = list(read_samples(here / "data" / "samples.detection.jsonl"))
    samples[0].truth["boxes"][0]["label"] = ""
    write_samples(here / "data" / "damaged.jsonl", samples)
    line = one_line(here, capsys, "--samples.detection", str(here / "data" / "damaged.jsonl"))
    assert "damaged.jsonl:1: truth.boxes[0]" in line and "label" in line


@pytest.mark.parametrize(
    ("place", "value"), [(3, 0.0), (3, -0.5), (0, float("inf")), (6, float("nan")), (0, 40.0), (5, 9.0)]
)
def test_a_box_that_the_gold_answer_misses_is_found_before_training(place: int, value: float) -> None:
    """Size zero or negative, a centre or angle that is no number, or a box elsewhere in the world."""
    task = Grounding()
    scene = next(iter_rooms(range(1), RoomConfig(frames=2, width=84, height=56, max_objects=3)))
    samples = task.samples(scene, [f"rooms:0/{i}" for i in range(2)], 0)
    require_gold(task, samples)
    samples[-1].truth["box_world"][place] = value
    with pytest.raises(ValueError, match=rf"sample '{samples[-1].id}'.*mend its truth or leave it out"):
        require_gold(task, samples)


def test_overrides_reach_every_kind_of_field(tmp_path: Path) -> None:
    base = Recipe(
        Path("o"), None, {"detection": Path("a")}, (SFTConfig(), RFTConfig()), {"detection": {"decimals": 2}}
    )
    changed = apply_overrides(
        base,
        ["--stages.1.prompts-per-step.detection", "3", "--stages.0.optim.lr", "0.5", "--model", "m/n",
         "--tasks.detection.decimals", "1", "--samples.detection", "b", "--stages.1.beta", "0.1"],
    )  # fmt: skip
    assert (
        type(changed) is Recipe
        and isinstance(changed.stages[1], RFTConfig)
        and isinstance(changed.stages[0], SFTConfig)
    )
    assert changed.stages[1].prompts_per_step == {**RFTConfig().prompts_per_step, "detection": 3}
    assert changed.stages[1].beta == 0.1 and changed.stages[0].optim.lr == 0.5
    assert changed.model == Path("m/n") and changed.samples == {"detection": Path("b")}
    assert changed.tasks == {"detection": {"decimals": 1}}
    assert apply_overrides(base, []) is base


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_says_how_to_run_it(path: Path) -> None:
    recipe = load_recipe(path)
    assert check_recipe(recipe, path) == tuple(recipe.samples)
    spec = importlib.util.spec_from_file_location("r", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.__doc__ or ""
    assert f"rft3d train recipes/{path.name}" in text
    assert all(word in text for word in ("Hardware:", "Time:", "Expected:"))


def test_missing_pictures_name_sample_and_file_before_there_is_a_run(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = list(read_samples(here / "data" / "samples.spatial.jsonl"))
    lost = dataclasses.replace(samples[1], frames=("frames/lost.png", *samples[1].frames[1:]))
    write_samples(here / "data" / "lost.jsonl", [samples[0], lost])
    monkeypatch.setattr(SpatialQwen, "encode", lambda *_: pytest.fail("nothing may be encoded"))
    line = one_line(here, capsys, "--samples.spatial", str(here / "data" / "lost.jsonl"))
    assert "no picture at" in line and repr(lost.id) in line and "frames/lost.png" in line


def _own_data(here: Path) -> Path:
    """A copy of the data that a test may damage, in place of the shared one."""
    shutil.copytree(here / "data", here / "own")
    (here / "data").unlink()
    return (here / "own").rename(here / "data")


@pytest.mark.parametrize("encode", ["first", "as_needed"])
def test_a_damaged_picture_ends_in_a_line_that_names_it(
    here: Path, capsys: pytest.CaptureFixture[str], encode: str
) -> None:
    data = _own_data(here)
    damaged = [data / sample.frames[-1] for sample in read_samples(data / "samples.spatial.jsonl")]
    for file in damaged:
        file.write_bytes(file.read_bytes()[:60])
    assert main(["train", str(here / "mini.py"), "--cache.encode", encode]) == 2
    said = capsys.readouterr().err
    line = said.splitlines()[-1]
    assert line.startswith("rft3d train: sample ") and "Traceback" not in said
    assert any(f"{file} cannot be read" in line for file in damaged)


def test_pictures_elsewhere_are_not_trained_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = _own_data(here)
    file = data / "samples.spatial.jsonl"
    sample = next(iter(read_samples(file)))
    shutil.copy(data / sample.frames[0], here / "private.png")
    (data / "link.png").symlink_to(here / "private.png")
    for name in ("../private.png", str(here / "private.png"), "link.png"):
        write_samples(file, [dataclasses.replace(sample, frames=(name, *sample.frames[1:]))])
        line = one_line(here, capsys)
        assert f"sample {sample.id!r}" in line and "lies outside" in line and "--pictures" in line
        closed, open_ = (read_clips({"spatial": file}, ["spatial"], folder) for folder in (None, here))
        for read in (closed.load, closed.size):
            with pytest.raises(ValueError, match="lies outside"):
                read(0)
        assert len(open_.load(0)) == 2 and open_.size(0) == (2, 56, 84)
        open_.check_places(0)


def test_held_out_and_cache_through_a_recipe(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = SpatialQwen.encode
    monkeypatch.setattr(SpatialQwen, "encode", lambda self, *a: encoded.append(len(a[0])) or encode(self, *a))
    source = (here / "mini.py").read_text()
    held = 'model=HERE / "start",\n        held_out={"spatial": data / "samples.spatial.jsonl"},'
    (here / "mini.py").write_text(source.replace('model=HERE / "start",', held))
    options = ["--cache.folder", str(here / "cache"), "--cache.clips-in-memory", "1"]
    run_recipe(here / "mini.py", options)
    assert sum(encoded) == 2, "training and held-out samples share their clips"
    stages = here / "run/stages"
    log = [json.loads(line) for line in (stages / "1-rft/metrics.jsonl").read_text().splitlines()]
    assert all("held_out/spatial/reward" in line for line in log)
    encoded.clear()
    run_recipe(here / "mini.py", [*options, "--out", str(here / "again")])
    assert not encoded, "another run finds everything in the cache"
    for name in ("0-sft", "1-rft"):
        a, b = load_policy(here / "run/models" / name), load_policy(here / "again/models" / name)
        assert same_weights(weights_of(a), weights_of(b))
