"""Measuring stored predictions again, without a model: how long 10,000 rows take, and what takes it.

    python bench/rescore.py [ROWS] [--runs N]

Rows are the sample data's own descriptions, repeated with other words at their end; a system's answer keeps nine of ten
words. Measured in one process, medians of the runs:

- afina: all text metrics of one system, per row and for the whole (`stages.lib.metrics`), seventeen of them.
- evaluation: what the stage eval computes: four systems, nearest rows, unseen words, the bootstrap of 1,000 resamples.
- references: sacreBLEU's corpus BLEU and chrF, and rouge_score's ROUGE-1, -2, -L and -Lsum with a Unicode tokeniser, on
  the same texts: four of the seventeen, no per-row counts kept, and the same values.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sacrebleu.metrics import BLEU, CHRF

from stages.lib.answers import model_answers
from stages.lib.comparison import evaluate, questions_of
from stages.lib.metrics import Measured, Metrics, measure
from stages.lib.words import words

ROOT = Path(__file__).resolve().parents[1]


class UnicodeWords(Tokenizer):
    """Our words for rouge_score, which drops accented letters by itself."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def descriptions() -> Iterator[tuple[str, str]]:
    """Title and text of the sample rows; lines that were broken on purpose are passed over."""
    for line in (ROOT / "data/samples/products.jsonl").read_text("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("title") and row.get("content"):
            yield str(row["title"]), str(row["content"])


def tables(rows: int) -> dict[str, pl.DataFrame]:
    """Evaluated rows, training rows and the predictions of two systems."""
    chance = random.Random(1)
    texts = list(descriptions())
    picked = [(title, f"{text} {chance.randrange(rows)}") for title, text in chance.choices(texts, k=rows)]
    asked = pl.DataFrame(
        {
            "row_id": range(rows),
            "line": range(rows),
            "title": [title for title, _ in picked],
            "response": [text for _, text in picked],
        }
    )

    def said(share: float) -> pl.DataFrame:
        kept = [" ".join(word for word in text.split() if chance.random() < share) for text in asked["response"]]
        return pl.DataFrame(
            {
                "row_id": asked["row_id"],
                "reference": asked["response"],
                "prediction": kept,
                "finish": ["eos"] * rows,
                "reference_nll": [chance.random() * 40 for _ in range(rows)],
                "reference_tokens": [40] * rows,
            }
        )

    train = asked.with_columns(pl.col("row_id") + rows, pl.col("response").str.to_uppercase())
    return {"asked": asked, "train": train, "baseline": said(0.3), "tuned": said(0.9)}


def timed(runs: int, work: Callable[[], object]) -> tuple[float, float, object]:
    """Median wall and processor seconds of `work`, and what it gave last."""
    took, result = [], None
    for _ in range(runs):
        begun, used = time.perf_counter(), time.process_time()
        result = work()
        took.append((time.perf_counter() - begun, time.process_time() - used))
    wall, processor = (statistics.median(column) for column in zip(*took, strict=True))
    return wall, processor, result


def others(predictions: list[str], references: list[str]) -> dict[str, float]:
    """The same scores by the reference implementations."""
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], tokenizer=UnicodeWords())
    rouge = [scorer.score(wanted, said) for said, wanted in zip(predictions, references, strict=True)]
    found = {name: float(np.mean([row[name].fmeasure for row in rouge])) for name in rouge[0]}
    found["bleu"] = BLEU().corpus_score(predictions, [references]).score
    return found | {"chrf": CHRF().corpus_score(predictions, [references]).score}


def main(rows: int, runs: int) -> None:
    """Measure each side and print the table; values must agree to 1e-9."""
    params = Metrics.model_validate(yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))["metrics"])
    made = tables(rows)
    predictions, references = made["tuned"]["prediction"].to_list(), made["asked"]["response"].to_list()

    def ours() -> Measured:
        found = measure(model_answers(questions_of(made["asked"], params), made["tuned"]))
        found.values()
        return found

    order = ("asked", "train", "baseline", "tuned")
    sides = {
        "afina": timed(runs, ours),
        "evaluation": timed(1, lambda: evaluate(*(made[name] for name in order), params)),
        "references": timed(runs, lambda: others(predictions, references)),
    }
    values, wanted = sides["afina"][2].values(), sides["references"][2]
    apart = max(abs(values[name] - value) for name, value in wanted.items())
    length = statistics.mean(len(text.split()) for text in references)
    print(f"\n{rows:,} rows of {length:.0f} words, medians of {runs}; largest difference to references {apart:.1e}\n")
    print("| side | wall s | processor s | processor / afina |\n|---|---|---|---|")
    for side, (wall, processor, _) in sides.items():
        print(f"| {side} | {wall:.1f} | {processor:.1f} | {processor / sides['afina'][1]:.2f} |")
    if apart > 1e-9:
        raise SystemExit("the values differ from those of the reference implementations")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    asked_for = parser.parse_args()
    main(asked_for.rows, asked_for.runs)
