"""The shipped weights: endless rooms are a function of their index, the stages resume and stay what they were."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.tiny import SIZES
from tests.training.test_golden import compare

from rft3d.models import TinyConfig, load_policy
from rft3d.models.images import qwen_patches
from rft3d.models.spatial import see
from rft3d.pretraining import encoders
from rft3d.pretraining.encoders import EncoderConfig
from rft3d.pretraining.endless import TASK_OPTIONS, RoomMix, endless
from rft3d.pretraining.weights import WeightsConfig, make_weights, ship
from rft3d.scenes import WORLDS, make_room
from rft3d.tasks import TASKS
from rft3d.training.config import OptimConfig, SFTConfig
from rft3d.training.loop import Loop

ADAMW = OptimConfig(lr=3e-3, warmup=0.1)
CONFIG = WeightsConfig(
    tiny=TinyConfig(**{**SIZES, "frame_size": (252, 168)}),
    mix=RoomMix(worlds={"easy": 2, "rooms": 1}, rooms=2),
    tokenizer_rooms={"easy": 4, "rooms": 2},
    encoder=EncoderConfig(steps=3, frames_per_clip=3, optim=ADAMW, save_every=1),
    sft=SFTConfig(steps=4, optim=ADAMW, task_weights={"spatial": 0.5}, save_every=1),
    question_mix=RoomMix(worlds={"rooms": 1}, rooms=2, hints=True, seed=1),
    questions=SFTConfig(steps=3, optim=ADAMW, task_weights={"spatial": 2.0}, save_every=1),
    workers=0,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights")
    make_weights(CONFIG, out, Console(quiet=True))
    return out


def test_the_first_steps_stay_what_they_were(run: Path) -> None:
    columns = ("step", "class", "point", "box", "patch_class")
    compare("weights_encoders", columns, run / "stages" / "encoders" / "metrics.jsonl")
    compare("weights_sft", ("step", "grad_norm"), run / "stages" / "sft" / "metrics.jsonl")
    compare(
        "weights_questions", ("step", "hints", "grad_norm"), run / "stages" / "questions" / "metrics.jsonl"
    )


def test_stopped_runs_end_with_the_same_weights(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(original: Any) -> Any:
        def method(self: Any, step: int, *rest: Any) -> None:
            original(self, step, *rest)
            if step == 2:
                raise KeyboardInterrupt

        return method

    with monkeypatch.context() as patch:
        patch.setattr(encoders._State, "save", stopped(encoders._State.save))
        with pytest.raises(KeyboardInterrupt):
            make_weights(CONFIG, tmp_path, Console(quiet=True))
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "end_step", stopped(Loop.end_step))
        with pytest.raises(KeyboardInterrupt):
            make_weights(CONFIG, tmp_path, Console(quiet=True))
    again = load_policy(make_weights(CONFIG, tmp_path, Console(quiet=True)))
    for name, tensor in load_policy(run / "models" / "rooms-sft").model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name


def test_other_settings_are_refused(run: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.json has other settings"):
        make_weights(replace(CONFIG, seed=1), run, Console(quiet=True))


def test_a_batch_is_a_function_of_its_index(run: Path) -> None:
    folder = run / "models" / "start"
    stream = endless(folder, CONFIG.mix, ("detection",), 0, 0)
    batches = [next(stream) for _ in range(3)]
    assert [b.world for b in batches] == ["easy", "rooms", "easy"]
    later = next(endless(folder, CONFIG.mix, ("detection",), 2, 0))
    assert np.array_equal(later.clips.rgb, batches[2].clips.rgb)
    assert torch.equal(later.packed["detection"][0].input_ids, batches[2].packed["detection"][0].input_ids)
    assert not np.array_equal(batches[0].clips.rgb, batches[2].clips.rgb)


def test_a_hint_is_what_its_answer_follows_from_and_is_read_where_the_question_ends(run: Path) -> None:
    folder = run / "models" / "start"
    mix = replace(CONFIG.question_mix, options=TASK_OPTIONS | {"spatial": {"max_per_type": 4}})
    batch = next(endless(folder, mix, ("spatial",), 0, 0))
    assert batch.hints is not None
    (at, wanted), packed = batch.hints, batch.packed["spatial"][0]
    policy, ids = load_policy(folder), packed.input_ids.flatten().tolist()
    seen: set[str] = set()
    for place, row in zip(at.tolist(), wanted.tolist(), strict=True):
        before = str(policy.tokenizer.decode(ids[max(0, place - 300) : place + 1]))
        said, answer = (
            before.rpartition("These are frames")[2],
            str(policy.tokenizer.decode([ids[place + 1]])),
        )
        assert said.endswith("assistant\n"), "read at the last token of the prompt"
        turn = math.degrees(math.atan2(row[1], row[0])) if math.isfinite(row[0]) else math.nan
        letters = dict(re.findall(r"([A-D])\. ([\w -]+)", said.rpartition("Options:")[2]))
        if "left or the right of" in said:
            seen.add("easy")
            assert letters[answer] == ("left" if turn > 0 else "right")
        elif "quadrants" in said:
            seen.add("hard")
            assert (
                letters[answer]
                == f"{'front' if abs(turn) < 90 else 'back'}-{'left' if turn > 0 else 'right'}"
            )
        elif "reached the final" in said:
            seen.add("route")
            word = "Back" if abs(turn) > 135 else "Left" if turn > 0 else "Right"
            assert letters[answer] == f"Turn {word}"
        elif "which of these objects" in said:
            seen.add("which")
            assert "ABCD".index(answer) == row[2:6].index(min(row[2:6]))
    assert seen == {"easy", "hard", "route", "which"}


def test_pictures_of_one_size_go_through_the_tower_together(run: Path) -> None:
    tower = load_policy(run / "models" / "start").model.model.visual
    images = torch.rand(5, 3, 84, 112, generator=torch.Generator().manual_seed(0))
    rows, grid = qwen_patches(images)
    with torch.no_grad():
        one_by_one = tower(rows, grid_thw=grid).pooler_output
        torch.testing.assert_close(see(tower, rows, grid).pooler_output, one_by_one, atol=1e-6, rtol=1e-5)
        assert "forward" not in vars(tower.blocks[0].attn)


def test_shipping_halves_the_file_and_keeps_what_it_says(run: Path, tmp_path: Path) -> None:
    folder = ship(run / "models" / "rooms-sft", tmp_path / "shipped", "rooms", "# a card\n")
    policy = load_policy(folder)
    assert {p.dtype for p in policy.model.parameters()} == {torch.float32}
    full = load_policy(run / "models" / "rooms-sft").model.state_dict()
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(tensor, full[name].half().float()), name
    assert (folder / "README.md").read_text() == "# a card\n" and (folder / "world.json").is_file()


@pytest.mark.parametrize("model", ["rooms-sft", "rooms"])
def test_the_shipped_model_sees(model: str) -> None:
    policy = load_policy(model)
    task = TASKS["detection"](**policy.task_options["detection"])
    scenes = [make_room(seed, WORLDS["easy"]) for seed in range(700_000, 700_006)]
    samples = [task.samples(s, [f"r/{k}" for k in range(4)], 0)[0] for s in scenes]
    frames = [[f.rgb for f in s.frames] for s in scenes]

    def f1(shown: Any) -> float:
        texts = policy.sample_texts([s.turns() for s in samples], shown, max_new_tokens=120)
        scores = [task.score(t.text, s, t.truncated) for (t,), s in zip(texts, samples, strict=True)]
        return float(task.metric(samples, scores)["f1@0.25/micro"] or 0.0)

    assert f1(frames) > 0.6
    assert f1(frames[1:] + frames[:1]) < 0.3, "it answers the same without looking"
