"""The contract of clean rows, as a pandera model: what every later stage may rely on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

from stages.plumbing.problem import Problem

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl


class _NotThere:
    """A finder (PEP 451) for modules that this thread takes for not installed."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.thread = get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Raise what an import raises where there is no such module."""
        del path, target
        if name in self.names and get_ident() == self.thread:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Let imports of this thread fail to find these modules, unless they are there already."""
    finder = _NotThere(set(names))
    # Another list each time: an import of another thread may be going through this one.
    sys.meta_path = [finder, *sys.meta_path]
    try:
        yield
    finally:
        sys.meta_path = [other for other in sys.meta_path if other is not finder]


def clean_rows(inputs: list[str]) -> "type[pa.DataFrameModel]":
    """The model for these input fields: identity, place and texts, nothing missing, nothing empty, in this order."""
    # pandera does without them (its issue 2387) but loads them where it can: a tenth of the time of a million rows.
    with _without("pandas", "hypothesis"):
        model = _model(inputs)
        hold(model.empty(), model)  # the first check loads the rest of pandera
    return model


def _model(inputs: list[str]) -> "type[pa.DataFrameModel]":
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
