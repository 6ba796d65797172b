"""What a git revision or a DVC experiment holds: its tables by hash, from DVC's cache, else from the remote."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stages.plumbing.problem import Problem

if TYPE_CHECKING:
    import polars as pl
    from dvc.repo import Repo

WORKSPACE = "workspace"
LOCK = "dvc.lock"


@dataclass(frozen=True)
class Revision:
    """A revision as somebody named it, and the commit that this is; None is the workspace."""

    name: str
    commit: str | None

    def __str__(self) -> str:
        return self.name if self.commit is None or self.commit.startswith(self.name) else f"{self.name} ({self.short})"

    @property
    def short(self) -> str:
        return self.commit[:7] if self.commit else self.name


@dataclass(frozen=True)
class Answered:
    """The rows that a revision evaluated, with their inputs, and what one model answered; both ordered by row_id."""

    revision: Revision
    asked: "pl.DataFrame"
    predictions: "pl.DataFrame"


@contextmanager
def project() -> Iterator["Repo"]:
    """The DVC project of the current folder, a git repository as well."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        repo = Repo()
    except (NotDvcRepoError, SCMError) as error:
        raise Problem(
            str(Path.cwd()), " ".join(str(error).split()), "a DVC project in git", "change to the project's folder"
        ) from None
    try:
        yield repo
    finally:
        repo.close()


def revision(repo: "Repo", name: str) -> Revision:
    """The revision called `name`: a hash, branch or tag of git, an experiment's name, or `workspace`."""
    from dvc.scm import NoSCMError, RevError, resolve_rev

    if name == WORKSPACE:
        return Revision(name, None)
    try:
        return Revision(name, resolve_rev(repo.scm, name))
    except (RevError, NoSCMError) as error:
        raise Problem(
            f"revision {name}",
            " ".join(str(error).split()),
            "a commit, branch or tag of git, the name of an experiment, or workspace",
            "git log --oneline lists commits, dvc exp show lists experiments",
        ) from None


def answered(repo: "Repo", asked: Revision, stage: str = "predict") -> Answered:
    """The predictions that `stage` (predict or baseline) made at a revision, and the rows that they answer.

    Paths and hashes are those of the revision's own dvc.lock, so that nothing has to be checked out.
    """
    import polars as pl

    recorded = _lock(repo, asked).get("stages", {}).get(stage)
    if recorded is None:
        raise Problem(
            f"revision {asked}",
            f"no stage {stage} in its {LOCK}, so no predictions",
            "a revision at which the pipeline was run",
            "run dvc repro there and commit dvc.lock, or compare experiments (dvc exp run)",
        )
    rows = _table(repo, asked, _only(recorded["deps"], "data/split/"))
    return Answered(asked, rows, _table(repo, asked, _only(recorded["outs"], "data/predictions/")).select(pl.all()))


def _lock(repo: "Repo", asked: Revision) -> dict[str, Any]:
    """The content of dvc.lock at a revision; empty where it has none."""
    if asked.commit is None:
        path = Path(repo.root_dir, LOCK)
        text = path.read_text("utf-8") if path.is_file() else ""
    else:
        # ./ is the project's folder, which may lie below the top of the git repository.
        shown = ["git", "show", f"{asked.commit}:./{LOCK}"]
        done = subprocess.run(shown, cwd=repo.root_dir, capture_output=True, check=False)
        text = done.stdout.decode("utf-8") if done.returncode == 0 else ""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # noqa: S506 - both are safe


def _only(entries: list[dict[str, Any]], folder: str) -> dict[str, Any]:
    """The one entry of a stage's deps or outs that is a table of `folder`."""
    return next(entry for entry in entries if entry["path"].startswith(folder))


def _table(repo: "Repo", asked: Revision, entry: dict[str, Any]) -> "pl.DataFrame":
    """A table by its hash, ordered by row_id: from the cache, into which the remote's copy is brought if need be."""
    import polars as pl

    cache, digest = repo.cache.local, entry["md5"]
    if not cache.exists(digest):
        _pull(repo, asked, entry)
    return pl.read_parquet(cache.oid_to_path(digest)).sort("row_id")


def _pull(repo: "Repo", asked: Revision, entry: dict[str, Any]) -> None:
    from dvc_data.hashfile.hash_info import HashInfo

    told = "the remote does not have it"
    try:
        done = repo.cloud.pull([HashInfo("md5", entry["md5"])])
        missing = bool(done.failed) or not repo.cache.local.exists(entry["md5"])
    except Exception as error:  # noqa: BLE001 - what a remote that cannot be reached raises depends on its kind
        missing, told = True, " ".join(str(error).split())[:300] or type(error).__name__
    if missing:
        raise Problem(
            f"{entry['path']} of revision {asked}",
            f"it is not in the cache, and not to be had: {told}",
            "its predictions and rows, in DVC's cache or in the remote",
            f"where they were made: dvc push --all-commits; or make them again: git checkout {asked.short}; dvc repro",
        )
