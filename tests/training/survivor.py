"""A small training run and a small prediction run, to be killed in forked children again and again.

A fork starts in milliseconds, a fresh interpreter with torch in seconds; what is tested (files on disk) is
the same. The tests run with one thread, so forking is safe.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable

KILLED = -signal.SIGKILL


def in_child(run: Callable[[], object], kill_after_s: float | None = None) -> int:
    """Run in a forked child; its exit code, negative when a signal ended it.

    With ``kill_after_s`` SIGKILL is sent after so many seconds (unless the child was faster).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            run()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:  # noqa: BLE001 - whatever it was, the child must end here
            code = 77
        finally:
            os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)  # not waited for yet, so the id is still the child's
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def killed_at_random(run: Callable[[], object], seconds: float, kills: int, seed: int = 0) -> int:
    """Run until ``kills`` children were killed at random moments of ``seconds``, then to the end.

    Returns how many kills hit a running child. Children that ended before their kill count too, but then
    there is nothing left to kill: the loop ends.
    """
    rng = random.Random(seed)
    hit = 0
    for _ in range(kills):
        code = in_child(run, kill_after_s=rng.uniform(0.0, seconds))
        if code == 0:
            break
        assert code == KILLED, f"the child failed by itself: {code}"
        hit += 1
    assert in_child(run) == 0
    return hit


class KillAt:
    """Counts calls of file operations in a child and kills it at the ``number``-th one."""

    def __init__(self, number: int) -> None:
        self.number, self.calls = number, 0

    def around(self, function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            self.calls += 1
            if self.calls == self.number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped
