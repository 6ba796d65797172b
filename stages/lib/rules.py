"""Which rows make good examples: the section `clean`, its text rules, and the reasons to leave a row out."""

import re
from typing import Annotated, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from stages.lib.languages import Languages, surely_other
from stages.lib.measures import CHARS, column
from stages.lib.texts import Characters, Rule, put_right, text_rules
from stages.plumbing.section import Section

Share = Annotated[float, Field(ge=0, le=1)]
Chars = Annotated[int, Field(ge=0)]


class Rules(Section):
    """One switch for each rule, in the order in which they are applied."""

    encoding: bool
    entities: bool
    tags: bool
    control: bool
    unicode: bool
    characters: bool
    white_space: bool
    stubs: bool
    same_as_input: bool
    duplicates: bool


class Clean(Section):
    """The section `clean`."""

    rules: Rules
    characters: Characters
    min_input_chars: Chars
    max_input_chars: Chars | None
    min_response_chars: Chars
    max_response_chars: Chars | None
    languages: Languages | None
    near_duplicates: Annotated[float, Field(ge=0.5, le=1)] | None

    @model_validator(mode="after")
    def _limits_leave_room(self) -> Self:
        for least, most in (
            (self.min_input_chars, self.max_input_chars),
            (self.min_response_chars, self.max_response_chars),
        ):
            if most is not None and most < least:
                raise ValueError(f"a maximum of at least the minimum ({least}), not {most}")
        return self


# What people type where they have nothing to say, in small letters; a text without any letter or digit is one too.
STUBS = (
    "n/a", "n.a.", "na", "nan", "nil", "none", "null", "tbd", "todo", "undefined", "unknown", "no description",
    "no description available", "not available", "nenhum", "nenhuma", "sem descrição", "sem descricao", "sem texto",
    "a definir", "não disponível", "nao disponivel", "não informado", "nao informado", "descrição não disponível",
)  # fmt: skip
OTHER_LANGUAGE = "other_language"
_STUB = f"^(?i:{'|'.join(map(re.escape, STUBS))})$"


def rules_of(section: Clean) -> dict[str, Rule]:
    """The text rules that are switched on, in their order."""
    on = section.rules.model_dump()
    return {name: rule for name, rule in text_rules(section.characters).items() if on[name]}


def put_right_rows(rows: pl.DataFrame, fields: list[str], section: Clean) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
    """Apply the text rules to every field; also give the places (ascending) of the rows that each one changed."""
    # All fields as one column: the rules take as many steps for few texts as for many.
    texts, changed = put_right(pl.concat([rows[name].alias("text") for name in fields]), rules_of(section))
    parts = [texts.slice(number * rows.height, rows.height).alias(name) for number, name in enumerate(fields)]
    return rows.with_columns(parts), {
        rule: _distinct(index % rows.height, rows.height) for rule, index in changed.items()
    }


def _distinct(places: np.ndarray, rows: int) -> np.ndarray:
    """The places, all below `rows`, ascending and each once: numpy's own, by hashing, takes fifty times as long."""
    there = np.zeros(rows, bool)
    there[places] = True
    return np.flatnonzero(there)


def reasons(inputs: list[str], section: Clean) -> dict[str, pl.Expr]:
    """Reason -> the rows it sets aside, in the order in which they are asked; the first that holds is the reason."""
    response, *texts = (_bare(name, section) for name in ("response", *inputs))
    asked = {
        "empty_input": pl.any_horizontal([_empty(name, section) for name in inputs]),
        "empty_response": _empty("response", section),
    }
    if section.rules.stubs:
        asked["stub"] = _is_stub(response)
    if section.rules.same_as_input:
        asked["same_as_input"] = pl.any_horizontal([response == text for text in texts])
    return {
        **asked,
        **_outside("input", inputs, section.min_input_chars, section.max_input_chars),
        **_outside("response", ["response"], section.min_response_chars, section.max_response_chars),
    }


def _outside(what: str, fields: list[str], least: int, most: int | None) -> dict[str, pl.Expr]:
    chars = [pl.col(column(field, CHARS)) for field in fields]
    limits = {f"short_{what}": pl.any_horizontal([count < least for count in chars])}
    if most is not None:
        limits[f"long_{what}"] = pl.any_horizontal([count > most for count in chars])
    return limits


def _empty(field: str, section: Clean) -> pl.Expr:
    text = pl.col(field)
    # Where white space was put right, none is left at the ends.
    blank = pl.col(column(field, CHARS)) == 0 if section.rules.white_space else text.str.contains(r"^\s*$")
    return text.is_null() | blank


def _bare(field: str, section: Clean) -> pl.Expr:
    """The field without white space at its ends; where that was put right, none is left."""
    text = pl.col(field)
    return text if section.rules.white_space else text.str.strip_chars()


def _is_stub(text: pl.Expr) -> pl.Expr:
    return text.str.contains(_STUB) | ~text.str.contains(r"[\p{L}\p{N}]")


def sorted_out(rows: pl.DataFrame, inputs: list[str], section: Clean) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The `measured` rows to keep, and those set aside with a column `reason`."""
    asked = {reason: holds.fill_null(value=False) for reason, holds in reasons(inputs, section).items()}
    bad = rows.select(pl.any_horizontal(asked.values())).to_series()
    # Only the few that go are asked which reason it is.
    out = rows.filter(bad)
    out = out.with_columns(reason=pl.coalesce([pl.when(holds).then(pl.lit(name)) for name, holds in asked.items()]))
    left = rows.filter(~bad) if out.height else rows
    if section.languages:  # asked last, and only of what is left: it is the slowest
        other = surely_other(left["response"], section.languages)
        out = pl.concat([out, left.filter(other).with_columns(reason=pl.lit(OTHER_LANGUAGE))])
        left = left.filter(~other)
    return left, out
