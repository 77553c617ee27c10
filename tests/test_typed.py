"""What JSON and TOML hold becomes what dataclasses declare, or one line says where it does not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rft3d.files import plain
from rft3d.scenes.rooms import RoomConfig, read_room_config
from rft3d.tasks.samples import sample_from_record
from rft3d.typed import typed

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
TOML = """
out = "runs/a"
model = "rooms-sft"
seed = 3
[samples]
detection = "data/samples.detection.jsonl"
[load]
device = "cpu"
[[stages]]
kind = "rft"
steps = 5
epsilon_high = 0.28
prompts_per_step = {detection = 4}
optim = {lr = 1e-4}
"""


def test_a_recipe_as_data_executes_nothing(tmp_path: Path) -> None:
    from rft3d.training.config import RFTConfig
    from rft3d.training.recipes import apply_overrides, load_recipe

    (tmp_path / "a.toml").write_text(TOML)
    recipe = load_recipe(tmp_path / "a.toml")
    (stage,) = recipe.stages
    assert isinstance(stage, RFTConfig) and (stage.steps, stage.epsilon_high, stage.optim.lr) == (
        5,
        0.28,
        1e-4,
    )
    assert recipe.out == Path("runs/a") and recipe.samples["detection"].name == "samples.detection.jsonl"
    changed = apply_overrides(recipe, ["--stages.0.steps", "7"]).stages[0]
    assert isinstance(changed, RFTConfig) and (changed.steps, changed.epsilon_high) == (7, 0.28)
    code = "import pathlib\npathlib.Path('HERE').touch()\n"
    for name in ("b.toml", "b.json"):
        (tmp_path / name).write_text(code)
        with pytest.raises(ValueError, match=rf"b\{name[1:]}"):
            load_recipe(tmp_path / name)
    assert not Path("HERE").exists()


@pytest.mark.parametrize("name", sorted(path.name for path in RECIPES.glob("*.py")))
def test_every_recipe_can_be_written_as_data(tmp_path: Path, name: str) -> None:
    from rft3d.training.recipes import load_recipe

    recipe = load_recipe(RECIPES / name)
    data = json.loads(json.dumps(asdict(recipe), default=plain))
    for stage, table in zip(recipe.stages, data["stages"], strict=True):
        table["kind"] = type(stage).__name__.removesuffix("Config").lower()
    (tmp_path / "a.json").write_text(json.dumps(data))
    again = load_recipe(tmp_path / "a.json")
    assert json.dumps(asdict(again), default=plain) == json.dumps(asdict(recipe), default=plain)
    assert again.stages == recipe.stages and type(again.out) is type(recipe.out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("seed = 3", "seed = 3.5"), r"a\.toml\.seed is 3\.5; it must be a whole number"),
        (("seed = 3", "sede = 3"), r"a\.toml has no field 'sede'; did you mean 'seed'"),
        (('out = "runs/a"', ""), r"a\.toml lacks the field 'out'"),
        (('"rft"', '"ppo"'), r"stages\[0\]\.kind is 'ppo'; it must be one of 'sft', 'rft'"),
        (("steps = 5", "steps = '5'"), r"stages\[0\]\.steps is '5'; it must be a whole number"),
        (("lr = 1e-4", "lr = inf"), r"stages\[0\]\.optim\.lr is inf; it must be a finite number"),
        (("lr = 1e-4", "betas = [0.9]"), r"stages\[0\]\.optim\.betas is \[0\.9\]; it must be a list of 2"),
        (("0.28", "[1]"), r"stages\[0\]\.epsilon_high is \[1\]"),
        (('device = "cpu"', "device = 1"), r"load\.device is 1; it must be text"),
        (
            ('detection = "data/samples.detection.jsonl"', "detection = 1"),
            r"samples\.detection is 1; it must be a path",
        ),
        (("[samples]", "[samples"), r"a\.toml cannot be read .*mend the line"),
    ],
)
def test_odd_recipes_are_refused_in_one_line(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    from rft3d.training.recipes import load_recipe

    assert TOML.count(change[0]) >= 1
    (tmp_path / "a.toml").write_text(TOML.replace(*change))
    with pytest.raises(ValueError, match=said):
        load_recipe(tmp_path / "a.toml")


BOX = [0.0, 0, 2, 1, 1, 1, 0, 0, 0]
POSE = [[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
TRUTHS: dict[str, dict[str, Any]] = {
    "detection": {"boxes": [{"label": "chair", "bbox_3d": BOX, "more": 1}], "extra": "is left alone"},
    "grounding": {"frame": 0, "bbox_3d": BOX, "box_world": BOX, "T_world_camera": [POSE]},
    "spatial": {
        "question_type": "object_rel_direction_easy",
        "answer": "A",
        "options": ["A. left", "B. right"],
    },
    "captioning": {"caption": "A chair", "references": ["A chair"], "iou": 1},
}


def _sample(task: str, truth: object) -> Any:
    record = {
        "id": "a",
        "task": task,
        "scene": "s",
        "frames": ["0.png"],
        "prompt": "<image>?",
        "truth": truth,
    }
    return sample_from_record(record, "val.jsonl:7")


@pytest.mark.parametrize("task", TRUTHS)
def test_truths_pass_as_they_are(task: str) -> None:
    assert _sample(task, TRUTHS[task]).truth == TRUTHS[task]
    assert _sample("mine", {"anything": None}).truth == {"anything": None}


@pytest.mark.parametrize(
    ("task", "truth", "said"),
    [
        ("detection", {}, "lacks the field 'boxes'"),
        ("detection", {"boxes": {}}, r"truth\.boxes is \{\}; it must be a list"),
        ("detection", {"boxes": [[]]}, r"truth\.boxes\[0\] is \[\]; it must be an object"),
        ("detection", {"boxes": [{"label": 1, "bbox_3d": BOX}]}, r"boxes\[0\]\.label is 1; it must be text"),
        ("detection", {"boxes": [{"label": "a", "bbox_3d": BOX[:8]}]}, r"bbox_3d is .* shape \[9\]"),
        (
            "detection",
            {"boxes": [{"label": "a", "bbox_3d": [*BOX[:8], float("nan")]}]},
            r"bbox_3d is .* finite",
        ),
        ("detection", {"boxes": [{"label": "a", "bbox_3d": [*BOX[:8], "0"]}]}, r"bbox_3d is .* finite"),
        ("detection", {"boxes": [{"label": "a", "bbox_3d": [*BOX[:8], 10**400]}]}, r"bbox_3d is .* finite"),
        ("grounding", {"frame": 3, "bbox_3d": BOX, "T_world_camera": [POSE]}, "frame 3 must be one of the 1"),
        ("grounding", {"frame": True, "bbox_3d": BOX}, r"truth\.frame is True; it must be a whole number"),
        (
            "grounding",
            {"frame": 0, "bbox_3d": BOX, "T_world_camera": [POSE[:3]]},
            r"T_world_camera is .*\[-1, 4, 4\]",
        ),
        ("spatial", {"question_type": "object_counting", "answer": "A"}, "'A' must be a number"),
        (
            "spatial",
            {"question_type": "route_planning", "answer": "C", "options": ["A. x"]},
            "'C' must be one of",
        ),
        ("spatial", {"question_type": "route_planning", "answer": "A"}, "'A' must be one of the options"),
        ("spatial", {"question_type": [], "answer": 1}, r"question_type is \[\]; it must be text"),
        (
            "captioning",
            {"caption": "a", "references": [], "iou": 1},
            "references must be a list of descriptions",
        ),
        (
            "captioning",
            {"caption": "a", "references": [1], "iou": 1},
            r"references\[0\] is 1; it must be text",
        ),
    ],
)
def test_truths_that_no_task_can_score_are_refused(task: str, truth: object, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        _sample(task, truth)
    assert str(caught.value).startswith("val.jsonl:7: truth") and len(str(caught.value)) < 300


def test_a_room_config_is_typed(tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    file.write_text('{"frames": 2, "labels": ["chair", "table"], "fov_deg": 60}')
    assert read_room_config(file) == RoomConfig(frames=2, labels=("chair", "table"), fov_deg=60.0)
    for text, said in (
        ('{"frames": "2"}', "frames is '2'"),
        ("[]", "named fields"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=rf"world\.json.*{said}"):
            read_room_config(file)
    assert typed(RoomConfig, {}, "x") == RoomConfig()
