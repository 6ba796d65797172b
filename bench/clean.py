"""Cleaning side by side with other ways of doing it, each as a process of its own, all on the same file.

    python bench/clean.py [ROWS ...] [--runs N] [--data FOLDER]

The rows are real ones (`../shared/data`, three tables of products) inflated by a seeded generator. Each side:

- afina: `python -m stages.clean`: text rules to a fixpoint, ledger, quarantine, exact duplicates, contract, Parquet.
- loop: json, html and re from the standard library, a set for duplicates, JSON Lines out. Less: no mojibake, no Unicode
  form, no control characters, no characters policy, no stubs, no greatest lengths, entities once, tags by their look,
  no quarantine, no contract.
- datasets: `load_dataset` and `map(num_proc=2)` with the loop's own function, `filter`, Parquet out. Less, as the loop,
  and no duplicates, and no titles that equal their contents.
- floor: polars parses the same file and writes the two columns of texts as zstd Parquet. Nothing is cleaned, and rows
  have neither row_id nor line.

Prints medians of wall and processor seconds, rows per second, peak memory, and the ratio of the wall time to afina's.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
from dataclasses import astuple
from pathlib import Path

import yaml
from processes import ROOT, Measured, measured

DATA = ROOT / "../shared/data"
TABLES = ("products_en/trn_sample.json", "products_html/title_content.jsonl", "products_ports/mports.jsonl.gz")

LOOP = """
import html, json, re, sys
TAG, SPACE = re.compile(r"<[a-zA-Z/!][^<>]*>"), re.compile(r"\\s+")
def clean(text):
    return SPACE.sub(" ", TAG.sub(" ", html.unescape(text))).strip()
"""
SIDES = {
    "loop": LOOP
    + """
seen = set()
with open(sys.argv[1], encoding="utf-8") as source, open(sys.argv[2], "w", encoding="utf-8") as target:
    for number, line in enumerate(source, 1):
        try:
            row = json.loads(line)
            title, content = clean(row["title"]), clean(row["content"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if len(title) < 3 or len(content) < 20 or title == content or (title, content) in seen:
            continue
        seen.add((title, content))
        target.write(json.dumps({"row_id": number, "title": title, "response": content}, ensure_ascii=False) + "\\n")
""",
    "datasets": LOOP
    + """
from datasets import load_dataset
def fix(row):
    return {"title": clean(row["title"] or ""), "response": clean(row["content"] or "")}
if __name__ == "__main__":
    rows = load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2] + ".cache")
    rows = rows.map(fix, num_proc=2, remove_columns=rows.column_names)
    rows = rows.filter(lambda row: len(row["title"]) >= 3 and len(row["response"]) >= 20, num_proc=2)
    rows.to_parquet(sys.argv[2])
""",
    "floor": """
import sys
import polars as pl
schema = {"title": pl.String, "content": pl.String}
pl.read_ndjson(sys.argv[1], schema=schema).write_parquet(sys.argv[2], compression="zstd")
""",
}


def inflate(target: Path, rows: int, data: Path) -> None:
    """Real rows with other words at their ends, so that nearly all differ; some repeated as they are; seeded."""
    chance = random.Random(1)
    source = []
    for name in TABLES:
        opened = gzip.open if name.endswith(".gz") else open
        with opened(data / name, "rt", encoding="utf-8") as file:
            source += [json.loads(line) for line in file]
    words = [word for row in source[:3000] for word in row["title"].split()]
    with target.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = chance.choice(source)
            tail = "" if number % 50 == 0 else f" {chance.choice(words)} {chance.randrange(100_000)}"
            title, content = row["title"] + tail, row["content"] + tail
            written = {
                "uid": str(number),
                "title": title,
                "content": content,
                "target_ind": [1, 2],
                "target_rel": [0.5],
            }
            file.write(json.dumps(written, ensure_ascii=False) + "\n")


def commands(folder: Path) -> dict[str, list[str]]:
    """Side -> command line; afina's reads params.yaml in the current folder."""
    source = str(folder / "raw/rows.jsonl")
    ours = [
        "-m",
        "stages.clean",
        str(folder / "raw"),
        *(str(folder / name) for name in ("c.parquet", "q.parquet", "r.json", "e.html")),
    ]
    for name, code in SIDES.items():
        (folder / f"side_{name}.py").write_text(code, "utf-8")
    others = {name: [str(folder / f"side_{name}.py"), source, str(folder / f"{name}.out")] for name in SIDES}
    return {name: [sys.executable, *words] for name, words in {"afina": ours, **others}.items()}


def compare(rows: int, runs: int, data: Path) -> None:
    """Measure every side `runs` times in turn and print the table for this many rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        inflate(folder / "raw/rows.jsonl", rows, data)
        recipe = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
        (folder / "params.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
        os.chdir(folder)
        sides = commands(folder)
        took: dict[str, list[Measured]] = {side: [] for side in sides}
        for _ in range(runs):
            for side, command in sides.items():
                for old in (*folder.glob("*.parquet"), *folder.glob("*.out")):
                    old.unlink()  # as DVC does; to replace a large file waits for the disk
                for old in folder.glob("*.cache"):
                    shutil.rmtree(old)
                os.sync()  # what the side before has still to write is none of this one's business
                took[side].append(measured(command, folder / "log"))
        size = (folder / "raw/rows.jsonl").stat().st_size / 1e6
        os.chdir(ROOT)
    print(f"\n{rows:,} rows, {size:,.0f} MB, medians of {runs}, {os.cpu_count()} processors\n")
    print("| side | wall s | processor s | rows/s | peak MiB | wall / afina |\n|---|---|---|---|---|---|")
    middle = {
        side: [statistics.median(column) for column in zip(*map(astuple, times), strict=True)]
        for side, times in took.items()
    }
    for side, (wall, processor, memory) in middle.items():
        ratio = wall / middle["afina"][0]
        print(
            f"| {side} | {wall:.1f} | {processor:.1f} | {rows / wall:,.0f} | {memory:,.0f} | {ratio:.2f} |", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=[100_000, 1_000_000, 2_250_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    for count in asked.rows:
        compare(count, asked.runs, asked.data.resolve())
