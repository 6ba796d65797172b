"""Tables for `dvc plots`: tab-separated values, since DVC reads no Parquet."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib.files import whole


def write_rows(target: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows that have these columns. A chart takes an empty cell for 0: leave such rows out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, dialect="excel-tab", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with whole(target) as begun:
        begun.write_text(text.getvalue(), "utf-8")


def read_rows(path: Path) -> list[dict[str, float | None]]:
    """Rows of numbers, None where a cell is empty."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(file, dialect="excel-tab")
        ]
