"""The table of predictions: for each row what the model read, wrote, should have written, and how sure it was."""

from pathlib import Path
from typing import Any

from stages.lib.generation import Generation, answers, virtual_tokens
from stages.lib.likelihood import reference_nll
from stages.lib.notes import Notes
from stages.lib.prompts import Prompt, check_room, encode
from stages.plumbing.console import say
from stages.plumbing.problem import Problem


def predict(
    net: Any,
    tokenizer: Any,
    rows: list[dict[str, Any]],
    prompt: Prompt,
    generation: Generation,
    workplace: Path,
) -> "pl.DataFrame":  # noqa: F821 - polars is imported below
    """The answers of `net` to `rows`. Those that an unfinished run left in the folder `workplace` are taken from there.

    Columns: row_id, prompt, reference, prediction (texts), tokens (written), finish ("eos" or "length"), reference_nll
    (natural logarithm, summed over the tokens of the reference and its end token), reference_tokens.
    """
    import polars as pl

    check_room(net.config, prompt, virtual_tokens(net))
    encoded = encode(rows, prompt, tokenizer)
    answered, measured = Notes(workplace / "answers.jsonl"), Notes(workplace / "likelihoods.jsonl")
    if answered.found:
        say("going on", f"{len(answered.found):,} of {len(rows):,} rows were answered before this run was stopped")
    try:
        written = answers(net, tokenizer, encoded.prompts, generation, notes=answered)
        nll = reference_nll(net, tokenizer, encoded.prompts, encoded.responses, generation.batch_tokens, notes=measured)
    except KeyboardInterrupt:
        raise Problem(
            "answering",
            f"stopped by Ctrl+C; {len(answered.found):,} of {len(rows):,} answers are kept",
            "to go on to the end",
            "dvc repro: the same run goes on from there",
        ) from None
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
