"""Write constraints.txt and constraints-dev.txt: exact versions of what our extras need, as installed here.

    make pin        # after a deliberate upgrade inside .venv

Only the dependency closure of pyproject.toml is pinned, not whatever else happens to be installed, with the
hashes of every file of a release, so that other platforms and Pythons install from the same lists. uv looks
the hashes up. Local version labels (``2.13.0+cpu``) are dropped.
"""

from __future__ import annotations

import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

# Not part of the tests' environment: other libraries import deepspeed wherever it is installed, which takes them
# seconds, and only `make docs` wants docs.
UNPINNED = {"deepspeed", "docs"}
ROOT = Path(__file__).resolve().parents[1]
UV = ROOT / "build" / "pin" / "bin" / "uv"
HEADER = "# Exact versions and hashes of what {} with, written by `make pin`; do not edit.\n"
WHY = """\
# Complete: pip installs it with --require-hashes --no-deps, so nothing comes that is not listed.
# torch=={} is not: its CPU and CUDA builds are other files under one version, on other indexes, and the
# CUDA build brings packages of its own. pip takes no requirement without a hash beside hashed ones, so torch is
# installed by itself after this list. It stands at the newest version whose CPU build CI can install.
"""


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Canonical name -> public version of everything ``requirements`` pull in on this machine."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(requirement, "") for requirement in requirements]
    while queue:
        requirement, extra = queue.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError as error:
            raise SystemExit(f"{name} is needed but not installed: run `make lint` first") from error
        versions[name] = Version(installed.version).public
        for wanted in ("", *sorted(requirement.extras)):
            if (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            queue += [(Requirement(text), wanted) for text in installed.requires or ()]
    return versions


def hashed(pins: dict[str, str]) -> str:
    """``pins`` as lines of requirements with their hashes."""
    command = [UV, "pip", "compile", "-", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate"]
    lines = "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))
    return subprocess.run(
        [*command, "--quiet"], input=lines, text=True, check=True, stdout=subprocess.PIPE
    ).stdout


def write(name: str, text: str) -> None:
    part = ROOT / f"{name}.tmp"
    part.write_text(text)
    part.replace(ROOT / name)


def main() -> None:
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, extras = read["project"], dict(read["project"]["optional-dependencies"])
    texts = [*read["build-system"]["requires"], *project["dependencies"], *extras.pop("train")]
    pins = closure([Requirement(text) for text in texts])
    texts += chain.from_iterable(own for name, own in extras.items() if name not in UNPINNED)
    more = {
        name: pin for name, pin in closure([Requirement(each) for each in texts]).items() if name not in pins
    }
    torch = pins.pop("torch")
    write("constraints.txt", HEADER.format("the demo runs") + WHY.format(torch) + hashed(pins))
    write("constraints-dev.txt", HEADER.format("tests and figures need besides") + hashed(more))
    print(f"{len(pins)} and {len(more)} packages pinned")


if __name__ == "__main__":
    main()
