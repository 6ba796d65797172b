"""The curves of a training: what its log says of losses and metrics, step by step, and as tables for `dvc plots`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib.tsv import write_rows

CURVES = ["step", "epoch", "learning_rate", "train_loss", "validation_loss", "rougeL", "bleu"]
WINDOWS = 50  # points of the curve of the training loss

# What is drawn, one table each, since the losses are not measured at the same steps.
DRAWN = ("train_loss", "validation_loss", "rougeL")


def write_curves(folder: Path, points: Sequence[Mapping[str, float | None]]) -> None:
    """Write a table of step and value for each of `DRAWN`, with the steps at which it was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DRAWN:
        found = [{"step": int(row["step"]), name: row[name]} for row in points if row[name] is not None]
        write_rows(folder / f"{name}.tsv", ["step", name], found)


def curves(log: list[dict[str, Any]], steps: int, steps_per_epoch: int) -> list[dict[str, float | None]]:
    """The trainer's log as rows of `CURVES`: a mean training loss per window, and what each evaluation found."""
    window = max(1, steps // WINDOWS)
    last = max((entry["step"] for entry in log if "loss" in entry), default=0)
    rows: dict[int, dict[str, float | None]] = {}
    pending: list[float] = []
    closed = 0
    for entry in sorted(log, key=lambda entry: (entry["step"], "eval_loss" in entry)):
        step = entry["step"]
        if "loss" in entry:
            pending.append(float(entry["loss"]))
            if step // window > closed or step == last:
                closed = step // window
                row = rows.setdefault(step, _row(step, steps_per_epoch))
                row["train_loss"] = round(sum(pending) / len(pending), 6)
                row["learning_rate"] = float(f"{entry['learning_rate']:.6g}")
                pending = []
        if "eval_loss" in entry:
            row = rows.setdefault(step, _row(step, steps_per_epoch))
            row["validation_loss"] = round(entry["eval_loss"], 6)
            row["rougeL"] = round(entry["eval_rougeL"], 6)
            row["bleu"] = round(entry["eval_bleu"], 4)
    return [rows[step] for step in sorted(rows)]


def _row(step: int, steps_per_epoch: int) -> dict[str, float | None]:
    return dict.fromkeys(CURVES) | {"step": step, "epoch": round(step / steps_per_epoch, 4)}
