"""The checkout that a person works in, which is where work that is not finished waits for the next run."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.plumbing.console import say


def main_checkout(here: Path) -> Path:
    """The checkout that a person works in: DVC's copies for experiments lie below its `.dvc/tmp/exps`."""
    parts = here.resolve().parts
    for index in range(len(parts) - 2):
        if parts[index : index + 3] == (".dvc", "tmp", "exps"):
            return Path(*parts[:index])
    return here.resolve()


@contextmanager
def locked(folder: Path, waiting: str) -> Iterator[None]:
    """Hold the lock of a folder of unfinished work (a file beside it); say `waiting` while another process has it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting", waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)  # the first one may have finished and cleared it
        yield
