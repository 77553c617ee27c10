"""One writer at a time: advisory locks on outputs. Imports nothing of ours but ``files``."""

import contextlib
import errno
import fcntl
import glob
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rft3d.files import HOST, remove_abandoned


class InUse(OSError):
    """Another process is writing the same file or folder."""


_held: set[Path] = set()
outputs = ExitStack()
"""What the running command writes: held until it ends."""


@contextmanager
def only_writer(path: str | Path) -> Iterator[None]:
    """Inside the block no other process writes ``path``, a file or a folder; what a kill left there is removed.

    An advisory lock (flock) on the hidden neighbour ``.NAME.lock``. The kernel lets go of it when its process
    ends, however that ends. Blocks of one process may be nested. A file system without locks gives none.

    Raises:
        InUse: another process holds it; the message says which, on which host, since when.
    """
    place = Path(path).resolve()
    if place in _held:
        yield
        return
    made = [each for each in place.parents if not each.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = place.with_name(f".{place.name}.lock")
    handle = _locked(lock, path)
    _held.add(place)
    try:
        remove_abandoned(place.parent, f".{glob.escape(place.name)}.*.tmp")
        remove_abandoned(place, "**/.*.tmp")
        yield
    finally:
        _held.discard(place)
        lock.unlink(missing_ok=True)  # before the lock is released: the next process makes a new file
        os.close(handle)
        with contextlib.suppress(OSError):  # nothing was written there after all
            for each in made:
                each.rmdir()


def _locked(lock: Path, path: str | Path) -> int:
    """The handle of ``lock``, with the lock on it and a line about this process in it."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(handle)
            raise InUse(
                f"{path} is being written by {holder}; wait until it ends, or give another place"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(lock)):
                break
        os.close(handle)  # its holder has ended and removed it meanwhile
    os.ftruncate(handle, 0)
    line = f"process {os.getpid()} on {HOST} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
    os.pwrite(handle, line.encode(), 0)
    return handle
