"""A run survives kills, full disks, damaged checkpoints, NaN, SIGTERM: docs/survival.md says how."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tests.tiny import Digits, same_weights, weights_of

from rft3d.cli import main
from rft3d.models import Policy
from rft3d.process import Stopped
from rft3d.tasks import Task
from rft3d.training import checkpoints
from rft3d.training.checkpoints import CheckpointError, newest_whole
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.optim import NonFiniteError
from rft3d.training.sft import train_sft

from .survivor import KILLED, KillAt, in_child, killed_at_random

TASKS: Mapping[str, Task] = {"digits": Digits("3")}
OPTIM = OptimConfig(lr=3e-3, weight_decay=0.0, warmup=0.1)
RFT = RFTConfig(
    6, {"digits": 3}, 4, {"digits": 3}, beta=0.05, updates_per_rollout=2, optim=OPTIM, save_every=1
)
SFT = SFTConfig(6, 3, {"digits": 2}, {}, OptimConfig(name="muon", lr=3e-3), save_every=2)


@pytest.fixture
def training(
    new_speaker: Callable[[], Policy], digits: Corpus, console: Console
) -> Callable[[str, Path], Policy]:
    """``training("sft" | "rft", folder)`` runs (or resumes) a stage and returns its policy."""

    def run(stage: str, folder: Path) -> Policy:
        policy = new_speaker()
        if stage == "sft":
            train_sft(policy, digits, SFT, folder, Watch(console))
        else:
            train_rft(policy, TASKS, digits, RFT, folder, Watch(console))
        return policy

    return run


def compare(training: Callable[[str, Path], Policy], stage: str, cut: Path, whole: Path) -> None:
    """The cut run's weights and log are those of a run that nobody disturbed."""
    assert same_weights(weights_of(training(stage, cut)), weights_of(training(stage, whole)))
    logs = []
    for folder in (cut, whole):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        logs.append([{k: v for k, v in x.items() if "seconds" not in k and k != "time"} for x in lines])
    assert logs[0] == logs[1] and [line["step"] for line in logs[0]] == [1, 2, 3, 4, 5, 6]


def seconds_of(training: Callable[[str, Path], Policy], stage: str, folder: Path) -> float:
    began = time.perf_counter()
    training(stage, folder)
    return time.perf_counter() - began


# ------------------------------------------------------------------------------------- kill -9


@pytest.mark.parametrize("stage", ["sft", "rft"])
def test_random_kills(stage: str, training: Callable[[str, Path], Policy], tmp_path: Path) -> None:
    took = seconds_of(training, stage, tmp_path / "whole")
    for seed in range(20):  # on a busy machine a run may be over before its kill comes
        folder = tmp_path / f"cut{seed}"
        hit = killed_at_random(lambda where=folder: training(stage, where), 0.6 * took / (1 + seed), 3, seed)
        compare(training, stage, folder, tmp_path / "whole")
        if hit:
            return
    pytest.fail("no kill came before its run was over")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "rft"])
def test_twenty_random_kills(stage: str, training: Callable[[str, Path], Policy], tmp_path: Path) -> None:
    """Again and again from the start until twenty kills (``RFT3D_KILLS``) have hit, a new seed each round."""
    wanted = int(os.environ.get("RFT3D_KILLS", "20"))
    took = seconds_of(training, stage, tmp_path / "whole")
    hit, seed = 0, 0
    while hit < wanted:
        folder = tmp_path / f"cut{seed}"
        hit += killed_at_random(lambda where=folder: training(stage, where), 0.5 * took, 10, seed)
        compare(training, stage, folder, tmp_path / "whole")
        seed += 1
        assert seed < 2 * wanted


