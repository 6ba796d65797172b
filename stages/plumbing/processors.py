"""How many processors there are to work on."""

import os


def available() -> int:
    """The processors that this process may run on; in a container often fewer than the machine has."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(allowed(0)) if allowed else os.cpu_count() or 1
