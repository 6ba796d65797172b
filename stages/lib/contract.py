"""The contract of clean rows, as a pandera model: what every later stage may rely on."""

from typing import TYPE_CHECKING

from stages.plumbing.problem import Problem

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl


def clean_rows(inputs: list[str]) -> "type[pa.DataFrameModel]":
    """The model for these input fields: identity, place and texts, nothing missing, nothing empty, in this order."""
    import pandera.polars as pa

    class CleanRows(pa.DataFrameModel):
        row_id: int = pa.Field(ge=1, unique=True)
        line: int = pa.Field(ge=1)

        class Config:
            strict = True
            ordered = True

    text = {"str_length": {"min_value": 1}, "nullable": False}
    names = [*inputs, "response"]
    body = {"__annotations__": dict.fromkeys(names, str), **{name: pa.Field(**text) for name in names}}
    return type("CleanRows", (CleanRows,), body)


def hold(rows: "pl.DataFrame", model: "type[pa.DataFrameModel]") -> None:
    """Raise Problem unless the rows keep the contract, in their data too and not only in their schema."""
    from pandera.config import ValidationDepth, config_context
    from pandera.errors import SchemaErrors

    try:
        with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            model.validate(rows, lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.row(0, named=True)
        told = f"{first['column']} fails {first['check']}: {str(first['failure_case'])[:100]!r}"
        do = "this is a mistake in the rules, not in your data: please report it with this line"
        raise Problem("clean rows", told, "rows that keep the contract of stages/lib/contract.py", do) from None
