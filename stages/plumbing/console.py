"""What a person sees while a stage runs: one fact per line, and a bar with an ETA for long work."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, TypeVar

T = TypeVar("T")

LOGS = Path("logs")
_logs: list[TextIO] = []


def number(value: float) -> str:
    """A number as people read it: thousands separated, four significant digits below that."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}"


def say(fact: str, value: object = "", unit: str = "") -> None:
    """Print one fact: its name, its value, its unit."""
    shown = number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
    line = f"  {fact:<28} {shown}{' ' + unit if unit else ''}".rstrip()
    print(line, flush=True)
    for log in _logs:
        print(datetime.now(UTC).isoformat(timespec="seconds") + line, file=log, flush=True)


@contextmanager
def logged(name: str) -> Iterator[None]:
    """Keep what is said meanwhile in a file of `logs/`, too, each line with its time."""
    LOGS.mkdir(exist_ok=True)
    with (LOGS / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.log").open("w", encoding="utf-8") as log:
        _logs.append(log)
        try:
            yield
        finally:
            _logs.remove(log)


def bar(what: str, total: int | None, unit: str = "rows", *, hidden: bool = False) -> "tqdm":  # noqa: F821
    """A progress bar with an ETA; a log that is not a terminal gets a line now and then instead of every moment.

    Without a total it counts only. Bytes are shown as MB and GB.
    """
    from tqdm import tqdm

    live = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=f"  {what}",
        unit="B" if unit == "bytes" else f" {unit}",
        unit_scale=unit == "bytes",
        mininterval=0.2 if live else 10.0,
        maxinterval=1.0 if live else 30.0,
        ascii=None if live else " #",
        dynamic_ncols=live,
        ncols=None if live else 100,
        leave=True,
        disable=hidden or bool(os.environ.get("TQDM_DISABLE")),  # which tqdm heeds only if set before it is imported
    )


def only_our_bars() -> None:
    """Switch off transformers' bars for reading and writing files; downloads keep theirs."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def watched(items: Iterable[T], what: str, total: int, unit: str = "rows") -> Iterable[T]:
    """Yield the items under a progress bar."""
    with bar(what, total, unit) as progress:
        for item in items:
            yield item
            progress.update()
