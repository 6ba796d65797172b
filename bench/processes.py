"""Running a command as a process of its own and measuring it."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Measured:
    """Seconds on the wall and of the processors, and the peak memory in MiB of the largest process."""

    wall: float
    processor: float
    memory: float


def measured(command: list[str], log: Path) -> Measured:
    """Run a command in the current folder, its words going to `log`; exits with them where it fails.

    Linux counts the peak of the process that started the command in, too: keep that one small.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    begun = time.perf_counter()
    with log.open("wb") as file:
        output = [(os.POSIX_SPAWN_DUP2, file.fileno(), 1), (os.POSIX_SPAWN_DUP2, file.fileno(), 2)]
        process = os.posix_spawn(command[0], command, environment, file_actions=output)
        _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"{' '.join(command)}\n{log.read_text('utf-8', 'replace')[-3000:]}")
    return Measured(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
