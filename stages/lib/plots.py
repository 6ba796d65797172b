"""Tables for `dvc plots`: metrics as bars, ROUGE-L from the worst row to the best, the curves of the training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.lib.comparison import Evaluation, rounded
from stages.lib.curves import write_curves
from stages.lib.files import whole
from stages.lib.tsv import write_rows

# The metrics of one scale, higher is better, that bars can show side by side; those of 0 to 100 are divided by 100.
SHOWN = {"rouge1": 1, "rouge2": 1, "rougeL": 1, "bleu": 100, "chrf": 100, "exact_match": 1, "prompt_words_used": 1,
         "semantic": 1}  # fmt: skip


# Of the rows, ordered by ROUGE-L: from the worst answer (0) to the best (1) in steps of a hundredth.
SHARES = np.linspace(0, 1, 101)


def write_plots(folder: Path, evaluation: Evaluation, curves: Sequence[Mapping[str, float | None]]) -> None:
    """Write the tables into `folder`.

    `metrics.tsv`: bar, value (0 to 1). `rows.tsv`: share of the rows, baseline, tuned. And the curves of the training.
    """
    values = evaluation.values("all")
    bars = [
        {"bar": f"{name}, {system}", "value": rounded(values[system][name] / scale)}
        for name, scale in SHOWN.items()
        if name in values["tuned"]
        for system in values
    ]
    levels = [np.quantile(evaluation.systems[system].row_values("rougeL"), SHARES) for system in ("baseline", "tuned")]
    rows = [
        {"share": rounded(share), "baseline": rounded(before), "tuned": rounded(after)}
        for share, before, after in zip(SHARES, *levels, strict=True)
    ]
    with whole(folder) as begun:
        begun.mkdir()
        write_rows(begun / "metrics.tsv", ["bar", "value"], bars)
        write_rows(begun / "rows.tsv", ["share", "baseline", "tuned"], rows)
        write_curves(begun, curves)
