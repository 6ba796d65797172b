"""Bringing a source unchanged: copied from the disk, or from where a pointer file says that it is.

What a download has brought so far lies in an ignored folder of the main checkout until it is whole, so that a fetch
that was cut, stopped or killed goes on with the next one.
"""

import hashlib
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.lib import archives, drive, files, hub, web
from stages.lib.arrivals import Arrival, file_name
from stages.lib.source import Pointer, is_pointer
from stages.plumbing import console
from stages.plumbing.checkout import locked, main_checkout
from stages.plumbing.params import check, load
from stages.plumbing.problem import Problem

WORK = Path("work/fetch")
BRINGERS = {"url": web.download, "hub": hub.download, "drive": drive.download}


@dataclass
class Origin:
    """Where the bytes came from, for the provenance report; `archive` tells of the zip file that they were in."""

    location: str
    revision: str | None = None
    licence: str | None = None
    archive: dict[str, Any] | None = None


def bring(source: Path, folder: Path) -> tuple[Path, Origin]:
    """Bring the source, or what a pointer file points to, into `folder` (which exists); the file keeps its own name."""
    if not is_pointer(source):
        place = source.as_posix() if not source.is_absolute() else source.name
        return copied(source, folder), Origin(place)
    pointer = read_pointer(source)
    with _workplace(pointer.location) as work:
        arrival = _arrived(pointer, work)
        found = files.sha256(arrival.path)
        if pointer.sha256 not in (None, found):
            do = "bring back that file, or pin the new one"
            raise Problem(f"{source}, sha256", f"{found} at {pointer.location}", pointer.sha256, do)
        target = folder / (pointer.name or file_name(pointer.member or arrival.name, pointer.location))
        origin = Origin(pointer.location, arrival.revision, pointer.licence)
        if pointer.member:
            member = archives.take_out(arrival.path, pointer.member, target)
            origin.archive = {"member": member, "sha256": found, "bytes": arrival.path.stat().st_size}
        else:
            # The hub's file is in its own cache, which others use too.
            (shutil.copyfile if pointer.hub else shutil.move)(arrival.path, target)
        shutil.rmtree(work)
    return target, origin


def read_pointer(source: Path) -> Pointer:
    """The pointer file; raises Problem for one that is not there or points to no one place."""
    _regular(source)
    try:
        return check(Pointer, load(source, "a pointer file's keys, such as url, hub or drive"), source)
    except Problem as problem:
        do = "docs/data.md shows pointer files and their keys" if "recipes" in problem.do else problem.do
        raise Problem(problem.where, problem.found, problem.wanted, do) from None


@contextmanager
def _workplace(location: str) -> Iterator[Path]:
    """The folder of what this address has brought so far, locked while in use: a second fetch waits for the first."""
    folder = main_checkout(Path()) / WORK / hashlib.sha256(location.encode()).hexdigest()[:16]
    with locked(folder, "another fetch brings this very file"):
        yield folder


def _arrived(pointer: Pointer, work: Path) -> Arrival:
    """Download, unless the pinned file is here already: somebody had pinned another sha256 before."""
    whole, told = work / "whole", work / "whole.json"
    if pointer.sha256 and whole.is_file() and told.is_file() and files.sha256(whole) == pointer.sha256:
        console.say("downloaded before", pointer.location)
        return Arrival(whole, **files.read_json(told))
    whole.unlink(missing_ok=True)
    arrival = BRINGERS[pointer.kind](pointer, work)
    if arrival.path.is_relative_to(work):
        facts = asdict(arrival)
        del facts["path"]
        files.write_json(told, facts)
        arrival.path = arrival.path.replace(whole)
    return arrival


def copied(source: Path, folder: Path) -> Path:
    """A copy of a file on this disk.

    Raises Problem for what is no readable regular file (a FIFO would wait for ever), or changes meanwhile.
    """
    before = _regular(source)
    target = folder / source.name
    try:
        shutil.copyfile(source, target)
    except PermissionError as error:
        raise Problem(str(source), _reason(error), "a file that you may read", f"chmod u+r '{source}'") from None
    after = source.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        told = f"{before.st_size} bytes before, {after.st_size} after"
        raise Problem(str(source), f"a file that changed while it was read ({told})", "a file at rest", "run it again")
    return target


def _regular(source: Path) -> Any:
    """The facts of a file (os.stat_result); raises Problem for what is not there or is no file."""
    try:
        facts = source.stat()
    except OSError as error:
        raise Problem(str(source), _reason(error), "the source file", "correct source.path") from None
    if not stat.S_ISREG(facts.st_mode):
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "neither a file nor a folder"
        raise Problem(str(source), kind, "a regular file", "point source.path to the file itself")
    return facts


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
