"""Cleaning as a flow of blocks: read, put right, sort out, drop duplicates, hold the contract, write, count."""

from pathlib import Path

import polars as pl

from stages.lib.contract import clean_rows, hold
from stages.lib.duplicates import Seen
from stages.lib.ledger import DUPLICATE, Ledger
from stages.lib.quarantine import QUARANTINE
from stages.lib.readers import Block, read
from stages.lib.rules import Clean, put_right_rows, sorted_out
from stages.lib.source import Source
from stages.lib.tables import growing
from stages.plumbing import console
from stages.plumbing.problem import Problem


class Cleaning:
    """One pass over one source."""

    def __init__(self, source: Source, section: Clean) -> None:
        self.source = source
        self.section = section
        self.fields = list(source.columns.fields)
        self.ledger = Ledger(self.fields)
        self._seen = Seen()

    def run(self, path: Path, kept: Path, set_aside: Path) -> None:
        """Write the rows kept and the rows set aside; raises Problem when no row is kept."""
        model = clean_rows(self.fields[:-1])
        clean = {"row_id": pl.Int64, "line": pl.Int64, **dict.fromkeys(self.fields, pl.String)}
        with (
            growing(kept, clean) as keep,
            growing(set_aside, QUARANTINE) as put_aside,
            console.bar("clean", 0) as progress,
        ):
            for block in read(path, self.source):
                good, bad = self.block(block)
                hold(good, model)
                keep(good)
                put_aside(bad)
                progress.update(good.height + bad.height)
        if not self.ledger.kept:
            told = f"0 of {self.ledger.read} rows fit to keep ({_counted(dict(self.ledger.reasons))})"
            do = "look at the reasons; clean.rules and the length limits in clean are what decides"
            raise Problem(str(path), told, "at least one", do)

    def block(self, block: Block) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows of one block to keep and to set aside (QUARANTINE), both by row_id; enters them in the ledger."""
        rows, changed = put_right_rows(block.rows, self.fields, self.section)
        rows, out = sorted_out(rows, self.fields[:-1], self.section)
        out = out.with_columns(pl.lit(None, pl.Int64).alias("row_kept"))
        if self.section.rules.duplicates and rows.height:
            rows = rows.with_columns(self._seen.first(rows.select(self.fields), rows["row_id"]))
            again = pl.col("row_kept") != pl.col("row_id")
            out = pl.concat([out, rows.filter(again).with_columns(reason=pl.lit(DUPLICATE)).select(out.columns)])
            rows = rows.filter(~again)
        out = out.with_columns(pl.Series("raw", block.raw(out), pl.String)).select(list(QUARANTINE))
        kept = rows.select("row_id", "line", *self.fields)
        bad = pl.concat([block.broken, out]).sort("row_id")
        self.ledger.add(kept, bad, changed)
        return kept, bad

    def tell(self) -> None:
        """Print the ledger."""
        ledger = self.ledger
        for fact in ("read", "kept", "duplicates", "quarantined"):
            console.say(fact, getattr(ledger, fact), "rows")
        report = ledger.report()
        console.say("set aside because", _counted(report["reasons"]) or "nothing was")
        console.say("changed by", _counted(report["changed"]))
        console.say("distinct", _counted(report["distinct"]))
        console.say("mean length", _counted(report["mean_chars"]), "characters")


def _counted(counts: dict[str, float]) -> str:
    return ", ".join(f"{name} {console.number(count)}" for name, count in counts.items())
