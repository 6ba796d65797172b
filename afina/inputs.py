"""What a run starts from: a valid params.yaml, and the files that it names."""

from pathlib import Path

from stages.lib.downloads import read_pointer
from stages.lib.source import is_pointer
from stages.plumbing.params import PARAMS, check, load
from stages.plumbing.problem import Problem
from stages.plumbing.recipe import Recipe


def require_inputs(project: Path) -> None:
    """Raise a problem unless parameters are valid and what they name is there.

    DVC looks for these files before any stage starts, and says no more than that they are missing.
    """
    recipe = check(Recipe, load(project / PARAMS), PARAMS)
    for key, path, what in (
        ("source.path", Path(recipe.source.path), "the file that the rows come from"),
        ("model.path", recipe.model.path, "the corpus or folder that the base model is made of"),
    ):
        if not (project / path).exists():
            raise Problem(
                f"{PARAMS}, {key}: {path}",
                "no such file or folder",
                what,
                f"bring it (docs/recipes.md says how for each recipe), or correct {key}",
            )
    source = project / recipe.source.path
    if is_pointer(source):
        read_pointer(source)
