"""The roof: ``rft3d VERB``. A verb is a file of this folder with ``Args`` and ``main``; no logic lives here.

Only the chosen verb is imported, so that ``rft3d --help`` costs nothing. Errors that a user can
mend (bad arguments, bad files, a missing extra) end in one line on standard error and exit code
2; ``--debug`` or ``RFT3D_DEBUG=1`` shows the traceback instead.
"""

import contextlib
import importlib
import io
import os
import select
import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from itertools import pairwise
from pathlib import Path

from rft3d.cli._words import did_you_mean, usage_error, with_examples
from rft3d.locks import outputs

VERBS = {
    "try": "a new room, the shipped model, its boxes in your browser: start here",
    "demo": "RFT beside more SFT from the shipped policy, in minutes on two cores",
    "experiment": "the paper's claims as arms: run what is missing, write the page of results",
    "rooms": "make procedural rooms and samples files of every task",
    "samples": "ask every task about a real clip or a scene folder",
    "data": "prepare benchmark samples from raw annotations, check a data folder, extract pictures",
    "train": "run a recipe (a Python file that returns a frozen config, or its fields as TOML or JSON)",
    "predict": "let a model answer a samples file (resumable)",
    "headroom": "what RL can be expected to gain from a model, before it is run",
    "score": "score a predictions file, with intervals; needs no torch",
    "compare": "what changed between two predictions files, with paired intervals",
    "solve": "answer spatial questions from boxes; split failures into seeing and reasoning",
    "questions": "spatial training questions about annotated scenes",
    "leaderboard": "published numbers, ours beside them, with footnotes on protocol",
    "detect": "find the objects in a video or folder, as 3D boxes",
    "ground": "find the object that a text describes in a video",
    "ask": "ask a question about a video",
    "estimate": "what a recipe will cost in memory and compute, before it is run",
    "cache": "show or clear the frozen features kept on disk",
    "report": "turn a run folder into HTML pages",
    "watch": "a run in the terminal: progress, curves, samples, alarms",
    "export": "rerun recordings, pictures and videos for papers, a model card, samples for verl",
}

_EXTRAS = {
    "av": "video",
    "deepspeed": "deepspeed",
    "matplotlib": "viz",
    "openpyxl": "sheets",
    "pyarrow": "data",
    "rerun": "rerun",
}  # of a missing package; else [train]

_IN_THE_WAY = "a file is where a folder has to be; give another name"
_MENDS: dict[type[OSError], str] = {
    FileNotFoundError: "there is no such file; check the path",
    FileExistsError: _IN_THE_WAY,
    NotADirectoryError: _IN_THE_WAY,
    IsADirectoryError: "this is a folder; give a file",
    PermissionError: "this user has no right to it; give another place, or change its rights",
}
"""What is said for the system's own words."""

OVERRIDE = "cannot override the recipe: "
"""What :mod:`rft3d.training.recipes` says before tyro's own words, which are put into our form."""
_MOST_SAID = 3000
"""Characters of an error's line; a file may have names and values of any length."""

_OVERRIDABLE = {"train", "estimate"}  # what tyro doesn't know there is passed on as overrides of the recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 2 bad input, 130 interrupted, 141 closed pipe."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("RFT3D_DEBUG", "0") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help"):
        with contextlib.suppress(BrokenPipeError):  # into head, which has seen enough
            print(_usage(), file=sys.stdout if arguments else sys.stderr, flush=True)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from rft3d import __version__

        print(f"rft3d {__version__}")
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        return _fail(
            f"{verb}: no such command{did_you_mean(verb, list(VERBS))} (rft3d --help lists them all)"
        )
    try:
        code = _run(verb, rest)
        sys.stdout.flush()  # a reader that is gone shows here and not at exit
        return code
    except KeyboardInterrupt:
        return _fail(f"{verb}: interrupted", code=130)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        # a missing module of our own is a broken installation or a bug, not something to install
        own = isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "rft3d"
        if debug or own:
            raise
        if isinstance(error, BrokenPipeError) and _nobody_reads_on():
            return 141
        said = _one_line(error, rest)
        if said.startswith(OVERRIDE):
            said = usage_error(verb, said.removeprefix(OVERRIDE))
        return _fail(f"{verb}: {said}")
    except BrokenExecutor:
        return _fail(
            f"{verb}: a worker process was killed (for want of memory?); start again, with fewer --workers"
        )
    except Exception as error:
        if debug:
            raise
        with tempfile.NamedTemporaryFile("w", prefix="rft3d-", suffix=".trace.txt", delete=False) as file:
            traceback.print_exc(file=file)
        said = f"{type(error).__name__}: {_one_line(error)[:300]}"
        return _fail(f"{verb}: this should not happen ({said}); the full trace is in {file.name}")


