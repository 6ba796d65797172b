"""The table of predictions: for each row what the model read, wrote, should have written, and how sure it was."""

from pathlib import Path
from typing import Any

from stages.lib.generation import Generation, answers, reference_nll, virtual_tokens
from stages.lib.prompts import Prompt, check_room, encode
from stages.plumbing.console import say
from stages.plumbing.problem import Problem


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of one side of the split; an empty side is a problem, since nothing can be learnt from it."""
    import polars as pl

    rows = pl.read_parquet(path).to_dicts()
    if not rows:
        raise Problem(str(path), "no rows", "at least one", "change split.validation, split.test or split.evaluate_on")
    return rows


def read_copies(path: Path) -> list[dict[str, Any]]:
    """The altered copies of training rows; usually there are none."""
    import polars as pl

    return pl.read_parquet(path).to_dicts()


def predict(
    net: Any, tokenizer: Any, rows: list[dict[str, Any]], prompt: Prompt, generation: Generation
) -> "pl.DataFrame":  # noqa: F821 - polars is imported below
    """The answers of `net` to `rows`.

    Columns: row_id, prompt, reference, prediction (texts), tokens (written), finish ("eos" or "length"), reference_nll
    (natural logarithm, summed over the tokens of the reference and its end token), reference_tokens.
    """
    import polars as pl

    check_room(net.config, prompt, virtual_tokens(net))
    encoded = encode(rows, prompt, tokenizer)
    written = answers(net, tokenizer, encoded.prompts, generation)
    nll = reference_nll(net, tokenizer, encoded.prompts, encoded.responses, generation.batch_tokens)
    table = pl.DataFrame(
        {
            "row_id": [row["row_id"] for row in rows],
            "prompt": encoded.texts,
            "reference": [row["response"] for row in rows],
            "prediction": [answer.text for answer in written],
            "tokens": [answer.tokens for answer in written],
            "finish": [answer.finish for answer in written],
            "reference_nll": [round(value, 4) for value in nll],
            "reference_tokens": [len(ids) for ids in encoded.responses],
        }
    )
    say("answered", table.height, "rows")
    say("tokens per answer", round(table["tokens"].mean(), 1))
    say("stopped by the limit", f"{(table['finish'] == 'length').sum():,} of {table.height:,} answers")
    return table.sort("row_id")
