"""Bringing a model from the Hugging Face hub: the files of one commit, through the hub's own client and its cache."""

from pathlib import Path

from stages.plumbing.problem import Problem

# Everything but weights, and no code: a checkpoint's own Python files are never brought, so that they cannot run.
SMALL = ("*.json", "*.jinja", "*.model", "*.txt")
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first kind there is; the second becomes the first
INDICES = ("*.index.json",)
BELOW = ("*/*",)  # folders of a repository hold other formats of the same weights


def snapshot(name: str, revision: str | None) -> tuple[Path, str]:
    """The folder of model `name` at `revision` (the newest commit of its main branch for None), and that commit.

    What is in the client's cache is not asked for again, and a cut connection is taken up where it broke. Raises
    Problem when the hub does not give the model, or cannot be asked and the cache has not got it.
    """
    import httpx2
    from huggingface_hub import HfApi, errors, get_cached_repo_tree, snapshot_download

    where = f"params.yaml, model: {name}" + (f" at revision {revision}" if revision else "")
    try:
        commit = HfApi().resolve_revision(name, revision=revision).resolved
        snapshot_download(name, revision=commit, allow_patterns=[*SMALL], ignore_patterns=[*BELOW, *INDICES])
        files = [file.path for file in get_cached_repo_tree(name, revision=commit)]
        folder = snapshot_download(name, revision=commit, allow_patterns=weights_among(files, where))
    except errors.GatedRepoError as error:
        raise Problem(
            where,
            "a gated model: its owner wants its licence accepted first",
            "an account that may download it, and its token on this machine",
            f"accept the licence at https://huggingface.co/{name}, then run `hf auth login` (or set HF_TOKEN)",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise Problem(
            where,
            f"no revision {revision}",
            "a branch, a tag or a whole commit of that repository",
            f"correct model.revision: https://huggingface.co/{name}/commits/main lists the commits",
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise Problem(
            where,
            "no such model, or a private one",
            "the name of a model on the hub, such as google/flan-t5-base",
            "correct model.name; a private model needs `hf auth login`",
        ) from error
    except (errors.RevisionResolutionError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise Problem(
            where,
            "the hub cannot be reached, and its cache on this machine has not got the whole model",
            "a connection, or the model in the cache",
            "connect (and unset HF_HUB_OFFLINE), then run dvc repro; or set model.origin: folder for one you have",
        ) from error
    except (errors.HfHubHTTPError, httpx2.HTTPError) as error:
        raise Problem(
            where,
            f"the download broke off: {' '.join(str(error).split())[:200] or type(error).__name__}",
            "a hub that answers",
            "run dvc repro again: files that came whole are kept",
        ) from error
    return Path(folder), commit


def weights_among(files: list[str], where: str) -> list[str]:
    """The weight files of a repository, with their index: safetensors, or PyTorch's own where there are no others."""
    from fnmatch import fnmatchcase

    top = [path for path in files if "/" not in path]
    for pattern in WEIGHTS:
        found = [path for path in top if fnmatchcase(path, pattern)]
        if found:
            stem = pattern.partition("*")[0]
            return found + [path for path in top if path.startswith(stem) and path.endswith(".index.json")]
    raise Problem(
        where,
        f"no weights among its files ({', '.join(top)[:200]})",
        " or ".join(WEIGHTS),
        "choose a repository that publishes weights for PyTorch",
    )
