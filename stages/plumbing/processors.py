"""How many processors there are to work on, and how a stream is worked on by some of them."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def available() -> int:
    """The processors that this process may run on; in a container often fewer than the machine has."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def in_order(
    pool: ThreadPoolExecutor, at_once: int, work: Callable[[Part], Result], parts: Iterable[Part]
) -> Iterator[Result]:
    """Do the work for so many parts at a time, and for one more that is ready; give the results in order."""
    waiting: deque[Future[Result]] = deque()
    for part in parts:
        waiting.append(pool.submit(work, part))
        if len(waiting) > at_once:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def read_ahead(reader: ThreadPoolExecutor, parts: Iterable[Part]) -> Iterator[Part]:
    """Give the parts, while a thread fetches the next one."""
    coming, over = iter(parts), object()
    following = reader.submit(next, coming, over)
    while (part := following.result()) is not over:
        following = reader.submit(next, coming, over)
        yield part
