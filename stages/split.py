r"""Split: deal the rows to train, validation and test so that no group and no near-duplicate straddles.

    python -m stages.split data/shards \
        data/split/train.parquet data/split/validation.parquet data/split/test.parquet \
        data/split/copies.parquet reports/split.json
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stages.lib import files
from stages.lib.augmentation import Augmentation, write_copies
from stages.lib.dealing import Dealt, deal, write
from stages.lib.shards import listed_in
from stages.lib.sides import SIDES, Split
from stages.plumbing import console
from stages.plumbing.params import Sections
from stages.plumbing.problem import Problem
from stages.plumbing.run import run


class Params(Sections):
    augmentation: Augmentation
    split: Split


def main(shards: Path, train: Path, validation: Path, test: Path, copies: Path, report: Path) -> None:
    params = Params.read()
    parts = listed_in(shards, params.split.shards)
    dealt = deal(parts, params.split, shards.parent)
    for side, rows in dealt.report["rows"].items():
        console.say(side, rows, "rows")
    for reason, rows in dealt.report["left_out"].items():
        console.say(f"left out: {reason}", rows, "rows")
    console.say("leaking pairs", dealt.report["leakage"]["pairs"])
    _accepted(dealt, params.split)
    # All replaced when all are there: new sides beside old copies would be tested on rows that copies are of.
    with ExitStack() as stack:
        begun = [stack.enter_context(files.whole(path)) for path in (train, validation, test, copies, report)]
        write(parts, dealt, dict(zip(SIDES, begun[:3], strict=True)))
        made = write_copies(*begun[:4], params.augmentation, params.split)
        files.write_json(begun[4], dealt.report | {"copies": made})
    if params.augmentation.copies:
        console.say("copies of training rows", made["rows"], "rows")
        console.say("not made: equal to another", made["same"], "rows")
        console.say("not made: like a held-out row", made["like_held_out"], "rows")


def _accepted(dealt: Dealt, section: Split) -> None:
    """Raise Problem for a side that is needed and empty, and for more leakage than is allowed."""
    rows, leaked = dealt.report["rows"], dealt.report["leakage"]
    # Training needs rows to validate on, whatever is evaluated in the end.
    for side in dict.fromkeys(("train", section.evaluate_on, "validation")):
        if not rows[side]:
            raise _no_row(side, dealt.report, section)
    if leaked["share"] > section.max_leakage:
        pairs = "; ".join(f"{' and '.join(map(str, x['row_ids']))} ({x['similarity']})" for x in leaked["examples"][:3])
        told = f"a share of {leaked['share']} has a near-duplicate on another side, such as rows {pairs}"
        do = "set split.near_duplicates, so that they land on one side, or allow more"
        raise Problem("params.yaml, split.max_leakage", told, f"at most {section.max_leakage}", do)


def _no_row(side: str, report: dict[str, Any], section: Split) -> Problem:
    """What left this side without a row: the first cause that holds, with the key that cures it."""
    left_out, groups, every = report["left_out"], report["groups"], report["read"]
    read, cut = every - left_out["beyond_read"], left_out["beyond_train_rows"]
    unplaced = left_out["straddling"] + left_out["crowded"]
    test = 1 / section.folds if section.folds else section.test
    share = {"train": 1 - section.validation - test, "validation": section.validation, "test": test}[side]

    def too_many(together: int) -> bool:
        """Whether so many rows that are not dealt one by one leave less than the side should have."""
        return together > 1 and read - together < read * share

    causes = {
        "train_rows": (side == "train" and cut, f"raise split.train_rows, which takes none of {cut} rows"),
        "read": (read < len(SIDES) <= every or read * share < 1 <= every * share, "raise split.read"),
        "group": (too_many(groups["largest"]), "name other fields in split.group, or bring rows that differ"),
        "near_duplicates": (
            too_many(groups["largest_cluster"] + unplaced),
            "raise split.near_duplicates, or bring rows that differ",
        ),
        "folds": (section.folds and side == "test", "lower split.folds, or bring more rows"),
        "validation": (side == "train", "lower split.validation, or bring more rows"),
    }
    other = ", or correct split.evaluate_on" if side == section.evaluate_on else ""
    otherwise = (side, f"give split.{side} a larger share, or bring more rows{other}")
    key, do = next(((key, do) for key, (holds, do) in causes.items() if holds), otherwise)
    sides = ", ".join(f"{name} {rows}" for name, rows in report["rows"].items())
    told = (
        f"no row on the {side} side ({sides}): {read} of {every} rows read, {groups['largest_cluster']} of them in the "
        f"largest group, {unplaced} left out as near-duplicates"
    )
    uses = {"train": "train on", "validation": "choose the best training state by", "test": "evaluate on"}
    return Problem(f"params.yaml, split.{key}", told, f"rows to {uses[side]}", do)


if __name__ == "__main__":
    run(main)
