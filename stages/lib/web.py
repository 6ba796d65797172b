"""Downloading over https: with retries, and going on where a cut connection left off if the file is still the same."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from stages.lib import files
from stages.lib.arrivals import Arrival, file_name
from stages.lib.source import Pointer
from stages.plumbing import console
from stages.plumbing.problem import Problem

if TYPE_CHECKING:
    import requests

# What a cut connection may cost is one block.
BLOCK = 1 << 16
# Tries in a row that bring nothing new; a connection that is cut every other minute is no reason to give up.
ATTEMPTS = 6
TIMEOUT_S = 60
LONGEST_PAUSE_S = 60
# An answer that may be different a moment later; any other 4xx will not change by asking again.
PASSING = (408, 425, 429, 500, 502, 503, 504)


class _ChangedError(Exception):
    """What is here already is no beginning of what the server has now."""


@dataclass
class _Begun:
    """What is here already. `validator`: the ETag or date by which the server knows that file, '' when it gave none."""

    part: Path
    validator: str
    total: int | None

    @property
    def bytes(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    @classmethod
    def found(cls, part: Path, *, pinned: bool) -> "_Begun":
        """What an earlier try left; without a validator only a pinned sha256 shows whether two halves fit."""
        told = part.with_suffix(".json")
        if part.exists() and told.exists():
            begun = cls(part, **files.read_json(told))
            if begun.validator or pinned:
                return begun
        part.unlink(missing_ok=True)
        return cls(part, "", None)


def download(pointer: Pointer, work: Path) -> Arrival:
    """Bring the file at `pointer.url` into the folder `work`."""
    name = pointer.name or file_name(unquote(urlsplit(pointer.url).path), pointer.url)
    return Arrival(downloaded(pointer.url, work / "part", pinned=pointer.sha256 is not None), name)


def downloaded(url: str, part: Path, *, pinned: bool) -> Path:
    """Bring `url` to `part`; waits 1, 2, 4 ... s, or what the server asks for, between tries.

    Raises Problem for what does not change by asking again, and after ATTEMPTS tries in a row that brought nothing.
    """
    import requests

    failures, most = 0, part.stat().st_size if part.exists() else 0
    while True:
        begun = _Begun.found(part, pinned=pinned)
        pause = 2**failures
        try:
            _continue(url, begun)
        except requests.HTTPError as error:
            told = f"HTTP status {error.response.status_code}"
            if error.response.status_code not in PASSING:
                raise Problem(url, told, "the file", _way_out(error.response.status_code)) from None
            asked = error.response.headers.get("Retry-After", "")
            pause = int(asked) if asked.isdecimal() else pause
        # A ValueError is a broken address, as is requests' InvalidURL or InvalidSchema: a redirect may lead to one.
        except (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError) as error:
            told = " ".join(str(error).split())[:200]
            raise Problem(url, told, "an address that answers", "check the address and where it leads") from None
        except requests.RequestException as error:
            told = f"{type(error).__name__} after {begun.bytes} bytes"
        except _ChangedError as error:
            told = str(error)
            part.unlink()
        else:
            return part
        if begun.bytes > most:
            failures, most = 0, begun.bytes
        failures += 1
        if failures == ATTEMPTS:
            do = "check the address and the connection, then run it again: it goes on from here if it can"
            raise Problem(url, told, "the file", do)
        pause = min(pause, LONGEST_PAUSE_S)
        console.say("trying again", f"in {pause} s: {told}")
        time.sleep(pause)


def _way_out(status: int) -> str:
    if status in (401, 403):
        return "log in by ~/.netrc if the file is not public, or download it with a browser and name it in source.path"
    return "check the address"


def _continue(url: str, begun: _Begun) -> None:
    """One try: ask for the bytes that are missing, and append them."""
    import requests

    have = begun.bytes
    # identity: a length that counts the file's own bytes, and a range that continues them.
    asked = {"Accept-Encoding": "identity"}
    if have:
        asked["Range"] = f"bytes={have}-"
        if begun.validator:
            asked["If-Range"] = begun.validator
    with requests.get(url, headers=asked, stream=True, timeout=TIMEOUT_S) as answer:
        if have and answer.status_code == 416 and _range(answer)[1] == have:
            return  # nothing is missing
        if have and answer.status_code == 416:
            raise _ChangedError("the file is another one now")
        answer.raise_for_status()
        _refuse_page(url, answer)
        resumed = answer.status_code == 206
        if resumed:
            _require_same(answer, begun, have)
        else:
            have = 0
            begun.part.unlink(missing_ok=True)
        total = _length(answer)
        total = None if total is None else have + total
        facts = begun.part.with_suffix(".json")
        if _plain(answer):
            files.write_json(facts, {"validator": _validator(answer), "total": total})
        else:
            facts.unlink(missing_ok=True)  # so none goes on: a range counts packed bytes, the part holds unpacked ones
        with (
            begun.part.open("ab") as file,
            console.bar("download", total, "bytes") as progress,
        ):
            progress.update(have)
            for block in answer.iter_content(BLOCK):
                progress.update(file.write(block))
    if total is not None and begun.bytes < total:
        raise requests.ConnectionError("the connection was cut")


def _require_same(answer: "requests.Response", begun: _Begun, have: int) -> None:
    """Raise _ChangedError when the server goes on with another file, elsewhere in it, or in packed bytes."""
    start, total = _range(answer)
    if not _plain(answer):
        raise _ChangedError("the rest comes packed and does not fit: beginning anew")
    if None not in (begun.total, total) and begun.total != total:
        raise _ChangedError(f"the server said {begun.total} bytes before and says {total} now: beginning anew")
    if start != have or (begun.validator and _validator(answer) not in ("", begun.validator)):
        raise _ChangedError("the file has changed since the download began: beginning anew")


def _range(answer: "requests.Response") -> tuple[int | None, int | None]:
    """Where the part that the server gives begins, and how long the whole is; None for what it does not say."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    start, total = found.groups() if found else (None, None)
    return (int(start) if start else None), (int(total) if total and total != "*" else None)


def _length(answer: "requests.Response") -> int | None:
    """How many bytes will come; None when the server does not say, or packs them on the way."""
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and _plain(answer) else None


def _plain(answer: "requests.Response") -> bool:
    return answer.headers.get("Content-Encoding", "identity") == "identity"


def _validator(answer: "requests.Response") -> str:
    """By what If-Range may know the file (RFC 9110, 13.1.5): a strong ETag, else its date; '' for neither."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")


def _refuse_page(url: str, answer: "requests.Response") -> None:
    """Raise Problem for an HTML page: what a server shows to those who should log in or agree to something first."""
    page = answer.headers.get("Content-Type", "").lower().startswith("text/html")
    if page and not urlsplit(url).path.endswith((".html", ".htm")):
        do = "open it in a browser: does it ask for a login or for consent? Give the address of the file itself"
        raise Problem(url, "an HTML page", "the file", do)
