"""Eval: measure baseline and tuned alike, say whether tuning helped, by how much and how surely.

python -m stages.eval data/predictions/baseline.parquet data/predictions/tuned.parquet
    data/split/test.parquet data/split/train.parquet
    reports/metrics.json reports/comparison.json reports/gate.json reports/plots reports/report.html
    --source reports/source.json --clean reports/clean.json --validation reports/validation.json
    --split reports/split.json --base reports/base.json --curves reports/train/curves.tsv
    --summary reports/train/summary.json --proof reports/adapter_proof.json
"""

from pathlib import Path
from typing import Annotated

import typer

from stages.lib.comparison import comparison_report, evaluate, gate_reasons, metrics_report
from stages.lib.files import read_json, sha256, write_json
from stages.lib.gate import Gate
from stages.lib.identity import sha256_of_code
from stages.lib.metrics import Metrics
from stages.lib.plots import write_plots
from stages.lib.report import Facts, Report, write_report
from stages.lib.tsv import read_rows
from stages.plumbing.console import say
from stages.plumbing.params import Sections
from stages.plumbing.problem import Problem
from stages.plumbing.run import run

# A report of an earlier stage: named on the command line, since nine paths in a row are enough.
Earlier = Annotated[Path, typer.Option()]


class Params(Sections):
    gate: Gate
    metrics: Metrics
    report: Report


def main(  # noqa: PLR0913, PLR0917 - each path that dvc.yaml declares has its place on the command line
    baseline: Path,
    tuned: Path,
    asked: Path,
    train: Path,
    metrics: Path,
    comparison: Path,
    gate: Path,
    plots: Path,
    report: Path,
    *,
    source: Earlier,
    clean: Earlier,
    validation: Earlier,
    split: Earlier,
    base: Earlier,
    curves: Earlier,
    summary: Earlier,
    proof: Earlier,
) -> None:
    """Measure, compare, judge and report; see the module's first lines."""
    import polars as pl

    params = Params.read()
    asked_rows, *others = (pl.read_parquet(path) for path in (asked, train, baseline, tuned))
    evaluation = evaluate(asked_rows, *others, params.metrics)
    reasons = gate_reasons(evaluation, params.gate)
    numbers = metrics_report(evaluation)
    compared = comparison_report(evaluation, params.metrics, params.gate)
    earlier = {"source": source, "clean": clean, "validation": validation, "split": split, "base": base}
    reports = {name: read_json(path) for name, path in {**earlier, "summary": summary, "proof": proof}.items()}
    hashes = {path.name: sha256(path) for path in (train, asked, baseline, tuned)}
    points = read_rows(curves)
    code = sha256_of_code(Path(__file__))
    facts = Facts(evaluation, asked_rows, asked.stem, reports, points, hashes, code, compared, numbers, reasons)
    write_report(report, facts, params.report)
    write_plots(plots, evaluation, points)
    write_json(comparison, compared)
    write_json(metrics, numbers)
    write_json(gate, {"passed": not reasons or params.gate.on_no == "merge"})
    for name in ("rougeL", "bleu", "prompt_words_used"):
        say(name, f"{numbers['baseline'][name]:.4g} → {numbers['tuned'][name]:.4g}")
    say("the gate says", "yes" if not reasons else f"no: {'; '.join(map(str, reasons))}")
    if reasons and params.gate.on_no == "stop":
        found = "; ".join(map(str, reasons))
        raise Problem(
            "the gate", found, "no reason against merging", f"read {report}; gate.on_no: stop makes this an error"
        )


if __name__ == "__main__":
    run(main)
