"""Generation side by side with other ways of asking the same model the same prompts, in one process, in turn.

    python bench/generation.py [--rows N] [--runs N] [--base FOLDER] [--adapter FOLDER] [--held-out FILE]

It needs the default model and the test side: `dvc pull base train split`, or `dvc repro train`. Each way answers the
same rows with base and adapter, greedily, as `params.yaml` says, through transformers' `generate`:

- one by one: one row at a time, in the order of the file.
- plain 8, plain 32: that many rows at a time, in the order of the file, padded to the longest.
- sorted: batches by length within `generation.batch_tokens`, as ours, but with transformers' own loop.
- afina: what the stages do (`stages.lib.generation.answers`): the same batches, rows dropped as they end.
- afina, folded: the same with the adapter folded into the base in memory, which rounds otherwise.

All answers are compared with those one by one. Prints medians of wall and processor seconds of the process, and the
median of the ratios to afina within each round.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stages.plumbing.run import settle

settle()

import polars as pl  # noqa: E402 - after settling
import torch  # noqa: E402

from stages.lib.adapters import load_adapter  # noqa: E402
from stages.lib.batches import batches_by_length, padded  # noqa: E402
from stages.lib.determinism import make_deterministic  # noqa: E402
from stages.lib.generation import Answer, Generation, answer_of, answers, end_tokens  # noqa: E402
from stages.lib.models import load_model, load_tokenizer  # noqa: E402
from stages.lib.prompts import encode  # noqa: E402
from stages.plumbing.params import PARAMS, check, load  # noqa: E402
from stages.plumbing.recipe import Recipe  # noqa: E402

Way = Callable[[], list[Answer]]


def with_the_library(
    net: Any, tokenizer: Any, prompts: list[list[int]], how: Generation, batches: list[list[int]]
) -> list[Answer]:
    """The answers of transformers' own loop, batch by batch."""
    found: dict[int, Answer] = {}
    ends = end_tokens(net, tokenizer)
    with torch.inference_mode():
        for batch in batches:
            ids, mask = padded([prompts[index] for index in batch], tokenizer.pad_token_id, tokenizer.padding_side)
            out = net.generate(
                input_ids=ids.to(net.device), attention_mask=mask.to(net.device), **how.options(net, tokenizer)
            )
            start = 1 if net.config.is_encoder_decoder else ids.shape[1]
            for index, written in zip(batch, out[:, start:].tolist(), strict=True):
                found[index] = answer_of(written, tokenizer, ends)
    return [found[index] for index in range(len(prompts))]


def ways(base: Path, adapter: Path, held_out: Path, rows: int) -> dict[str, Way]:
    """Name → a function that answers all rows; the first is what the others are compared with."""
    params = check(Recipe, load(PARAMS), PARAMS)
    make_deterministic(params.generation.seed, params.model.threads)
    tokenizer = load_tokenizer(base, params.model.family)

    def tuned() -> Any:
        return load_adapter(load_model(base, params.model, params.quantization), adapter)[0]

    net, folded = tuned(), tuned().merge_and_unload(safe_merge=True)
    prompts = encode(pl.read_parquet(held_out).head(rows).to_dicts(), params.prompt, tokenizer).prompts
    how = params.generation
    lengths = [len(ids) + how.max_new_tokens for ids in prompts]

    def library(batches: list[list[int]]) -> Way:
        return lambda: with_the_library(net, tokenizer, prompts, how, batches)

    def plain(size: int) -> Way:
        return library([list(range(len(prompts)))[start : start + size] for start in range(0, len(prompts), size)])

    return {
        "one by one": plain(1),
        "plain 8": plain(8),
        "plain 32": plain(32),
        "sorted": library(batches_by_length(lengths, how.batch_tokens)),
        "afina": lambda: answers(net, tokenizer, prompts, how, None),
        "afina, folded": lambda: answers(folded, tokenizer, prompts, how, None),
    }


def compare(sides: dict[str, Way], runs: int) -> None:
    """Measure every way `runs` times in turn, and print the table."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    found: dict[str, list[Answer]] = {}
    for _ in range(runs):
        for name, way in sides.items():
            begun, processor = time.perf_counter(), time.process_time()
            found[name] = way()
            took[name].append((time.perf_counter() - begun, time.process_time() - processor))
    expected = found["one by one"]
    tokens = sum(answer.tokens for answer in expected)
    print(f"\n{len(expected)} rows, {tokens:,} tokens, medians of {runs}, {torch.get_num_threads()} threads\n")
    print("| way | wall s | processor s | tokens/s | wall / afina | processor / afina | same answers |")
    print("|---|---|---|---|---|---|---|")
    for name, times in took.items():
        wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
        ratios = [
            statistics.median(mine[k] / ours[k] for mine, ours in zip(times, took["afina"], strict=True))
            for k in (0, 1)
        ]
        same = sum(one == other for one, other in zip(found[name], expected, strict=True))
        print(
            f"| {name} | {wall:.1f} | {processor:.1f} | {tokens / wall:,.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} "
            f"| {same} of {len(expected)} |",
            flush=True,
        )
    if found["afina"] != expected:
        sys.exit("afina's answers are not those that the model gives one by one")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--base", type=Path, default=Path("models/base"))
    parser.add_argument("--adapter", type=Path, default=Path("models/adapter"))
    parser.add_argument("--held-out", type=Path, default=Path("data/split/test.parquet"))
    asked = parser.parse_args()
    compare(ways(asked.base, asked.adapter, asked.held_out, asked.rows), asked.runs)
