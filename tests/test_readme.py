"""What the README and the docs promise is there: commands, links, code blocks, examples, pins."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rft3d.cli import VERBS

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
PAGES = ("README.md", "CONTRIBUTING.md", *DOCS)
EXAMPLES = {
    "00_score_my_file",
    "01_trl_rewards",
    "02_new_reward",
    "03_new_task",
    "04_rft_from_shipped",
    "05_read_my_scans",
    "06_lmms_eval",
}
NOTEBOOK = "07_boxes_on_a_clip"
needs_weights = pytest.mark.skipif(
    not (ROOT / "src/rft3d/models/weights/rooms-sft/model.safetensors").is_file(),
    reason="the shipped weights are not in this checkout",
)
HANG_S = 300  # not a bar: a command that takes this long hangs


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), flags=re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    source = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": source},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )


def rft3d(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What the console script of pyproject.toml runs."""
    module, function = tomllib.loads(text_of("pyproject.toml"))["project"]["scripts"]["rft3d"].split(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    return run(sys.executable, "-c", code, *arguments)


# ------------------------------------------------------------------------------------- commands


def make_targets() -> list[str]:
    named = (re.findall(r"\bmake ([a-z][a-z-]*)", code_of(page)) for page in PAGES)
    return sorted(set(chain.from_iterable(named)))


def code_of(page: str) -> str:
    """Only what stands in backticks: "make sure" in a sentence is no command."""
    text = text_of(page)
    return "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`", text, flags=re.MULTILINE | re.DOTALL))


def test_pages_name_the_two_commands() -> None:
    assert {"demo", "test"} <= set(make_targets())


@pytest.mark.parametrize("target", make_targets())
def test_every_make_command_of_the_pages_is_a_target(target: str) -> None:
    result = run("make", "--dry-run", target)
    assert result.returncode == 0, result.stderr


def test_make_refuses_an_old_python_with_a_clear_line(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo "Python 3.9.2"; exit 0; }\nexit 1\n')
    old.chmod(0o755)
    result = run("make", "python-check", f"PYTHON={old}")
    assert result.returncode != 0
    assert "3.11" in result.stderr
    assert "Python 3.9.2" in result.stderr


def test_readme_names_every_verb_and_no_other() -> None:
    assert set(re.findall(r"\brft3d ([a-z]+(?:-[a-z]+)*)", code_of("README.md"))) == set(VERBS)


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(text_of("README.md").split()) <= 1200


@needs_weights
@pytest.mark.slow
def test_the_readme_says_what_its_commands_print(tmp_path: Path) -> None:
    lines = "".join(blocks("README.md", "sh")).splitlines()
    shown = [
        (lines[n - 1].split("  #")[0], line[3:]) for n, line in enumerate(lines) if line.startswith("#> ")
    ]
    assert len(shown) == 4
    for command, wanted in shown:
        arguments = [each.replace("recipes/", f"{ROOT}/recipes/") for each in shlex.split(command)[1:]]
        done = run(sys.executable, "-m", "rft3d", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        printed = " ".join(done.stdout.split())
        assert (f'"answer": {wanted}.0' if wanted.isdigit() else wanted) in printed, command


def test_help_lists_every_verb() -> None:
    result = rft3d("--help")
    assert result.returncode == 0, result.stderr
    missing = {verb for verb in VERBS if verb not in result.stdout}
    assert not missing


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    result = rft3d(verb, "--help")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) > 5
    assert "Traceback" not in result.stderr


# ------------------------------------------------------------------------- pages and code blocks


def links() -> list[tuple[str, str]]:
    found = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#\s]+)", text_of(page))]
    return [(page, link) for page, link in found if "://" not in link]


@pytest.mark.parametrize(("page", "link"), links())
def test_every_relative_link_leads_somewhere(page: str, link: str) -> None:
    assert ((ROOT / page).parent / link).exists()


def headings(page: str) -> set[str]:
    """Anchors of a page's headings as GitHub makes them: lower case, only letters, digits, ``-`` and ``_``."""
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def anchors() -> list[tuple[str, str, str]]:
    found = [(page, re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text_of(page))) for page in PAGES]
    return [(page, to, part) for page, each in found for to, part in each if "://" not in to]


