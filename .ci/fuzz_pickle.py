"""Fuzz the reader of annotation pickles with atheris (``make fuzz``; any argument of libFuzzer's passes on).

It begins with the programs of ``tests/scenes/test_restricted_pickle.py``. Found is whatever is neither data nor a
one-line ValueError that names the file: another exception, a crash of the interpreter, more than ten seconds or
two gigabytes. libFuzzer then writes the input to ``crash-*`` and ends with code 77.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
with atheris.instrument_imports(include=["rft3d.scenes.restricted_pickle", "pickletools"]):
    from rft3d.scenes.restricted_pickle import load_restricted

WORK = Path(tempfile.mkdtemp(prefix="rft3d-fuzz-"))
FILE = WORK / "hostile.pkl"


def one(data: bytes) -> None:
    """One input: read, or refused in one line."""
    FILE.write_bytes(data)
    try:
        load_restricted(FILE, max_values=10_000)  # the limit is what a slow input runs into
    except ValueError as error:
        said = str(error)
        assert str(FILE) in said and "\n" not in said and len(said) < 800, said


def programs() -> list[bytes]:
    """Whole pickles and attacks of the tests, short ones."""
    spec = importlib.util.spec_from_file_location("cases", ROOT / "tests/scenes/test_restricted_pickle.py")
    assert spec is not None and spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    whole = [
        pickle.dumps({name: value}, protocol) for protocol in (2, 4, 5) for name, value in cases.DATA.items()
    ]
    attacks = [b"\x80\x04" + program + b"." for program, *_ in cases.ATTACKS.values()]
    return whole + [attack for attack in attacks if len(attack) < 4096]


if __name__ == "__main__":
    corpus = WORK / "corpus"
    corpus.mkdir()
    for number, program in enumerate(programs()):
        (corpus / f"{number:04d}").write_bytes(program)
    limits = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096"]
    atheris.Setup([sys.argv[0], str(corpus), *limits, *sys.argv[1:]], one)
    atheris.Fuzz()
