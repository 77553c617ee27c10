"""Every ``accelerate launch`` line of the pages, the recipes and their launch files: one form, and it trains.

The slow test runs each as it is written, but for what needs the real hardware: one process on the CPU in float32
instead of many on GPUs, and a tiny recipe of one step.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rft3d.evaluation.dataset import write_dataset
from rft3d.models import Policy
from rft3d.scenes import RoomConfig, iter_rooms

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "recipes").rglob("*.*")]
TINY = """
from pathlib import Path
from rft3d.training.config import OptimConfig, SFTConfig
from rft3d.training.recipes import Recipe

def config() -> Recipe:
    here = Path(__file__).parent
    stage = SFTConfig(1, 1, {"spatial": 1}, {"spatial": 1.0}, OptimConfig(lr=1e-3))
    return Recipe(here / "run", here / "start", {"spatial": here / "data/samples.spatial.jsonl"}, (stage,))
"""
ONE = {"--num_processes": "1", "--num_machines": "1", "--machine_rank": "0", "--main_process_ip": "127.0.0.1",
       "--main_process_port": "0", "--mixed_precision": "no"}  # fmt: skip


def launch_lines() -> dict[str, str]:
    """``{command: where it was found}``; a line that a backslash continues counts as one."""
    found: dict[str, str] = {}
    for page in PAGES:
        if page.suffix not in (".md", ".py", ".yaml", ".sh"):
            continue
        text = re.sub(r"\\+\n\s*", "", page.read_text(encoding="utf-8"))
        for match in re.finditer(r"(?:[A-Z_]+=\S+ )?accelerate launch (?=-)[^`\n]*", text):
            if " -m " in match[0] or "train" in match[0]:
                found.setdefault(match[0].strip(), str(page.relative_to(ROOT)))
    return found


LINES = launch_lines()


def split(line: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Variables, options of the launcher, and the program with its arguments."""
    words = shlex.split(line, comments=True)
    variables = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    assert words[:2] == ["accelerate", "launch"], line
    at = words.index("-m") if "-m" in words else len(words)
    return variables, words[2:at], words[at:]


def test_the_pages_hold_the_lines_that_they_should() -> None:
    assert len(LINES) >= 12
    assert {"docs/reproduce.md", "docs/scaling.md", "recipes/accelerate/README.md"} <= set(LINES.values())
    named = {split(line)[2][-1] for line in LINES}
    assert {f"recipes/{path.name}" for path in (ROOT / "recipes").glob("*_4b_*.py")} <= named


@pytest.mark.parametrize("line", LINES)
def test_a_line_has_the_one_form_and_accelerate_reads_it(line: str) -> None:
    from accelerate.commands.launch import launch_command_parser

    _, options, program = split(line)
    assert program[:3] == ["-m", "rft3d", "train"], f"{LINES[line]}: {line}"
    assert (ROOT / program[3]).is_file(), f"{LINES[line]} names {program[3]}"
    numbered = ["0" if option == "$NODE" else option for option in options]
    read = launch_command_parser().parse_args([*numbered, *program])
    assert read.module and read.training_script == "rft3d"
    if read.config_file:
        assert (ROOT / read.config_file).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_a_line_trains(line: str, tmp_path: Path, new_policy: Callable[[], Policy]) -> None:
    variables, options, program = split(line)
    settings = [option for option in options if option != "--multi_gpu"]  # which one process is not
    for name, value in ONE.items():
        if name in settings:
            settings[settings.index(name) + 1] = value
        else:
            settings += [name, value]
    if "zero2" in line and importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed: pip install '.[deepspeed]'")
    write_dataset(iter_rooms(range(2), RoomConfig(frames=2, width=84, height=56)), tmp_path / "data", seed=0)
    new_policy().save(tmp_path / "start")
    (tmp_path / "tiny.py").write_text(TINY)
    command = [
        sys.executable, "-m", "accelerate.commands.launch", *settings, *program[:3], str(tmp_path / "tiny.py"),
        "--stages.0.steps", "1",
    ]  # fmt: skip
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | variables | {"ACCELERATE_USE_CPU": "true", "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{LINES[line]}: {done.stdout[-1500:]}{done.stderr[-3000:]}"
    assert (tmp_path / "run/models/0-sft/model.safetensors").is_file()
