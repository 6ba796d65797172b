"""The ledger of cleaning: read = kept + duplicates + quarantined, whatever the source holds.

Near-duplicates, when they are left out, are some of the duplicates; how many is told beside them.
"""

from collections import Counter
from typing import Any

import polars as pl

from stages.lib.measures import CHARS, column
from stages.lib.near_rows import Similar

DUPLICATE, NEAR_DUPLICATE = "duplicate", "near_duplicate"
# Reasons that are counted apart from the quarantine: these rows are good, and said already.
APART = (DUPLICATE, NEAR_DUPLICATE)


class Ledger:
    """Counts rows block by block; distinct texts are counted by 64-bit hashes, 8 bytes per row and field."""

    def __init__(self, fields: list[str]) -> None:
        self.fields = fields
        self.read = self.kept = 0
        self.similar: Similar | None = None
        self.reasons: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self._chars: Counter[str] = Counter()
        self._hashes: dict[str, list[pl.Series]] = {name: [] for name in fields}

    def add(self, kept: pl.DataFrame, set_aside: pl.DataFrame, changed: dict[str, int]) -> None:
        """Enter one block: its `measured` rows kept, those set aside (column `reason`), the rows each rule changed."""
        self.read += kept.height + set_aside.height
        self.kept += kept.height
        self.reasons.update(dict(set_aside["reason"].value_counts().iter_rows()))
        self.changed.update(changed)
        for name in self.fields:
            self._chars[name] += int(kept[column(name, CHARS)].sum())
            self._hashes[name].append(kept[column(name, "hash")])

    @property
    def duplicates(self) -> int:
        return self.reasons[DUPLICATE] + self.near_duplicates

    @property
    def near_duplicates(self) -> int:
        return self.reasons[NEAR_DUPLICATE]

    @property
    def quarantined(self) -> int:
        return self.read - self.kept - self.duplicates

    def report(self) -> dict[str, Any]:
        """The content of reports/clean.json; mean lengths in characters, counts in rows."""
        return {
            "read": self.read,
            "kept": self.kept,
            "duplicates": self.duplicates,
            "near_duplicates": {
                "rows": self.near_duplicates,
                "largest": self.similar.largest if self.similar else 0,
                "not_compared": self.similar.not_compared if self.similar else 0,
            },
            "quarantined": self.quarantined,
            "reasons": {name: n for name, n in sorted(self.reasons.items()) if n and name not in APART},
            "changed": dict(sorted(self.changed.items())),
            "distinct": {name: pl.concat(parts).n_unique() if parts else 0 for name, parts in self._hashes.items()},
            "mean_chars": {name: round(self._chars[name] / max(self.kept, 1), 6) for name in self.fields},
            "columns": ["row_id", "line", *self.fields],
        }
