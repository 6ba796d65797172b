"""Tables for `dvc plots show` and `dvc plots diff`: metric bars, and ROUGE-L from the worst row to the best."""

from pathlib import Path

import numpy as np

from stages.lib.comparison import Evaluation, rounded
from stages.lib.files import whole
from stages.lib.tsv import write_rows

# The metrics of one scale, higher is better, that bars can show side by side; those of 0 to 100 are divided by 100.
SHOWN = {"rouge1": 1, "rouge2": 1, "rougeL": 1, "bleu": 100, "chrf": 100, "exact_match": 1, "prompt_words_used": 1}


# Of the rows, ordered by ROUGE-L: from the worst answer (0) to the best (1) in steps of a hundredth.
SHARES = np.linspace(0, 1, 101)


def write_plots(folder: Path, evaluation: Evaluation) -> None:
    """Write `metrics.tsv` (bar, value from 0 to 1) and `rows.tsv` (share of rows, baseline, tuned) into `folder`."""
    values = evaluation.values("all")
    bars = [
        {"bar": f"{name}, {system}", "value": rounded(values[system][name] / scale)}
        for name, scale in SHOWN.items()
        for system in values
    ]
    levels = [np.quantile(evaluation.systems[system].row_values("rougeL"), SHARES) for system in ("baseline", "tuned")]
    rows = [
        {"share": rounded(share), "baseline": rounded(before), "tuned": rounded(after)}
        for share, before, after in zip(SHARES, *levels, strict=True)
    ]
    with whole(folder) as begun:
        begun.mkdir()
        write_rows(begun / "metrics.tsv", bars)
        write_rows(begun / "rows.tsv", rows)
