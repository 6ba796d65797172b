"""Reading params.yaml: the whole recipe is checked before a stage does anything, then the stage gets its sections."""

from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from stages.plumbing.problem import Problem

PARAMS = Path("params.yaml")
# PyYAML's loader in C, where it was built with one, takes a tenth of the time.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(path: Path, wanted: str = "sections such as source, clean, split") -> dict[str, Any]:
    """The file as a mapping, or a problem that says where the YAML breaks or, if it is no mapping, what is `wanted`."""
    if not path.is_file():
        raise Problem(str(path), "no such file", "a parameter file", "copy one: cp recipes/local.yaml params.yaml")
    try:
        content = yaml.load(path.read_text("utf-8"), LOADER)  # noqa: S506 - either loader is safe
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise Problem(str(path), told, "valid YAML in UTF-8", "correct the line that is named") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise Problem(str(path), found, wanted, "see recipes/")
    return content


def check(model: type[BaseModel], content: dict[str, Any], path: Path) -> Any:
    """Validate `content` against `model`; the first mistake becomes a problem, the others are counted."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # A key written wrong is unknown and, under its right name, missing: the first of the two tells more.
        first, *others = sorted(error.errors(include_url=False), key=lambda told: told["type"] != "extra_forbidden")
        more = f" ({len(others)} more after this one)" if others else ""
        where = f"{path}, {'.'.join(str(part) for part in first['loc']) or 'the whole'}{more}"
        raise Problem(where, *_told(first, model)) from None


def _told(error: dict[str, Any], model: type[BaseModel]) -> tuple[str, str, str]:
    """What was found, what is wanted and what to do, for one error of pydantic's."""
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = _keys_beside(model, error["loc"])
        near = get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        return f"unknown parameter {key}", f"one of {', '.join(known)}", hint
    if error["type"] == "missing":
        return "nothing", f"a value for {key}", "add it; recipes/local.yaml has every key, with its meaning"
    message, value = error["msg"].removeprefix("Value error, "), error["input"]
    if error["type"] == "string_type" and isinstance(value, (int, float, date)):
        return repr(value)[:200], message, "write it in quotes: without them YAML reads no text"
    unfit = error["type"] == "value_error" and isinstance(value, dict)
    found = "choices that do not fit together" if unfit else repr(value)[:200]
    return found, message, "change the value; recipes/local.yaml says what is legal"


def _keys_beside(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The legal keys of the block that holds the last part of `loc`."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return sorted(model.model_fields)


class Sections(BaseModel):
    """The sections that one stage reads; its fields are, letter for letter, the `params:` of that stage in dvc.yaml."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def read(cls, path: Path = PARAMS) -> Self:
        """Check the whole of `path` as a recipe, then return this stage's sections of it."""
        from stages.plumbing.recipe import Recipe

        content = load(path)
        check(Recipe, content, path)
        return check(cls, content, path)
