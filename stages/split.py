r"""Split: deal the rows to train, validation and test so that no group and no near-duplicate straddles.

    python -m stages.split data/shards \
        data/split/train.parquet data/split/validation.parquet data/split/test.parquet \
        data/split/copies.parquet reports/split.json
"""

from pathlib import Path

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
    write(parts, dealt, dict(zip(SIDES, (train, validation, test), strict=True)))
    made = write_copies(train, copies, params.augmentation)
    if params.augmentation.copies:
        console.say("copies of training rows", made["rows"], "rows")
    files.write_json(report, dealt.report | {"copies": made})


def _accepted(dealt: Dealt, section: Split) -> None:
    """Raise Problem for a side that is needed and empty, and for more leakage than is allowed."""
    rows, leaked = dealt.report["rows"], dealt.report["leakage"]
    for side in dict.fromkeys(("train", section.evaluate_on)):
        if not rows[side]:
            told = f"no row on the {side} side ({', '.join(f'{name} {n}' for name, n in rows.items())})"
            do = f"give {side} a larger share, or correct split.evaluate_on"
            raise Problem("params.yaml, split", told, f"rows to {'train' if side == 'train' else 'evaluate'} on", do)
    if leaked["share"] > section.max_leakage:
        pairs = "; ".join(f"{' and '.join(map(str, x['row_ids']))} ({x['similarity']})" for x in leaked["examples"][:3])
        told = f"a share of {leaked['share']} has a near-duplicate on another side, such as rows {pairs}"
        do = "set split.near_duplicates, so that they land on one side, or allow more"
        raise Problem("params.yaml, split.max_leakage", told, f"at most {section.max_leakage}", do)


if __name__ == "__main__":
    run(main)
