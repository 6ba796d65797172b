"""Training in several processes, one a GPU (NCCL) or a share of the CPU's threads (gloo): starting, agreeing, stopping.

The stage's own process only watches. torch's launcher, the one behind `torchrun`, starts the workers: the same command
once more each, told apart by `RANK`. Worker 0 alone writes and speaks. A worker's problem travels through a file, so
that the process that watches tells it once.

Of several machines each has a process that watches; they share the checkout. Machine 0 is the one that DVC runs on.
"""

import fcntl
import itertools
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stages.lib.engines import environment, machine, machines
from stages.lib.files import read_json, write_json
from stages.lib.models import Model, device_of
from stages.lib.resumption import PARENT
from stages.lib.training import Train
from stages.lib.workplaces import folder_of, workplace
from stages.plumbing.console import say
from stages.plumbing.problem import Problem

ATTEMPT = "AFINA_ATTEMPT"  # in the environment of a worker: how often all were started before
MEETING = 15 * 60  # seconds that a machine waits for the others
LATE = 10  # seconds after which a disk that machines share shows to all what one has written


def _outcome(folder: Path, attempt: str) -> Path:
    """The file in the folder of a training's state that tells what ended the workers of an attempt."""
    return folder / f"outcome-{attempt}.json"


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
def joined(told: dict[str, str], here: Path, *, on_gpus: bool) -> Iterator[Path]:
    """The folder of the run's state for a worker, marked as in use; a problem goes to the process that watches."""
    import torch

    folder = folder_of("train", told, here)
    _meet(folder)
    if on_gpus:
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


def _meet(folder: Path) -> None:
    """Wait for the workers of all machines; that one sees another checkout is a problem for all of them."""
    from datetime import timedelta

    from torch.distributed import PrefixStore, TCPStore

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = PrefixStore("afina", TCPStore(address, port, is_master=False, timeout=timedelta(seconds=MEETING)))
    store.set(str(rank()), "here" if folder.is_dir() else "elsewhere")
    said = [store.get(str(number)) for number in range(workers())]  # each waits until it is set
    if b"elsewhere" in said:
        problem = Problem(
            "training on several machines",
            f"process {said.index(b'elsewhere')} of {workers()} finds no {folder}, in which machine 0 begins",
            "one checkout that all machines see, and the same versions of packages on them",
            "put it on a disk that they share, run make setup, and start again on all of them",
        )
        if folder.is_dir():
            _leave(folder, {"kind": "problem", "told": vars(problem)})
        raise problem


def leave_to_begin_again(folder: Path) -> None:
    """End this worker and the others with it, so that all are started once more."""
    _leave(folder, {"kind": "again"})


def _leave(folder: Path, outcome: dict[str, Any]) -> None:
    # Of several that fail at once the first one's word stands: the others fail because it did.
    told = _outcome(folder, os.environ[ATTEMPT])
    if not told.exists():
        write_json(told, outcome)
    sys.stderr.flush()
    # Without a word to the others, who may wait for this one for ever: the launcher ends them.
    os._exit(1)


def all_stopped(folder: Path, problem: Problem) -> None:
    """Say that the workers stopped on demand, all at one step, and end well: none must be killed while it saves."""
    if leads():
        write_json(_outcome(folder, os.environ[ATTEMPT]), {"kind": "stopped", "told": vars(problem)})
    together()
    os._exit(0)


def launch(train: Train, model: Model, told: dict[str, str], here: Path) -> None:
    """Train in `train.processes` workers until they are done; raises the problem that ended them, if one did.

    On each of several machines it starts that machine's share; machine 0 holds the folder of the run's state.
    """
    _insist_on_gpus(train, model)
    os.environ.update(environment(train.accelerate, model.family, train.processes))
    if number := machine(train.accelerate):
        say(f"machine {number}", f"{train.processes_here} of {train.processes} processes; waits for machine 0")
        _watch(train, folder_of("train", told, here))
        say(f"machine {number}", "done")
        return
    with workplace("train", told, here) as folder:
        with folder.with_suffix(".workers").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # workers of a launcher that was killed save and end first
        for path in folder.glob(_outcome(folder, "*").name):
            path.unlink()
        _watch(train, folder)


def _insist_on_gpus(train: Train, model: Model) -> None:
    """Raise a problem where processes that compute on GPUs are more than this machine has of them."""
    import torch

    if device_of(model) == "cuda" and train.processes_here > torch.cuda.device_count():
        raise Problem(
            "params.yaml, train.processes",
            f"{train.processes_here} on this machine, which has {torch.cuda.device_count()} GPUs",
            "a GPU for each process",
            "lower train.processes, or set model.device: cpu",
        )


