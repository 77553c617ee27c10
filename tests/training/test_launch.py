"""``accelerate launch`` on two CPU processes: the documented commands, stopped by a scheduler, and what goes on.

Slow: every launch starts three interpreters. The default suite has two ranks in ``tests/equality``.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.equality import two_ranks
from tests.equality.launch import accelerate, launch_environment
from tests.equality.two_ranks import train, trained_weights
from tests.tiny import farthest, weights_of

from rft3d.evaluation.dataset import write_dataset
from rft3d.models import Policy, load_policy
from rft3d.process import check_launch
from rft3d.scenes import RoomConfig, iter_rooms
from rft3d.training.recipes import run_recipe

KINDS = ("ddp", "fsdp2")
RECIPE = """
from pathlib import Path
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.recipes import Recipe
from rft3d.models.start import LoadConfig

HERE = Path({here!r})

def config() -> Recipe:
    optim = OptimConfig(lr=1e-3)
    return Recipe(
        out=HERE / "run",
        model=HERE / "start",
        load=LoadConfig(dtype="stored"),  # float64: equal to 1e-8
        samples={{name: HERE / f"data/samples.{{name}}.jsonl" for name in ("detection", "spatial")}},
        stages=(
            SFTConfig(15, 3, {{"detection": 1, "spatial": 2}}, {{}}, optim, save_every=4),
            RFTConfig(2, {{"detection": 1, "spatial": 2}}, 3, {{"detection": 12, "spatial": 4}}, beta=0.1),
        ),
    )
"""


def test_a_launch_that_would_train_alone_is_refused() -> None:
    """What ``accelerate launch --cpu --num_processes 2`` leaves in the environment, and what others do."""
    alone = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    with pytest.raises(ValueError, match="ACCELERATE_USE_CPU=true accelerate launch --multi_gpu"):
        check_launch(alone)
    for fine in (
        {},
        alone | {"WORLD_SIZE": "2"},
        alone | {"OMPI_COMM_WORLD_SIZE": "2"},
        {"MASTER_PORT": "1"},
    ):
        check_launch(fine)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_documented_command_trains_as_one_process_through_a_sigterm(
    kind: str, tmp_path: Path, new_policy: Callable[[], Policy]
) -> None:
    """The scheduler's signal goes to the launcher; the same command goes on; one process is the measure."""
    small = RoomConfig(frames=2, width=84, height=56, max_objects=3)
    write_dataset(iter_rooms(range(3), small), tmp_path / "data", seed=0)
    policy = new_policy()
    policy.task_options = {"detection": {"decimals": 1}}
    policy.model.double()
    policy.save(tmp_path / "start")
    recipe = tmp_path / "mini.py"
    recipe.write_text(RECIPE.format(here=str(tmp_path)))
    command = [*accelerate(kind), "-m", "rft3d", "train", str(recipe), "--out", str(tmp_path / "two")]
    log = tmp_path / "two/stages/0-sft/metrics.jsonl"
    with (tmp_path / "said.txt").open("w") as said:
        launched = subprocess.Popen(command, env=launch_environment(), stdout=said, stderr=subprocess.STDOUT)
        while launched.poll() is None and not (log.is_file() and log.read_text()):
            time.sleep(0.02)
        launched.send_signal(signal.SIGTERM)
        launched.wait(timeout=300)
    text = " ".join((tmp_path / "said.txt").read_text().split())
    done = len(log.read_text().splitlines())
    assert f"0-sft: stopped by SIGTERM after step {done} of 15, saved; start again to go on" in text, text[
        -3000:
    ]
    kept = tmp_path / f"two/stages/0-sft/checkpoints/step-{done:06d}/progress.json"
    assert json.loads(kept.read_text())["step"] == done < 15
    again = subprocess.run(command, env=launch_environment(), capture_output=True, text=True, timeout=900)
    assert again.returncode == 0, again.stderr[-4000:]
    run_recipe(recipe, ["--out", str(tmp_path / "one")])
    start = weights_of(load_policy(tmp_path / "start"))
    for stage in ("0-sft", "1-rft"):
        one, two = (weights_of(load_policy(tmp_path / out / "models" / stage)) for out in ("one", "two"))
        assert one.keys() == two.keys() and farthest(one, two) < 1e-8
        assert farthest(one, start) > 1e-3, "it must have trained"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_sigterm_to_one_rank(kind: str, tmp_path: Path) -> None:
    """Both ranks stop after the same step, and go on to what one process reaches."""
    script = str(Path(two_ranks.__file__))
    done = subprocess.run(
        [*accelerate(kind), script, str(tmp_path / "two")],
        env=launch_environment(), capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    two = tmp_path / "two"
    said = [json.loads((two / f"stopped-{rank}.json").read_text()) for rank in (0, 1)]
    assert said[0] == said[1] and said[0][0] == 0 and "stopped by SIGTERM after step 2 of 3" in said[0][1]
    whole = train("rft-kl", tmp_path / "whole")
    assert farthest(trained_weights(whole), load_file(two / "asked.safetensors")) < 1e-8
