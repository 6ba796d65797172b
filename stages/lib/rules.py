"""Which rows make good examples: the section `clean`, its text rules, and the reasons to leave a row out."""

from typing import Annotated, Self

import polars as pl
from pydantic import Field, model_validator

from stages.lib.languages import Languages, surely_other
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
_LONGEST_STUB_BYTES = max(len(stub.encode()) for stub in STUBS)


def rules_of(section: Clean) -> dict[str, Rule]:
    """The text rules that are switched on, in their order."""
    on = section.rules.model_dump()
    return {name: rule for name, rule in text_rules(section.characters).items() if on[name]}


def put_right_rows(rows: pl.DataFrame, fields: list[str], section: Clean) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """Apply the text rules to every field; also give the places (u32, unordered) of the rows that each one changed."""
    rules = rules_of(section)
    found: dict[str, list[pl.Series]] = {name: [] for name in rules}
    for name in fields:
        texts, changed = put_right(rows[name], rules)
        rows = rows.with_columns(texts)
        for rule, index in changed.items():
            found[rule].append(index)
    return rows, {rule: pl.concat(indices).unique() for rule, indices in found.items()}


def reasons(inputs: list[str], section: Clean) -> dict[str, pl.Expr]:
    """Reason -> the rows it sets aside, in the order in which they are asked; the first that holds is the reason."""
    response = pl.col("response")
    texts = [pl.col(name) for name in inputs]
    asked = {
        "empty_input": pl.any_horizontal([_empty(text) for text in texts]),
        "empty_response": _empty(response),
    }
    if section.rules.stubs:
        asked["stub"] = _is_stub(response)
    if section.rules.same_as_input:
        asked["same_as_input"] = pl.any_horizontal([response == text for text in texts])
    input_chars = [text.str.len_chars() for text in texts]
    response_chars = [response.str.len_chars()]
    return {
        **asked,
        **_outside("input", input_chars, section.min_input_chars, section.max_input_chars),
        **_outside("response", response_chars, section.min_response_chars, section.max_response_chars),
    }


def _outside(what: str, chars: list[pl.Expr], least: int, most: int | None) -> dict[str, pl.Expr]:
    limits = {f"short_{what}": pl.any_horizontal([count < least for count in chars])}
    if most is not None:
        limits[f"long_{what}"] = pl.any_horizontal([count > most for count in chars])
    return limits


def _empty(text: pl.Expr) -> pl.Expr:
    return text.is_null() | (text.str.len_bytes() == 0) | (text.str.starts_with(" ") & (text.str.strip_chars() == ""))


def _is_stub(text: pl.Expr) -> pl.Expr:
    short = pl.when(text.str.len_bytes() <= _LONGEST_STUB_BYTES).then(text)  # the others' small letters are not needed
    return short.str.to_lowercase().is_in(STUBS).fill_null(value=False) | ~text.str.contains(r"[\p{L}\p{N}]")


def sorted_out(rows: pl.DataFrame, inputs: list[str], section: Clean) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows to keep, and those set aside with a column `reason`."""
    asked = reasons(inputs, section)
    first = pl.coalesce([pl.when(holds.fill_null(value=False)).then(pl.lit(reason)) for reason, holds in asked.items()])
    judged = rows.with_columns(first.alias("reason"))
    if section.languages:  # asked last, and only of what is left: it is the slowest
        left = judged.filter(pl.col("reason").is_null())
        other = left.filter(surely_other(left["response"], section.languages))["row_id"].implode()
        told = pl.when(pl.col("row_id").is_in(other)).then(pl.lit(OTHER_LANGUAGE)).otherwise("reason")
        judged = judged.with_columns(told.alias("reason"))
    if judged["reason"].null_count() == rows.height:
        return rows, judged.clear()
    return judged.filter(pl.col("reason").is_null()).drop("reason"), judged.filter(pl.col("reason").is_not_null())
