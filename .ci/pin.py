"""Write constraints.txt: one exact version for every package that our extras need, as installed here.

    make pin        # after a deliberate upgrade inside .venv

Only the dependency closure of pyproject.toml is pinned, not whatever else happens to be installed.
Local version labels (``2.13.0+cpu``) are dropped, so that the pin holds for every build of that release.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

# Not part of the tests' environment: other libraries import it wherever it is installed, which takes them seconds.
UNPINNED = {"deepspeed"}
ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Exact versions that the tests and the demo run with, written by `make pin`; do not edit.\n"


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


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: texts for name, texts in project["optional-dependencies"].items() if name not in UNPINNED}
    texts = [*project["dependencies"], *chain.from_iterable(extras.values())]
    pins = closure([Requirement(text) for text in texts])
    target = ROOT / "constraints.txt"
    part = target.with_name(target.name + ".tmp")
    part.write_text(HEADER + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins)))
    part.replace(target)
    print(f"{len(pins)} packages pinned in {target.name}")


if __name__ == "__main__":
    main()
