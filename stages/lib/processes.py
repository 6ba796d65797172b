"""Training in several processes, one a GPU (NCCL) or a share of the CPU's threads (gloo): starting, agreeing, stopping.

The stage's own process only watches. torch's launcher, the one behind `torchrun`, starts the workers: the same command
once more each, told apart by `RANK`. Worker 0 alone writes and speaks. A worker's problem travels through a file, so
that the process that watches tells it once.
"""

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.lib.files import read_json, write_json
from stages.lib.resumption import PARENT
from stages.lib.workplaces import folder_of
from stages.plumbing.problem import Problem

OUTCOME = "outcome.json"  # in the folder of a training's state: what ended its workers


def rank() -> int | None:
    """The number of this worker, 0 to processes - 1; None in a process that is no worker."""
    return int(os.environ["RANK"]) if "RANK" in os.environ else None


def leads() -> bool:
    """Whether this process writes and speaks: it is alone, or worker 0."""
    return not rank()


def workers() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def together() -> None:
    """Wait here for all other workers."""
    import torch

    if workers() > 1:
        torch.distributed.barrier()


def any_of(asked: bool, device: Any) -> bool:  # noqa: FBT001 - what each worker says
    """Whether any worker says yes. All must ask at the same step."""
    import torch

    if workers() == 1:
        return asked
    said = torch.tensor(int(asked), device=device)
    torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX)
    return bool(said.item())


def from_the_first(made: Any) -> Any:
    """What worker 0 made, in every worker; the others give None."""
    if workers() == 1:
        return made
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([made])[0]


@contextmanager
def joined(stage: str, told: dict[str, str], here: Path) -> Iterator[Path]:
    """The folder of the run's state for a worker, marked as in use; a problem goes to the process that watches."""
    import torch

    folder = folder_of(stage, told, here)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # what is called "cuda" is this worker's own GPU
    if not leads():
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
        os.environ["TQDM_DISABLE"] = "1"
    with folder.with_suffix(".workers").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield folder
        except Problem as problem:
            _leave(folder, {"kind": "problem", "told": vars(problem)})


def leave_to_begin_again(folder: Path) -> None:
    """End this worker and the others with it, so that all are started once more."""
    _leave(folder, {"kind": "again"})


def _leave(folder: Path, outcome: dict[str, Any]) -> None:
    # Of several that fail at once the first one's word stands: the others fail because it did.
    if not (folder / OUTCOME).exists():
        write_json(folder / OUTCOME, outcome)
    sys.stderr.flush()
    # Without a word to the others, who may wait for this one for ever: the launcher ends them.
    os._exit(1)


def all_stopped(folder: Path, problem: Problem) -> None:
    """Say that the workers stopped on demand, all at one step, and end well: none must be killed while it saves."""
    if leads():
        write_json(folder / OUTCOME, {"kind": "stopped", "told": vars(problem)})
    together()
    os._exit(0)


def launch(count: int, folder: Path) -> None:
    """Train in `count` workers until they are done; raises the problem that ended them, if one did."""
    import logging

    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # failures are told by us
    with folder.with_suffix(".workers").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of a launcher that was killed save and end first
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
        signals_to_handle="SIGQUIT",  # the others are ours to pass on
    )
    _pass_signals_on()
    while True:
        (folder / OUTCOME).unlink(missing_ok=True)
        failed = None
        try:
            elastic_launch(config, sys.executable)("-m", "stages.train", *sys.argv[1:])
        except ChildFailedError as error:
            failed = error.get_first_failure()[1]
        outcome = read_json(folder / OUTCOME) if (folder / OUTCOME).is_file() else {"kind": "none"}
        if "told" in outcome:
            raise Problem(**outcome["told"])
        if outcome["kind"] == "again":
            continue
        if failed:
            raise Problem(
                f"training, process {failed.local_rank} of {count}",
                f"it ended with status {failed.exitcode}",
                "a process that trains to its end",
                "look at what it printed above; then dvc repro goes on from the last saved state",
            )
        return


def _pass_signals_on() -> None:
    """Send SIGINT and SIGTERM to the workers, which live in sessions of their own; so, too, when DVC is gone."""
    import psutil

    def pass_on(number: int, frame: object) -> None:
        del frame
        for child in psutil.Process().children():
            child.send_signal(number)

    def watch() -> None:
        while os.getppid() == PARENT:
            time.sleep(0.5)
        pass_on(signal.SIGTERM, None)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    threading.Thread(target=watch, daemon=True).start()