@pytest.mark.parametrize(("page", "to", "part"), anchors())
def test_every_link_into_a_page_names_a_heading(page: str, to: str, part: str) -> None:
    target = (ROOT / page).parent / to if to else ROOT / page
    assert part in headings(str(target.resolve().relative_to(ROOT)))


def code_blocks() -> list[tuple[str, int]]:
    return [(page, number) for page in PAGES for number in range(len(blocks(page, "python")))]


@pytest.mark.parametrize(("page", "number"), code_blocks())
def test_every_python_block_runs(page: str, number: int) -> None:
    exec(compile(blocks(page, "python")[number], f"{page} block {number}", "exec"), {"__name__": "block"})


def test_readme_tree_is_the_tree() -> None:
    tree = next(block for block in blocks("README.md", "") if block.startswith("src/rft3d/"))
    named = {entry.rstrip("/") for entry in re.findall(r"^  ([a-z_]+(?:/|\.py))", tree, flags=re.MULTILINE)}
    package = ROOT / "src" / "rft3d"
    real = {path.name for path in package.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert named == {name for name in real if not name.startswith("__")}
    for folder in re.findall(r"^([a-z]+/) ", tree, flags=re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_the_site_has_every_page_and_the_api_only_modules_that_exist() -> None:
    assert {
        f"docs/{page}" for page in re.findall(r": (\S+\.md)$", text_of("mkdocs.yml"), re.MULTILINE)
    } == set(DOCS)
    for module in re.findall(r"^::: (\S+)", text_of("docs/api.md"), flags=re.MULTILINE):
        path = ROOT / "src" / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


# ------------------------------------------------------------------------------------- examples


def shown_examples() -> list[Any]:
    names = sorted(EXAMPLES | {path.stem for path in (ROOT / "examples").glob("*.py")})
    marks = {"04_rft_from_shipped": needs_weights}
    return [pytest.param(name, marks=marks.get(name, ())) for name in names]


@needs_weights
def test_the_notebook_runs(tmp_path: Path) -> None:
    cells = json.loads(text_of(f"examples/{NOTEBOOK}.ipynb"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    result = run(sys.executable, "-c", code + "\nprint(sheet[0].size)", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "(" in result.stdout


@pytest.mark.parametrize("name", shown_examples())
def test_example_is_short_and_runs(name: str, tmp_path: Path) -> None:
    path = ROOT / "examples" / f"{name}.py"
    assert path.exists()
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
    steps = ["1"] if name == "04_rft_from_shipped" else []  # for people more; here that it runs
    result = run(sys.executable, str(path), *steps, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip(), "an example shows something"


# ------------------------------------------------------------------------------------ packaging


def pins() -> dict[str, str]:
    """Version of every pinned package; all but torch have hashes."""
    text = text_of("constraints.txt") + text_of("constraints-dev.txt")
    found = dict(re.findall(r"^# (torch)==([0-9.]+) ", text, re.MULTILINE))
    assert list(found) == ["torch"]
    for entry in re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "").splitlines():
        match = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)( +--hash=sha256:[0-9a-f]{64})+ *", entry)
        assert match, f"not an exact public version with hashes: {entry[:200]}"
        found[match[1]] = match[2]
    return found


def test_every_requirement_is_pinned_inside_its_range() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    extras = dict(project["optional-dependencies"])
    extras.pop("docs")  # only `make docs` wants it
    extras.pop("deepspeed")  # installed by itself, never here: .ci/pin.py says why
    texts = [*project["dependencies"], *chain.from_iterable(extras.values())]
    pinned = pins()
    for requirement in map(Requirement, texts):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} has no pin: make pin"
        assert requirement.specifier.contains(version), f"{requirement} does not allow the pinned {version}"


@pytest.mark.skipif(shutil.which("git") is None, reason="pre-commit needs git")
def test_pre_commit_config_is_valid_and_local() -> None:
    result = run(sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(re.findall(r"repo: *(\S+)", text_of(".pre-commit-config.yaml"))) == {"local"}


def test_ci_runs_the_readme_test_command() -> None:
    script = text_of(".ci/run")
    assert "make test" in script
    assert "make demo-quick" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
