"""From the rows of a side to what a trainer takes, with other ways beside it: time and memory, each in a fresh process.

    python bench/tokens.py [--rows N] [--runs N] [--base FOLDER] [--side FILE] [--template NAME]

It needs the default base and the training side (`dvc pull base split`), whose rows are repeated up to N.

- plain call: the tokenizer is called with all texts, and `Dataset.from_dict` takes the lists (Afina until 0.1.0).
- datasets.map: the same call on a thousand rows at a time, in two processes, kept by datasets in a folder of ours.
- afina, made: what train does, with nothing kept.
- afina, kept: what train does the next time.

All ids are compared. Clocks start with the rows read and the libraries imported; `peak` is the memory beyond that, of
the process alone (for datasets.map without its two children). Prints medians.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

WAYS = ("plain call", "datasets.map", "afina, made", "afina, kept")


def library(rows: list[dict[str, Any]], prompt: Any, tokenizer: Any, way: str, place: Path) -> Any:
    """A dataset of prompts and responses as the libraries' own calls make it; no prompt may be too long."""
    from datasets import Dataset

    from stages.lib.prompts import chosen, render

    template, room = chosen(prompt), prompt.max_response_tokens - 1

    def ids(part: dict[str, list[Any]]) -> dict[str, list[list[int]]]:
        asked = tokenizer(part["prompt"], add_special_tokens=not template.chat)["input_ids"]
        answered = tokenizer(part["response"], add_special_tokens=False)["input_ids"]
        return {"input_ids": asked, "labels": [[*some[:room], tokenizer.eos_token_id] for some in answered]}

    texts = {
        "prompt": [render(template, row, tokenizer) for row in rows],
        "response": [row["response"] for row in rows],
    }
    if way == "plain call":
        return Dataset.from_dict(ids(texts))
    given = Dataset.from_dict(texts)
    return given.map(
        ids, batched=True, num_proc=2, remove_columns=list(texts), cache_file_name=str(place / "mapped.arrow")
    )


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One way in this process: wall and processor seconds, MiB at the peak, and a hash of all ids."""
    import hashlib

    import datasets
    import polars as pl

    from stages.lib.models import load_tokenizer
    from stages.lib.prompts import Prompt
    from stages.lib.token_cache import token_ids
    from stages.lib.training import dataset

    datasets.disable_progress_bars()
    rows = pl.read_parquet(args.side)
    rows = pl.concat([rows] * -(-args.rows // rows.height)).head(args.rows).to_dicts()
    tokenizer = load_tokenizer(args.base, "seq2seq")
    prompt = Prompt(template=args.template, text=None, max_prompt_tokens=128, max_response_tokens=128)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, worked = time.perf_counter(), os.times()
    if args.way.startswith("afina"):
        found = dataset(token_ids(rows, prompt, tokenizer, args.base, args.place), "seq2seq")
    else:
        found = library(rows, prompt, tokenizer, args.way, args.place)
    wall, now = time.perf_counter() - began, os.times()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    digest = hashlib.sha256()
    for part in found.select_columns(["input_ids", "labels"]).with_format("arrow").iter(1000):
        digest.update(json.dumps(part.to_pydict()).encode())
    return {
        "wall": wall,
        "processor": sum(now[:4]) - sum(worked[:4]),
        "peak": peak / 1024,
        "ids": digest.hexdigest(),
    }


def compare(args: argparse.Namespace) -> None:
    """Measure every way `runs` times in turn, and print the table."""
    took: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as place:
            for way in WAYS:
                done = subprocess.run(
                    [sys.executable, __file__, *sys.argv[1:], "--way", way, "--place", place],
                    stdout=subprocess.PIPE, check=True, text=True,
                )  # fmt: skip
                took[way].append(json.loads(done.stdout.splitlines()[-1]))
    same = len({run["ids"] for runs in took.values() for run in runs}) == 1
    print(f"\n{args.rows:,} rows, medians of {args.runs}, {'the same ids' if same else 'NOT THE SAME IDS'}\n")
    print("| way | wall s | processor s | MiB at the peak |\n|---|---|---|---|")
    for way, runs in took.items():
        wall, processor, peak = (statistics.median(run[key] for run in runs) for key in ("wall", "processor", "peak"))
        print(f"| {way} | {wall:.1f} | {processor:.1f} | {peak:,.0f} |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--base", type=Path, default=ROOT / "models/base")
    parser.add_argument("--side", type=Path, default=ROOT / "data/split/train.parquet")
    parser.add_argument("--template", default="describe")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args)))
    else:
        compare(args)


if __name__ == "__main__":
    main()
