"""Recipes: complete parameter files, one of which is the experiment."""

import shutil
from pathlib import Path

from stages.plumbing.params import check, load
from stages.plumbing.problem import Problem
from stages.plumbing.recipe import Recipe


def listed(folder: Path) -> list[str]:
    """One line for each recipe: its name and what its first comment says it is."""
    lines = []
    for path in sorted(folder.glob("*.yaml")):
        about = path.read_text("utf-8").splitlines()[0].lstrip("# ")
        lines.append(f"{path.stem:<28} {about}")
    return lines


def choose(name: str, folder: Path, params: Path, *, force: bool) -> None:
    """Copy the recipe `name` over `params`, unless that would lose choices made by hand."""
    recipes = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in recipes:
        raise Problem(
            str(folder),
            f"no recipe {name}",
            f"one of {', '.join(recipes)}",
            "afina recipe lists them with what they do",
        )
    check(Recipe, load(recipes[name]), recipes[name])
    known = {path.read_bytes() for path in recipes.values()}
    if params.is_file() and params.read_bytes() not in known and not force:
        raise Problem(
            str(params),
            "choices that are in no recipe",
            "a file that nothing is lost with",
            "commit or copy it, then say --force",
        )
    shutil.copyfile(recipes[name], params)
    print(f"{params} is now the recipe {name}: run `dvc repro`")