def test_a_kill_at_every_moment_of_saving(
    new_speaker: Callable[[], Policy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every call that touches the disk between the second and the third checkpoint."""
    engine = Engine(new_speaker(), OPTIM, 10)
    engine.save(tmp_path / "base", 1)
    engine.save(tmp_path / "base", 2)
    survived: list[int] = []
    for number in range(1, 200):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "base", folder)

        def save(number: int = number, folder: Path = folder) -> None:
            bomb = KillAt(number)
            for owner, name in (
                (os, "replace"), (os, "fsync"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"),
                (checkpoints, "digests_of"), (Path, "write_bytes"), (shutil, "rmtree"),
            ):  # fmt: skip
                monkeypatch.setattr(owner, name, bomb.around(getattr(owner, name)))
            engine.save(folder, 3)

        code = in_child(save)
        found = newest_whole(folder, lambda line: pytest.fail(line))
        assert found is not None
        survived.append(found.step)
        engine.save(folder, 3)  # the next save cleans up
        assert sorted(p.name for p in folder.iterdir()) == ["step-000002", "step-000003"]
        shutil.rmtree(folder)
        if code == 0:
            break
        assert code == KILLED
    assert survived[0] == 2 and survived[-1] == 3 and len(survived) > 10 and survived == sorted(survived)


# ------------------------------------------------------------------------- damaged checkpoints


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "no progress", "no list of files"])
def test_a_damaged_checkpoint_is_passed_over_with_a_line(
    damage: str, training: Callable[[str, Path], Policy], tmp_path: Path, console: Console
) -> None:
    training("rft", tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    folder = tmp_path / "cut/checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == ["step-000005", "step-000006"]
    victim = folder / "step-000006" / "model.safetensors"
    data = victim.read_bytes()
    if damage == "cut":
        victim.write_bytes(data[:-10])
    elif damage == "flipped":
        victim.write_bytes(data[:-10] + bytes([data[-10] ^ 1]) + data[-9:])
    elif damage == "gone":
        victim.unlink()
    else:
        text = "{" if damage == "no progress" else '{"step": 6, "steps": 6}'
        (victim.parent / "progress.json").write_text(text)
    compare(training, "rft", tmp_path / "cut", tmp_path / "whole")
    said = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "step-000006 is damaged" in said and "going on from step-000005" in said


def test_only_damaged_checkpoints_refuse_to_start_again_silently(
    training: Callable[[str, Path], Policy], tmp_path: Path
) -> None:
    training("sft", tmp_path)
    for path in (tmp_path / "checkpoints").glob("step-*/optimizer.bin"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"no usable checkpoint: .*0 bytes.*Delete .* to start the stage"):
        training("sft", tmp_path)


def test_lines_are_on_the_disk_before_the_checkpoint_of_their_steps(
    training: Callable[[str, Path], Policy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut leaves a log with holes beside weights that have those steps."""
    happened: list[str] = []
    rename = os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: happened.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
    )

    def renamed(one: Path, other: Path) -> None:
        happened.append(f"named {Path(other).name}")
        rename(one, other)

    monkeypatch.setattr(os, "replace", renamed)
    training("sft", tmp_path)
    for step, before in ((4, 2), (6, 4)):
        between = happened[
            happened.index(f"named step-{before:06d}") : happened.index(f"named step-{step:06d}")
        ]
        assert {"metrics.jsonl", "model.safetensors", "progress.json"} <= set(between)


def test_lost_lines_of_the_log_are_noticed(
    training: Callable[[str, Path], Policy], tmp_path: Path, console: Console
) -> None:
    training("sft", tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:2] + lines[4:]))
    training("sft", tmp_path)
    said = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "metrics.jsonl has no line of step 3, 4: lost" in said


# ------------------------------------------------------------------------------------ full disk


