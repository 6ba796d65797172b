"""Running a stage: the signature of its `main` is its command line, and a problem is told without a traceback."""

import errno
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from stages.plumbing.problem import Problem


def run(main: Callable[..., None]) -> None:
    """Run `main` with the words of the command line; exit 1 with one clear message on a `Problem`."""
    import typer

    settle()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    module = sys.modules[main.__module__]
    app.command(help=module.__doc__)(main)
    name = (module.__spec__.name if module.__spec__ else main.__module__).rsplit(".", 1)[-1]
    try:
        app()
    except Problem as problem:
        tell(name, problem)
    except Exception as error:
        problem = of_the_machine(error)
        if problem is None:
            raise
        tell(name, problem)


# What a person can put right and no code can: a full disk, a full quota, a file larger than the limit (`ulimit -f`), no
# permission, a read-only file system.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}


def of_the_machine(error: Exception) -> Problem | None:
    """The problem that an error tells of when the machine is the cause, else None."""
    number, where = (error.errno, error.filename) if isinstance(error, OSError) else (None, None)
    if number is None:
        # Libraries written in Rust, safetensors among them, tell the number in words alone.
        told = re.search(r"\(os error (\d+)\)", str(error))
        number = int(told[1]) if told else None
    if number not in OF_THE_MACHINE:
        return None
    do = "make room or give permission, then run the stage again"
    return Problem(str(where or "the disk"), os.strerror(number), "a place to read and write", do)


def tell(name: str, problem: Problem) -> NoReturn:
    """Print a problem of `name` and exit."""
    print(f"\n✗ {name}: {problem}\n", file=sys.stderr, flush=True)
    sys.exit(1)


def settle() -> None:
    """Set up the process before libraries are imported: threads that share cores, no telemetry, no asides."""
    # A thread that spins long while it waits for one whose core is busy elsewhere slows a step down up to tenfold; one
    # that never spins is a third slower when all cores are free.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    # PEFT still asks transformers by an older name.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    # bitsandbytes looks for an optional kernel on some processors and says so at every start.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
