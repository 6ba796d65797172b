"""Cleaning as a flow of blocks: read, put right, sort out, drop duplicates, hold the contract, write, count."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stages.lib.changes import Examples
from stages.lib.contract import clean_rows, hold
from stages.lib.duplicates import Seen
from stages.lib.ledger import DUPLICATE, NEAR_DUPLICATE, Ledger
from stages.lib.measures import measured
from stages.lib.near_rows import find_similar
from stages.lib.quarantine import QUARANTINE
from stages.lib.readers import Block, read
from stages.lib.rules import Clean, put_right_rows, sorted_out
from stages.lib.source import Source
from stages.lib.tables import growing
from stages.plumbing import console, processors
from stages.plumbing.problem import Problem

# Blocks that are put right at a time: one thread reads, and more than this are never waiting for the next one. Each
# takes some 60 MiB on its way.
AT_ONCE = 8
# Blocks that are held to the contract together: to ask takes nearly as long for one as for some.
PROVEN = 4

Judged = tuple[Block, pl.DataFrame, pl.DataFrame, dict[str, np.ndarray]]


class Cleaning:
    """One pass over one source."""

    def __init__(self, source: Source, section: Clean) -> None:
        self.source = source
        self.section = section
        self.fields = list(source.columns.fields)
        self.ledger = Ledger(self.fields)
        self.examples = Examples(self.fields, section)
        self._seen = Seen()

    def run(self, path: Path, kept: Path, set_aside: Path) -> dict[str, Any]:
        """Write the rows kept and the rows set aside; gives the ledger's report. Raises Problem when no row is kept.

        Blocks are put right in threads (polars works outside Python's lock) and written in another one; everything that
        depends on order, duplicates above all, happens in order.
        """
        if self.section.near_duplicates:
            self._find_similar(path, kept.with_suffix(".all"), set_aside.with_suffix(".all"))
        at_once = min(AT_ONCE, processors.available())
        clean = {"row_id": pl.Int64, "line": pl.Int64, **dict.fromkeys(self.fields, pl.String)}
        with (
            growing(kept, clean) as keep,
            growing(set_aside, QUARANTINE) as put_aside,
            ThreadPoolExecutor(at_once) as pool,
            ThreadPoolExecutor(1) as reader,
            ThreadPoolExecutor(1) as writer,
            ThreadPoolExecutor(1) as prover,
            console.bar("clean", 0) as progress,
        ):
            model = prover.submit(clean_rows, self.fields[:-1])
            written = proven = None
            unproven: list[pl.DataFrame] = []
            blocks = processors.read_ahead(reader, read(path, self.source))
            for judged in processors.in_order(pool, at_once, self._judged, blocks):
                good, bad = self._entered(*judged)
                unproven.append(good)
                if len(unproven) == PROVEN:
                    proven = _after(proven, prover, lambda rows=tuple(unproven): hold(pl.concat(rows), model.result()))
                    unproven.clear()
                # One block waits at most, and a full disk stops here.
                written = _after(written, writer, lambda good=good, bad=bad: (keep(good), put_aside(bad)))
                progress.update(good.height + bad.height)
            if unproven:
                proven = _after(proven, prover, lambda: hold(pl.concat(unproven), model.result()))
            report = self.ledger.report()  # while the last rows are still on their way
            for last in filter(None, (written, proven)):
                last.result()
        if not self.ledger.kept:
            told = f"0 of {self.ledger.read} rows fit to keep ({_counted(report['reasons'])})"
            do = "look at the reasons; clean.rules and the length limits in clean are what decides"
            raise Problem(str(path), told, "at least one", do)
        self.examples.finish(kept)
        return report

    def _find_similar(self, path: Path, kept: Path, set_aside: Path) -> None:
        """Clean once without the rule, to see all the rows that it compares; gives their places, not their records."""
        Cleaning(self.source, self.section.model_copy(update={"near_duplicates": None})).run(path, kept, set_aside)
        self.ledger.similar = find_similar(kept, self.fields, self.section.near_duplicates)
        kept.unlink()
        set_aside.unlink()

    def block(self, block: Block) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows of one block to keep and to set aside (QUARANTINE), both by row_id; enters them in the ledger."""
        return self._entered(*self._judged(block))

    def _judged(self, block: Block) -> Judged:
        """What needs no other block: the rows put right, those to set aside, and where each rule changed one."""
        rows, changed = put_right_rows(block.rows, self.fields, self.section)
        return block, *sorted_out(measured(rows, self.fields), self.fields[:-1], self.section), changed

    def _entered(
        self, block: Block, rows: pl.DataFrame, out: pl.DataFrame, changed: dict[str, np.ndarray]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What needs the blocks before: duplicates, and the ledger."""
        out = out.with_columns(pl.lit(None, pl.Int64).alias("row_kept"))
        if self.section.rules.duplicates and rows.height:
            first = self._seen.first(rows, self.fields)
            again = first != rows["row_id"]
            if again.any():
                if self.ledger.similar:  # a duplicate of a near-duplicate: say who stands for both
                    first = first.replace(*self.ledger.similar.rows)
                copies = rows.with_columns(first, reason=pl.lit(DUPLICATE)).filter(again)
                out, rows = pl.concat([out, copies.select(out.columns)]), rows.filter(~again)
        if self.ledger.similar:
            near = rows.join(self.ledger.similar.rows, on="row_id", maintain_order="left")
            near = near.with_columns(reason=pl.lit(NEAR_DUPLICATE))
            self.examples.near(near)
            rows = rows.join(near, on="row_id", how="anti", maintain_order="left")
            out = pl.concat([out, near.select(out.columns)])
        out = out.with_columns(pl.Series("raw", block.raw(out), pl.String)).select(list(QUARANTINE))
        kept = rows.select("row_id", "line", *self.fields)
        bad = pl.concat([block.broken, out]).sort("row_id")
        self.ledger.add(rows, bad, {rule: len(places) for rule, places in changed.items()})
        self.examples.look(block.rows, bad, changed)
        return kept, bad

    def tell(self, report: dict[str, Any]) -> None:
        """Print the ledger; `report` is the content of reports/clean.json."""
        ledger = self.ledger
        for fact in ("read", "kept", "duplicates", "quarantined"):
            console.say(fact, getattr(ledger, fact), "rows")
        if ledger.similar:
            console.say("near-duplicates", ledger.near_duplicates, f"rows; up to {ledger.similar.largest} alike")
        console.say("set aside because", _counted(report["reasons"]) or "nothing was")
        console.say("changed by", _counted(report["changed"]))
        console.say("distinct", _counted(report["distinct"]))
        console.say("mean length", _counted(report["mean_chars"]), "characters")


def _after(before: Future | None, thread: ThreadPoolExecutor, work: Callable[[], object]) -> Future:
    """Begin the work when the one before is done; raises what that one raised."""
    if before:
        before.result()
    return thread.submit(work)


def _counted(counts: dict[str, float]) -> str:
    return ", ".join(f"{name} {console.number(count)}" for name, count in counts.items())
