"""Downloading a file of a Hugging Face repository at a pinned revision; the hub's own client retries and keeps it."""

from pathlib import Path
from typing import NoReturn

from stages.lib.arrivals import Arrival, file_name
from stages.lib.source import HubFile, Pointer
from stages.plumbing import console
from stages.plumbing.problem import Problem


def download(pointer: Pointer, _work: Path) -> Arrival:
    """Bring the file that `pointer.hub` names into the hub's own cache; the revision that came is told as a commit."""
    import httpx2
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    wanted = pointer.hub
    try:
        got = hf_hub_download(wanted.repository, wanted.file, repo_type=wanted.kind, revision=wanted.revision)
    except (HfHubHTTPError, EntryNotFoundError, httpx2.HTTPError, ConnectionError, ValueError) as error:
        _explain(wanted, pointer.location, error)
    commit = _commit(Path(got), wanted)
    if commit != wanted.revision:
        console.say("revision", f"{wanted.revision} is commit {commit} now; pin that: a name may move")
    return Arrival(Path(got), file_name(wanted.file, pointer.location), commit)


def _commit(got: Path, wanted: HubFile) -> str:
    """The commit by whose name the hub's cache keeps the file: .../snapshots/COMMIT/the/file."""
    return got.parts[-1 - len(Path(wanted.file).parts)]


def _explain(wanted: HubFile, location: str, error: Exception) -> NoReturn:
    """Say what the hub meant: it answers alike for what does not exist and for what may not be seen."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{'' if wanted.kind == 'model' else wanted.kind + 's/'}{wanted.repository}"
    login = "`hf auth login`, or HF_TOKEN in the environment"
    told = " ".join(str(error).split())[:300]
    # The first that fits: a gated repository is a kind of one that is not found.
    meanings = (
        (errors.GatedRepoError, "a gated repository", f"ask for access at {page}, then log in: {login}"),
        (
            errors.RepositoryNotFoundError,
            f"no {wanted.kind} of that name, or a private one",
            f"correct hub.repository and hub.kind; if it is private, log in: {login}",
        ),
        (errors.RevisionNotFoundError, f"no revision {wanted.revision}", f"take a commit from {page}/commits/main"),
        (errors.RemoteEntryNotFoundError, f"no file {wanted.file} in it", f"correct hub.file: {page}/tree/main"),
        (errors.LocalEntryNotFoundError, told, "check the connection; HF_HUB_OFFLINE=1 forbids to ask at all"),
        (Exception, told, f"check names and connection; if it is not public, log in: {login}"),
    )
    found, do = next((found, do) for kind, found, do in meanings if isinstance(error, kind))
    raise Problem(f"{location} at {wanted.revision}", found, "a file that the hub gives out", do) from None
