"""The rows of one side of the split."""

from pathlib import Path
from typing import Any

from stages.plumbing.problem import Problem


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of one side of the split; an empty side is a problem, since nothing can be learnt from it."""
    import polars as pl

    rows = pl.read_parquet(path).to_dicts()
    if not rows:
        raise Problem(str(path), "no rows", "at least one", "change split.validation, split.test or split.evaluate_on")
    return rows


def read_copies(path: Path) -> list[dict[str, Any]]:
    """The altered copies of training rows; usually there are none."""
    import polars as pl

    return pl.read_parquet(path).to_dicts()
