"""Peak memory and time of fetch, clean, validate, shard and split, each as a process, with its command of dvc.yaml.

    python bench/memory.py [ROWS ...] [--words N] [--method hash|exact] [--data FOLDER] [--place FOLDER]

The rows are real ones (`../shared/data`, three tables of products) in which a seeded generator changes every eighth
word, so that rows made of one source are no near-duplicates of each other; one row in twenty is the row before it with
one other word, one in fifty the row before it as it is. --words cuts descriptions, for very many rows. The recipe is
`recipes/local.yaml`, its expectations of the sample data left out; --method sets split.method. In the end split runs
once more with split.read: 150000. All files go to a folder of their own in --place (this machine's temporary folder),
on whose disk some six times the size of the rows must be free, and are deleted.
"""

import argparse
import gzip
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from processes import ROOT, measured

DATA = ROOT / "../shared/data"
TABLES = ("products_en/trn_sample.json", "products_html/title_content.jsonl", "products_ports/mports.jsonl.gz")
READ = 150_000
STAGES = ("fetch", "clean", "validate", "shard", "split")


def varied(rows: int, words: int, data: Path) -> Iterator[tuple[str, str]]:
    """Title and content of each row."""
    chance = random.Random(1)
    source = []
    for name in TABLES:
        opened = gzip.open if name.endswith(".gz") else open
        with opened(data / name, "rt", encoding="utf-8") as file:
            table = [json.loads(line) for line in file]
        source += [(row["title"].split(), row["content"].split()[:words]) for row in table]
    vocabulary = sorted({word for _, content in source for word in content if word.isalpha()})
    random_place, random_number = chance.random, chance.getrandbits
    title, content = source[0]
    for number in range(rows):
        if number % 50 == 49:
            pass
        elif number % 20 == 19:
            content = content.copy()
            content[int(random_place() * len(content))] = vocabulary[random_number(40) % len(vocabulary)]
        else:
            title, content = source[int(random_place() * len(source))]
            title, content = title.copy(), content.copy() or ["none"]
            for text in (title, content):
                for _ in range(1 + len(text) // 8):
                    text[int(random_place() * len(text))] = vocabulary[random_number(40) % len(vocabulary)]
        yield " ".join(title), " ".join(content)


def write(target: Path, rows: int, words: int, data: Path) -> None:
    """The rows as JSON Lines."""
    with target.open("w", encoding="utf-8") as file:
        for number, (title, content) in enumerate(varied(rows, words, data)):
            row = {"uid": str(number), "title": title, "content": content, "target_ind": [1, 2], "target_rel": [0.5]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def commands(source: Path) -> dict[str, list[str]]:
    """Stage -> its command of dvc.yaml, with this interpreter and this source."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    found = {name: shlex.split(stages[name]["cmd"].replace("${source.path}", str(source))) for name in STAGES}
    return {name: [sys.executable, *words[1:]] for name, words in found.items()}


def recipe(source: Path, method: str, read: int | None = None) -> str:
    """params.yaml: the local recipe on this source."""
    content = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    content["source"]["path"] = str(source)
    content["expectations"].update(max_share_set_aside=1.0, max_share_duplicates=1.0, response_chars=[])
    content["split"].update(method=method, read=read)
    return yaml.safe_dump(content)


def run(asked: argparse.Namespace, rows: int) -> None:
    """Make the rows, run the stages, print a table."""
    with tempfile.TemporaryDirectory(dir=asked.place) as name:
        folder = Path(name)
        source = folder / "rows.jsonl"
        # In a process of its own: what this one needs would be counted with the stages.
        making = [sys.executable, __file__, str(rows), "--words", str(asked.words), "--data", str(asked.data)]
        subprocess.run([*making, "--write", str(source)], check=True)
        os.chdir(folder)
        size = source.stat().st_size / rows
        print(f"\n{rows:,} rows of {size:,.0f} bytes, {os.cpu_count()} processors, split.method {asked.method}\n")
        print("| stage | wall s | processor s | peak MiB |\n|---|---|---|---|", flush=True)
        asked_for = commands(source)
        for read, stages in ((None, asked_for), (READ, {"split": asked_for["split"]})):
            Path("params.yaml").write_text(recipe(source, asked.method, read), "utf-8")
            for stage, command in stages.items():
                took = measured(command, folder / "log")
                told = f"{stage}, read: {read}" if read else stage
                print(f"| {told} | {took.wall:,.1f} | {took.processor:,.1f} | {took.memory:,.0f} |", flush=True)
                if stage == "split":
                    tell(folder / "reports/split.json")
        os.chdir(ROOT)


def tell(report: Path) -> None:
    """Print what became of the rows, and how many pairs were compared, beside the table."""
    content = json.loads(report.read_text("utf-8"))
    left_out = {reason: count for reason, count in content["left_out"].items() if count}
    pairs = {name: content["leakage"][name] for name in ("compared", "near_duplicates", "not_compared", "pairs")}
    print(f"rows {content['rows']}, left out {left_out}, pairs {pairs}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=[200_000, 2_250_000])
    parser.add_argument("--words", type=int, default=1000, help="words of a description, at most")
    parser.add_argument("--method", choices=("hash", "exact"), default="hash")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--place", type=Path)
    parser.add_argument("--write", type=Path, help="only write the rows to this file")
    asked = parser.parse_args()
    asked.data = asked.data.resolve()
    for count in asked.rows:
        if asked.write:
            write(asked.write, count, asked.words, asked.data)
        else:
            run(asked, count)