def _watch(train: Train, folder: Path) -> None:
    """Start the workers of this machine, again where they ask for it, and tell how they ended."""
    from torch.distributed import DistNetworkError, DistStoreError
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    silence_launcher()
    # Others than machine 0 are started by a person's shell, which may end before they do.
    _pass_signals_on(parent=None if machine(train.accelerate) else PARENT)
    for attempt in itertools.count():
        os.environ[ATTEMPT] = str(attempt)
        failed = None
        try:
            elastic_launch(_plan(train, attempt), sys.executable)("-m", "stages.train", *sys.argv[1:])
        except ChildFailedError as error:
            failed = error.get_first_failure()[1]
        except (DistNetworkError, DistStoreError) as error:
            raise Problem(
                "params.yaml, train.accelerate",
                " ".join(str(error).split())[:200],
                f"all {machines(train.accelerate)} machines, within {MEETING // 60} minutes, at main_process_ip and a "
                "free main_process_port",
                "correct the address or the port; dvc repro on machine 0, and afina join with its number on each other",
            ) from error
        outcome = _told(folder, str(attempt), patient=bool(failed) and machines(train.accelerate) > 1)
        if "told" in outcome:
            raise Problem(**outcome["told"])
        if outcome["kind"] == "again":
            continue
        if failed:
            raise Problem(
                f"training, process {failed.local_rank} of {train.processes_here} on this machine",
                f"it ended with status {failed.exitcode}",
                "a process that trains to its end",
                "look at what it printed above; then dvc repro goes on from the last saved state",
            )
        return


def silence_launcher() -> None:
    """Keep torch's launcher from printing tracebacks: how the workers ended is told by this module.

    One that printed: another machine's launcher, which held the store, was gone while this one waited to leave with it.
    """
    import logging

    launcher = logging.getLogger("torch.distributed.elastic")
    launcher.addHandler(logging.NullHandler())  # a level set here would do nothing: its modules set their own
    launcher.propagate = False


def _told(folder: Path, attempt: str, *, patient: bool) -> dict[str, Any]:
    """What the workers of an attempt told before they ended; a shared disk may show it some seconds late."""
    path, waited = _outcome(folder, attempt), 0.0
    while patient and not path.is_file() and waited < LATE:
        time.sleep(0.5)
        waited += 0.5
    return read_json(path) if path.is_file() else {"kind": "none"}


def _plan(train: Train, attempt: int) -> Any:
    """Where the workers of this machine meet those of the others, and how many they are."""
    from torch.distributed.launcher.api import LaunchConfig

    told, count = train.accelerate, machines(train.accelerate)
    meeting: dict[str, Any] = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}
    if told and count > 1:
        # Another port for each attempt: on the old one its predecessor may still be closing.
        meeting = {
            "rdzv_backend": "static",
            "rdzv_endpoint": f"{told.main_process_ip}:{told.main_process_port + attempt}",
            "rdzv_configs": {"rank": machine(told), "timeout": MEETING},
        }
    return LaunchConfig(
        min_nodes=count,
        max_nodes=count,
        nproc_per_node=train.processes_here,
        run_id=str(attempt),
        max_restarts=0,
        monitor_interval=0.2,
        signals_to_handle="SIGQUIT",  # the others are ours to pass on
        **meeting,
    )


def _pass_signals_on(parent: int | None) -> None:
    """Send SIGINT and SIGTERM to the workers, which live in sessions of their own; also when `parent` (DVC) is gone.

    A thread does it: while this process waits for other machines, in C++, no Python handler would run.
    """
    import psutil

    heard, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def pass_on(number: int) -> None:
        workers_here = psutil.Process().children()
        for worker in workers_here:
            with suppress(psutil.NoSuchProcess):  # it has just ended by itself
                worker.send_signal(number)
        if not workers_here:
            say("stopped", f"{signal.Signals(number).name}, before the processes of all machines were there")
            os._exit(1)

    def listen() -> None:
        while parent is None or os.getppid() == parent:
            if select.select([heard], [], [], 0.5)[0]:
                for number in os.read(heard, 64):
                    if number in {signal.SIGINT, signal.SIGTERM}:
                        pass_on(number)
        pass_on(signal.SIGTERM)

    threading.Thread(target=listen, daemon=True).start()
