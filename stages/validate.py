r"""Validate: check what must be true of the whole data set, and stop everything downstream when it is not.

    python -m stages.validate data/clean.parquet reports/clean.json \
        reports/validation.json reports/data_docs reports/validation_gate.json
"""

from dataclasses import asdict
from pathlib import Path

import polars as pl

from stages.lib import files
from stages.lib.data_docs import page
from stages.lib.expectations import Expectations, Outcome, check, facts_of, ledger_of, with_languages
from stages.plumbing import console
from stages.plumbing.params import Sections
from stages.plumbing.problem import Problem
from stages.plumbing.run import run


class Params(Sections):
    expectations: Expectations


def main(clean: Path, ledger: Path, validation: Path, data_docs: Path, gate: Path) -> None:
    params = Params.read()
    gate.unlink(missing_ok=True)  # an older verdict must not let through what fails now
    cleaned = files.read_json(ledger)
    rows = pl.scan_parquet(clean)
    facts = facts_of(rows, cleaned["columns"][2:])
    if params.expectations.languages:
        facts = with_languages(facts, rows)
    outcomes, results = check(
        params.expectations, facts, ledger_of(cleaned), rows.head(1000).collect(), cleaned["columns"]
    )
    failed = [outcome for outcome in outcomes if not outcome.ok]
    files.write_json(validation, {"success": not failed, "expectations": [asdict(outcome) for outcome in outcomes]})
    with files.whole(data_docs) as begun:
        begun.mkdir()
        (begun / "index.html").write_text(page(results), "utf-8")
    console.say("expectations met", f"{len(outcomes) - len(failed)} of {len(outcomes)}")
    if failed:
        raise _refusal(failed, validation)
    files.write_json(gate, {"passed": True})


def _refusal(failed: list[Outcome], validation: Path) -> Problem:
    """The first failure in full, the names of the others; every one with its numbers is printed and in the report."""
    for outcome in failed:
        offending = f"; rows {', '.join(map(str, outcome.rows))}" if outcome.rows else ""
        console.say(outcome.name, f"observed {outcome.observed}; wanted {outcome.wanted}{offending}")
    first = failed[0]
    rows = f"; rows {', '.join(map(str, first.rows))}" if first.rows else ""
    others = f" (also failed: {', '.join(outcome.name for outcome in failed[1:])})" if failed[1:] else ""
    do = f"put the data right{f' or change {first.key}' if first.key else ''}; {validation} tells more"
    return Problem(f"expectation {first.name}{others}", f"{first.observed}{rows}", first.wanted, do)


if __name__ == "__main__":
    run(main)
