"""What the two optional rules of cleaning cost, each against cleaning without them, on the rows of bench/clean.py.

    python bench/rules.py [ROWS] [--data FOLDER]

Prints wall and processor seconds and peak memory of `python -m stages.clean` with no optional rule, with
`clean.languages` (English and Portuguese) and with `clean.near_duplicates` (0.8), and how many rows each left out.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import yaml
from clean import DATA, ROOT, inflate, measured

RULES = {"neither": {}, "languages": {"languages": ["en", "pt"]}, "near_duplicates": {"near_duplicates": 0.8}}


def main(rows: int, data: Path) -> None:
    """Measure each rule once and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        inflate(folder / "raw/rows.jsonl", rows, data)
        recipe = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
        os.chdir(folder)
        print(f"{rows:,} rows\n\n| rule | wall s | processor s | peak MiB | left out |\n|---|---|---|---|---|")
        for rule, settings in RULES.items():
            changed = recipe | {"clean": recipe["clean"] | settings}
            Path("params.yaml").write_text(yaml.safe_dump(changed, allow_unicode=True), "utf-8")
            outs = [str(folder / out) for out in ("c.parquet", "q.parquet", "r.json", "e.html")]
            wall, processor, memory = measured(
                [sys.executable, "-m", "stages.clean", str(folder / "raw"), *outs], folder
            )
            report = json.loads(Path("r.json").read_text("utf-8"))
            out = {"languages": report["reasons"].get("other_language", 0)}.get(rule, report["near_duplicates"]["rows"])
            print(f"| {rule} | {wall:.1f} | {processor:.1f} | {memory:,.0f} | {out:,} |", flush=True)
        os.chdir(ROOT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=int, default=150_000)
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    main(asked.rows, asked.data.resolve())