def _nobody_reads_on() -> bool:
    """Whether stdout's reader closed the pipe (``| head``); if so, the rest of the output is dropped."""
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)  # the error of a pipe without a reader is always reported
    if not watch.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains
    return True


def _run(verb: str, arguments: list[str]) -> int:
    import tyro

    from rft3d.cli._metavars import named

    module = importlib.import_module(f"rft3d.cli.{verb}")
    overridable = verb in _OVERRIDABLE
    recipes = [each for each in arguments if overridable and each.endswith((".py", ".toml", ".json"))]
    if recipes and "--help" in arguments:  # asks for the recipe's fields, not for ours
        from rft3d.cli._choices import recipe_at
        from rft3d.training.recipes import apply_overrides, load_recipe

        apply_overrides(load_recipe(recipe_at(Path(recipes[0]))), ["--help"])
        return 0
    complaint = io.StringIO()  # tyro frames its complaints in a box; a script wants one line
    try:
        with contextlib.redirect_stderr(complaint):
            parsed = tyro.cli(
                module.Args,
                args=arguments,
                prog=f"rft3d {verb}",
                description=with_examples(verb, module.Args.__doc__ or ""),
                return_unknown_args=overridable,
                registry=named,
                config=(
                    tyro.conf.PositionalMetavarFromFieldName,
                    tyro.conf.DisallowNone,
                    tyro.conf.FlagCreatePairsOff,
                ),
            )
    except SystemExit as stop:
        if not stop.code:
            return 0
        return _fail(f"{verb}: {usage_error(verb, complaint.getvalue())}")
    if overridable:
        module.main(*parsed)
        return 0
    with outputs:
        code = module.main(parsed)
    return code if isinstance(code, int) else 0  # a check says with it what it found


def _usage() -> str:
    commands = "\n".join(f"  {verb:11} {summary}" for verb, summary in VERBS.items())
    return f"""usage: rft3d COMMAND [options]     (rft3d COMMAND --help explains one)

Reinforcement fine-tuning for video-based 3D scene understanding.

commands:
{commands}

options:
  --help, --version
  --debug  show the traceback of an error (as RFT3D_DEBUG=1 does)

exit codes: 0 done; 1 checked and found wrong; 2 wrong usage or files;
3 no known data to check (data), time is up (experiment);
130 interrupted; 141 stdout's reader closed the pipe"""


def _one_line(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """``error`` in a line; of a file that one of ``arguments`` names, with that option."""
    # Python's own message names no fix; ours about a package of no extra do
    if isinstance(error, ModuleNotFoundError) and (error.name in _EXTRAS or "No module named" in str(error)):
        extra = _EXTRAS.get(error.name or "", "train")
        return f"this needs the package {error.name!r}, which is not installed; try pip install '.[{extra}]'"
    if isinstance(error, OSError) and error.strerror:
        path = "" if error.filename is None else str(error.filename)
        given = (option for option, value in pairwise(arguments) if Path(path).is_relative_to(value))
        option = next((f"{each} " for each in given if each.startswith("--")), "")
        said = next((said for kind, said in _MENDS.items() if isinstance(error, kind)), error.strerror)
        text = f"{option}{path}: {said}" if path else error.strerror
    else:
        text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]} ..."


def _fail(message: str, code: int = 2) -> int:
    print(f"rft3d {message}", file=sys.stderr)
    return code
