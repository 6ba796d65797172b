"""Downloading a public file from Google Drive, with gdown: its page of confirmation, its cookies and its refusals."""

import re
import shutil
from pathlib import Path

from stages.lib.arrivals import Arrival, file_name
from stages.lib.source import Pointer
from stages.plumbing import console
from stages.plumbing.problem import Problem

RETRIES = 5
TIMEOUT_S = 60


def download(pointer: Pointer, work: Path) -> Arrival:
    """Bring the Drive file `pointer.drive` into the folder `work`.

    What an earlier fetch brought is gone on with only if the sha256 is pinned: nothing else would show that Drive has
    another file by now.
    """
    import gdown
    import requests

    folder = work / "drive"
    if not pointer.sha256:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    with console.bar("download", None, "bytes") as progress:

        def tell(done: int, total: int | None) -> None:
            progress.total = total
            progress.update(done - progress.n)

        try:
            got = gdown.download(
                id=pointer.drive,
                output=f"{folder}/",
                quiet=True,
                use_cookies=False,  # nobody's login decides what a commit means
                resume=True,
                retries=RETRIES,
                timeout=TIMEOUT_S,
                progress=tell,
            )
        except gdown.exceptions.FileURLRetrievalError as error:
            raise _refusal(pointer, str(error)) from None
        except (gdown.exceptions.DownloadError, requests.RequestException) as error:
            told = re.sub(r"/\S*/", "", " ".join(str(error).split()))[:300]
            if "byte range" in told:  # it would be refused for ever
                shutil.rmtree(folder)
            do = "run it again: it goes on from here if sha256 is pinned"
            raise Problem(pointer.location, told, "the whole file", do) from None
    return Arrival(Path(got), file_name(pointer.name or got, pointer.location))


def _refusal(pointer: Pointer, told: str) -> Problem:
    """Why Drive shows a page instead of the file: gdown gives its words, or none for what its status tells."""
    import requests

    other = "download it with a browser and name the file in source.path"
    if "Too many users" in told or "quota" in told.lower():
        do = f"try again in some 24 hours; or, logged in, copy it to a Drive of yours and use that id, or {other}"
        return Problem(pointer.location, "Drive's quota for this file is used up", "the file", do)
    address = f"https://drive.google.com/uc?id={pointer.drive}"
    with requests.get(address, stream=True, timeout=TIMEOUT_S) as answer:
        status, host = answer.status_code, requests.utils.urlparse(answer.url).hostname
    if status == 404:
        return Problem(pointer.location, "no such file (HTTP status 404)", "a file", "correct drive: in the pointer")
    if status in (401, 403) or host == "accounts.google.com":
        do = f"its owner has to share it with 'anyone with the link'; or {other}"
        return Problem(pointer.location, "no permission: Drive asks for a login", "a public file", do)
    said = re.search(r"\s(\S.*?)\s*You may still be able", " ".join(told.split()).partition("file url:")[2])
    found = f"{said[1] if said else 'a page'} (HTTP status {status})"
    return Problem(pointer.location, found, "the file", f"open the address in a browser; or {other}")
