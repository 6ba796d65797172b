"""Bringing a file unchanged: copied from the disk, over https with resume and retries, or from the Hugging Face hub."""

import os
import re
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from stages.lib.source import HubFile, Pointer, is_pointer
from stages.plumbing import console
from stages.plumbing.params import check, load
from stages.plumbing.problem import Problem

# What a cut connection may cost is one block.
BLOCK = 1 << 16
ATTEMPTS = 6
TIMEOUT_S = 60
# An answer that may be different a moment later; any other 4xx will not change by asking again.
PASSING = (408, 425, 429, 500, 502, 503, 504)


@dataclass
class Origin:
    """Where the bytes came from, for the provenance report."""

    location: str
    revision: str | None
    licence: str | None
    sha256: str | None


def bring(source: Path, folder: Path) -> tuple[Path, Origin]:
    """Bring the source, or what a pointer file points to, into `folder` (which exists); the file keeps its own name."""
    if not is_pointer(source):
        place = source.as_posix() if not source.is_absolute() else source.name
        return copied(source, folder), Origin(place, None, None, None)
    pointer: Pointer = check(Pointer, load(source), source)
    if pointer.hub:
        told = f"hf://{pointer.hub.kind}s/{pointer.hub.repository}/{pointer.hub.file}"
        return from_hub(pointer.hub, folder), Origin(told, pointer.hub.revision, pointer.licence, pointer.sha256)
    target = folder / (pointer.name or name_in(pointer.url))
    return downloaded(pointer.url, target), Origin(pointer.url, None, pointer.licence, pointer.sha256)


def copied(source: Path, folder: Path) -> Path:
    """A copy of a file on this disk.

    Raises Problem for what is no readable regular file (a FIFO would wait for ever), or changes meanwhile.
    """
    try:
        before = source.stat()
    except OSError as error:
        raise Problem(str(source), _reason(error), "the source file", "correct source.path") from None
    if not stat.S_ISREG(before.st_mode):
        kind = "a folder" if stat.S_ISDIR(before.st_mode) else "neither a file nor a folder"
        raise Problem(str(source), kind, "a regular file", "point source.path to the file itself")
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


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def name_in(url: str) -> str:
    """The file name that a URL ends with; it can not lead out of the folder."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise Problem(
            url, f"no usable file name ({name!r})", "a name such as rows.jsonl", "add name: to the pointer file"
        )
    return name


def downloaded(url: str, target: Path) -> Path:
    """Download `url` to `target`, continuing where a cut connection left off; waits 1, 2, 4 ... s between attempts."""
    import requests

    told = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2 ** (attempt - 1))
        try:
            _continue(url, target)
        except requests.HTTPError as error:
            status = error.response.status_code
            told = f"HTTP status {status}"
            if status not in PASSING:
                break
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            told = f"{type(error).__name__} after {target.stat().st_size if target.exists() else 0} bytes"
        else:
            return target
    raise Problem(url, told, "the file", "check the address and the connection, then run it again")


def _continue(url: str, target: Path) -> None:
    """One attempt: ask for the bytes that are missing, and append them."""
    import requests

    have = target.stat().st_size if target.exists() else 0
    # identity: a length that counts the file's own bytes, and a range that continues them.
    asked = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(url, headers=asked, stream=True, timeout=TIMEOUT_S) as answer:
        if have and answer.status_code == 416:  # nothing is missing
            return
        answer.raise_for_status()
        resumed = answer.status_code == 206
        have = have if resumed else 0
        left = int(answer.headers.get("Content-Length", 0))
        with target.open("ab" if resumed else "wb") as file, console.bar("download", have + left, "bytes") as progress:
            progress.update(have)
            for block in answer.iter_content(BLOCK):
                progress.update(file.write(block))
    if left and target.stat().st_size < have + left:
        raise requests.ConnectionError("the connection was cut")


def from_hub(wanted: HubFile, folder: Path) -> Path:
    """One file of a hub repository at a pinned revision; the hub's own client resumes and retries."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = f"{wanted.repository}, {wanted.file} at {wanted.revision}"
    try:
        got = hf_hub_download(wanted.repository, wanted.file, repo_type=wanted.kind, revision=wanted.revision)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        told = " ".join(str(error).split())[:300]
        do = "check names and revision; a gated repository needs `hf auth login`"
        raise Problem(where, told, "a file that the hub gives out", do) from None
    target = folder / PurePosixPath(wanted.file).name
    shutil.copyfile(os.path.realpath(got), target)
    return target