def test_a_full_disk_while_saving_keeps_the_older_checkpoint_and_frees_its_space(
    training: Callable[[str, Path], Policy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state, calls = Engine.save, [0]

    def full(engine: Engine, folder: Path, step: int) -> None:
        def write(path: str) -> None:
            Path(path, "model.safetensors").write_bytes(b"x" * 100)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        calls[0] += 1
        if calls[0] == 3:
            monkeypatch.setattr(engine.accelerator, "save_state", write)
        save_state(engine, folder, step)

    monkeypatch.setattr(Engine, "save", full)
    with pytest.raises(CheckpointError, match=r"No space left.*step-000002 is as it was.*start again"):
        training("rft", tmp_path / "cut")
    assert sorted(p.name for p in (tmp_path / "cut/checkpoints").iterdir()) == ["step-000001", "step-000002"]
    monkeypatch.undo()
    compare(training, "rft", tmp_path / "cut", tmp_path / "whole")


def test_libraries_that_meet_a_file_limit_end_the_same_way(
    new_speaker: Callable[[], Policy], tmp_path: Path
) -> None:
    """No stand-in: the kernel lets no file grow beyond 100 kB, and safetensors and torch meet that."""
    engine = Engine(new_speaker(), OPTIM, 10)
    engine.save(tmp_path, 1)

    def save() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            engine.save(tmp_path, 2)
        except CheckpointError as error:
            raise SystemExit(3 if "step-000001 is as it was" in str(error) else 4) from error

    assert in_child(save) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"]


def test_a_full_disk_for_the_log_stops_the_run_and_loses_no_step(
    training: Callable[[str, Path], Policy], tmp_path: Path
) -> None:
    from rft3d.training import runs

    def cut_off() -> None:
        write = runs.MetricsLog.write

        def full(log: runs.MetricsLog, step: int, values: dict[str, float]) -> None:
            if step == 4:
                with log.path.open("a") as file:
                    file.write('{"step": 4, "ti')
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(log.path))
            write(log, step, values)

        runs.MetricsLog.write = full  # type: ignore[method-assign]
        training("rft", tmp_path / "cut")

    assert in_child(cut_off) == 77
    compare(training, "rft", tmp_path / "cut", tmp_path / "whole")


# ---------------------------------------------------------------------------------------- NaN


@pytest.mark.parametrize("stage", ["sft", "rft"])
def test_a_nan_stops_before_the_step_and_saves_what_was_good(
    stage: str,
    new_speaker: Callable[[], Policy],
    digits: Corpus,
    console: Console,
    tmp_path: Path,
    training: Callable[[str, Path], Policy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fourth step's gradient is NaN once; started again, the run goes on as if nothing had been."""
    backward, kept = Engine.backward, {}

    def poisoned(engine: Engine, loss: torch.Tensor) -> None:
        updates = 3 * (RFT.updates_per_rollout if stage == "rft" else 1)
        if engine.updates == updates:
            kept.update(weights_of(engine.policy))
            loss = loss * float("nan")
        backward(engine, loss)

    monkeypatch.setattr(Engine, "backward", poisoned)
    policy = new_speaker()
    with pytest.raises(NonFiniteError, match=r"step 3 .*not taken because .*nan") as error:
        if stage == "sft":
            settings = dataclasses.replace(SFT, save_every=100)
            train_sft(policy, digits, settings, tmp_path / "cut", Watch(console))
        else:
            train_rft(
                policy,
                TASKS,
                digits,
                dataclasses.replace(RFT, save_every=100),
                tmp_path / "cut",
                Watch(console),
            )
    assert same_weights(weights_of(policy), kept), "nothing was updated"
    assert error.value.step == 3 and error.value.saved == 3 and error.value.samples
    assert error.value.samples[0] in str(error.value)
    assert [p.name for p in (tmp_path / "cut/checkpoints").iterdir()] == ["step-000003"]
    monkeypatch.undo()
    compare(training, stage, tmp_path / "cut", tmp_path / "whole")


def test_an_update_that_breaks_weights_is_not_saved(
    new_speaker: Callable[[], Policy],
    digits: Corpus,
    console: Console,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even the last one: finite loss and gradient, but the optimizer made an infinite weight."""
    from rft3d.training import placement
    from rft3d.training.optim import lr_scale

    step_all, policy = placement.step_all, new_speaker()

    def breaks(optimizers: Any, scale: float) -> None:
        step_all(optimizers, scale)
        if scale == lr_scale(SFT.optim, 5, 6):
            next(p for p in policy.model.parameters() if p.requires_grad).data[0, 0] = float("inf")

    monkeypatch.setattr(placement, "step_all", breaks)
    with pytest.raises(
        NonFiniteError, match=r"step 5 .* a weight \(1 of \d+ tensors\) = nan; the state after 4"
    ):
        train_sft(policy, digits, SFT, tmp_path, Watch(console))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-000002", "step-000004"]
    with pytest.raises(
        FloatingPointError, match=r"not saved, because 1 of \d+ weight tensors hold NaN or inf"
    ):
        policy.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_command_line_says_it_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def diverged(*_: object) -> None:
        raise NonFiniteError("0-sft", 7, {"loss": float("nan")}, ["a", "b", "c", "d", "e"], 5)

    monkeypatch.setattr("rft3d.training.recipes.run_recipe", diverged)
    recipe = tmp_path / "r.py"
    recipe.write_text("")
    assert main(["train", str(recipe)]) == 2
    err = capsys.readouterr().err
    assert (
        err.count("\n") == 1 and "step 7" in err and "after 5 steps is saved" in err and "and 1 more" in err
    )


# -------------------------------------------------------------------------------------- SIGTERM


@pytest.mark.parametrize("stage", ["sft", "rft"])
def test_sigterm_finishes_the_step_saves_and_ends_with_code_0(
    stage: str,
    new_speaker: Callable[[], Policy],
    digits: Corpus,
    console: Console,
    tmp_path: Path,
    training: Callable[[str, Path], Policy],
) -> None:
    def terminate(step: int) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as stop:
        if stage == "sft":
            settings = dataclasses.replace(SFT, save_every=100)
            train_sft(new_speaker(), digits, settings, tmp_path / "cut", Watch(console, on_step=terminate))
        else:
            rft = dataclasses.replace(RFT, save_every=100)
            train_rft(new_speaker(), TASKS, digits, rft, tmp_path / "cut", Watch(console, on_step=terminate))
    assert stop.value.code == 0 and "stopped by SIGTERM after step 3 of 6" in str(stop.value)
    assert "stopped by SIGTERM after step 3 of 6" in console.file.getvalue()  # type: ignore[attr-defined]
    assert signal.getsignal(signal.SIGTERM) == before
    assert [p.name for p in (tmp_path / "cut/checkpoints").iterdir()] == ["step-000003"]
    compare(training, stage, tmp_path / "cut", tmp_path / "whole")


def test_sigterm_ends_the_process_with_code_0(
    training: Callable[[str, Path], Policy], tmp_path: Path
) -> None:
    def run() -> None:
        from rft3d.training.loop import Loop

        end_step = Loop.end_step

        def spy(loop: Loop, step: int, metrics: Mapping[str, float], note: str) -> None:
            if step == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            end_step(loop, step, metrics, note)

        Loop.end_step = spy  # type: ignore[method-assign]
        training("rft", tmp_path / "cut")
        raise AssertionError("it went on")

    assert in_child(run) == 0
    assert json.loads((tmp_path / "cut/checkpoints/step-000002/progress.json").read_text())["step"] == 2
