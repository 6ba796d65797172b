"""Two revisions side by side: the same rows, the same ruler, how sure the difference is, and which rows moved."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afina.revisions import Answered, Revision, answered, project, revision
from stages.lib.answers import model_answers
from stages.lib.comparison import groups_of, questions_of, rounded
from stages.lib.metrics import METRICS, Measured, Metric, Metrics, measure_together
from stages.lib.report_words import words
from stages.lib.statistics import Difference, compare, resampled
from stages.plumbing.params import PARAMS, Sections
from stages.plumbing.problem import Problem

if TYPE_CHECKING:
    import polars as pl
    from dvc.repo import Repo

# It asks for all training responses, which are no part of the comparison.
NOT_HERE = {"train_copy_share"}
TEXT = 100  # characters of a line
# Of one text of a row; --json has it whole.
LINES = 4
SEED = "train.seed"
# The bootstrap draws rows anew, not trainings: docs/evaluation.md, "Chance in training".
NOT_COVERED = (
    f"The interval is about these two models, whichever rows are drawn; another {SEED} would have made other models. "
    "Train both with other seeds as well before you build on a small difference."
)
SEED_ALONE = f"A and B differ in {SEED} alone: a difference of this size is what chance in training makes."


class Params(Sections):
    metrics: Metrics


@dataclass(frozen=True)
class Pairs:
    """The rows that both revisions answered, in one order, and how many there are that cannot be compared."""

    asked: "pl.DataFrame"
    one: "pl.DataFrame"
    other: "pl.DataFrame"
    other_reference: int  # rows that both have, with different references


@dataclass(frozen=True)
class Compared:
    """Two revisions measured on their common rows: A first, B second; differences are B minus A."""

    pairs: Pairs
    systems: tuple[Measured, Measured]
    differences: Mapping[str, Difference]
    left_out: Mapping[str, str]  # metrics that cannot be compared, and why


def diff(a: str, b: str, *, metric: str, rows: int, machine: bool) -> None:
    """Print how the tuned models of two revisions compare; `machine` prints JSON."""
    known = [name for name, found in METRICS.items() if found.better in {"higher", "lower"} and name not in NOT_HERE]
    if metric not in known:
        raise Problem("--metric", metric, "a metric that rows get better or worse by", f"one of {', '.join(known)}")
    with project() as repo:
        # One ruler for both: the section `metrics` of the workspace, whatever the revisions measured with.
        params = Params.read(Path(repo.root_dir, PARAMS))
        revisions = revision(repo, a), revision(repo, b)
        sides = answered(repo, revisions[0]), answered(repo, revisions[1])
        compared = measured(pair(*sides), params.metrics)
        if metric not in compared.systems[0].metrics:
            why = compared.left_out.get(metric, "params.yaml does not ask for it")
            raise Problem("--metric", f"{metric}, which is left out: {why}", "a metric of the table", "choose another")
        changed = params_changed(repo, *revisions)
    told = told_as_data(sides, compared, metric, rows) | {"params": changed}
    told["notes"] = notes(told)
    print(json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True) if machine else told_as_text(told, metric))


def pair(a: Answered, b: Answered) -> Pairs:
    """The rows with the same row_id and the same reference on both sides; a problem where there are none."""
    import polars as pl

    keys = a.predictions.select("row_id", "reference").join(
        b.predictions.select("row_id", pl.col("reference").alias("theirs")), on="row_id"
    )
    common = keys.filter(pl.col("reference") == pl.col("theirs")).select("row_id").sort("row_id")
    if common.height == 0:
        raise Problem(
            f"revisions {a.revision} and {b.revision}",
            f"no row that both answer: {a.predictions.height} rows and {b.predictions.height} rows, "
            f"of which {keys.height} have the same row_id, and all of those another reference",
            "evaluated rows in common",
            "compare revisions with the same source and the same section split",
        )
    asked, one, other = (
        common.join(table, on="row_id", maintain_order="left") for table in (b.asked, a.predictions, b.predictions)
    )
    return Pairs(asked, one, other, keys.height - common.height)


def measured(pairs: Pairs, metrics: Metrics) -> Compared:
    """Measure both on the common rows, and B against A with the paired bootstrap and Holm's correction."""
    left_out = {}
    # Tokens of another tokenizer are other tokens: their losses have no common scale.
    if pairs.one["reference_tokens"].to_list() != pairs.other["reference_tokens"].to_list():
        left_out["perplexity"] = "the two base models cut texts into different tokens"
    asks: dict[str, Metric] = {name: found for name, found in METRICS.items() if name not in NOT_HERE | set(left_out)}
    if metrics.group and (unknown := sorted(set(metrics.group) - set(pairs.asked.columns))):
        raise Problem(
            "params.yaml, metrics.group",
            f"{', '.join(unknown)}, which the rows of the second revision do not have",
            f"fields among {', '.join(pairs.asked.columns)}",
            "correct metrics.group, or set it to null",
        )
    questions = questions_of(pairs.asked, metrics)
    answers = {name: model_answers(questions, table) for name, table in (("a", pairs.one), ("b", pairs.other))}
    systems = measure_together(answers, asks)
    places = np.arange(len(questions))
    samples = resampled(systems, places, groups_of(pairs.asked, metrics.group), metrics.resamples, metrics.seed)
    differences = compare(systems["b"], systems["a"], (samples["b"], samples["a"]), places, metrics.confidence)
    return Compared(pairs, (systems["a"], systems["b"]), differences, left_out)


def params_changed(repo: "Repo", a: Revision, b: Revision) -> dict[str, dict[str, Any]]:
    """The parameters that differ, by their dotted names: {"lora.r": {"a": 16, "b": 32}}."""
    from dvc.exceptions import DvcException

    names = [one.commit or one.name for one in (a, b)]
    if names[0] == names[1]:
        return {}
    try:
        found = repo.params.diff(*names).get("diff", {})
    except DvcException as error:
        raise Problem(
            f"parameters of {a} and {b}", " ".join(str(error).split()), "two that can be read", "see dvc params diff"
        ) from None
    return {
        key: {"a": change.get("old"), "b": change.get("new")}
        for _, changes in sorted(found.items())
        for key, change in sorted(changes.items())
    }


def told_as_data(sides: tuple[Answered, Answered], compared: Compared, metric: str, rows: int) -> dict[str, Any]:
    """Everything that is told, as JSON holds it."""
    values = [system.values() for system in compared.systems]
    table = {}
    for name, value in values[1].items():
        table[name] = {"a": values[0][name], "b": value, "delta": value - values[0][name]}
        if found := compared.differences.get(name):
            table[name] |= {key: getattr(found, key) for key in ("low", "high", "p", "p_holm", "verdict")}
    better, worse = moved(compared, metric, rows)
    return {
        **{
            key: {"revision": side.revision.name, "commit": side.revision.commit, "rows": side.predictions.height}
            for key, side in zip(("a", "b"), sides, strict=True)
        },
        "rows": {"compared": compared.pairs.asked.height, "other_reference": compared.pairs.other_reference},
        "metrics": {
            name: {key: rounded(value) if isinstance(value, float) else value for key, value in row.items()}
            for name, row in table.items()
        },
        "left_out": dict(compared.left_out),
        "ordered_by": metric,
        "better": better,
        "worse": worse,
    }


def moved(compared: Compared, metric: str, most: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that gained most and those that lost most by `metric`, up to `most` each; equals go by row_id."""
    a, b = (system.row_values(metric) for system in compared.systems)
    gain = (a - b) if METRICS[metric].better == "lower" else (b - a)
    order = np.argsort(-gain, kind="stable")
    back = np.argsort(gain, kind="stable")
    pairs = compared.pairs
    inputs = compared.systems[0].answers.questions.inputs

    def told(place: int) -> dict[str, Any]:
        return {
            "row_id": pairs.asked["row_id"][place],
            "inputs": inputs[place],
            "reference": pairs.one["reference"][place],
            **{key: {"text": table["prediction"][place], "value": rounded(values[place])} for key, table, values in
               (("a", pairs.one, a), ("b", pairs.other, b))},
        }  # fmt: skip

    return (
        [told(int(place)) for place in order[:most] if gain[place] > 0],
        [told(int(place)) for place in back[:most] if gain[place] < 0],
    )


def notes(told: Mapping[str, Any]) -> list[str]:
    """What the intervals do not cover, in words; nothing where A and B are equal."""
    if not any(row["delta"] for row in told["metrics"].values()):
        return []
    return [SEED_ALONE] if set(told["params"]) == {SEED} else [NOT_COVERED]


def told_as_text(told: Mapping[str, Any], metric: str) -> str:
    """The same for a person: verdict, table, rows, parameters."""
    sides = [(key.upper(), told[key]) for key in ("a", "b")]
    lines = [f"{key}  {Revision(side['revision'], side['commit'])}, {side['rows']:,} rows" for key, side in sides]
    lines.append(f"   compared on the {told['rows']['compared']:,} rows that both answer")
    if told["rows"]["other_reference"]:
        lines.append(f"   {told['rows']['other_reference']:,} more have another reference in B: left out")
    lines += ["", verdict(told["metrics"][metric], metric)]
    lines += [line for note in told["notes"] for line in textwrap.wrap(note, TEXT)]
    lines += ["", *_table_of(told["metrics"])]
    lines += [f"{name} is left out: {why}" for name, why in told["left_out"].items()]
    for key, word in (("better", "better"), ("worse", "worse")):
        lines += ["", f"Rows that got {word} by {metric}: " + ("" if told[key] else "none")]
        for row in told[key]:
            lines += _row_of(row)
    lines += ["", "Parameters that differ: " + ("" if told["params"] else "none")]
    width = max(map(len, told["params"]), default=0)
    lines += [f"  {name:<{width}}  {change['a']} → {change['b']}" for name, change in told["params"].items()]
    return "\n".join(lines)


def verdict(row: Mapping[str, Any], metric: str) -> str:
    """One sentence: what B is against A by one metric."""
    numbers = f"{metric} {row['a']:.4g} → {row['b']:.4g} ({row['delta']:+.4g}"
    if "verdict" not in row:
        return f"{numbers}); {metric} is not tested for significance."
    if row["p"] == 1 and row["low"] == row["high"] == 0:
        return f"A and B are equal, row by row: {metric} {row['a']:.4g}."
    word = words("en")[f"verdict.{row['verdict']}"]
    sentence = "B is " + (f"{word} than A" if row["verdict"] in {"better", "worse"} else f"{word} against A")
    return f"{sentence}: {numbers}, interval {row['low']:+.4g} … {row['high']:+.4g}, p {row['p_holm']:.3g})."


def _table_of(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The table, tested metrics first; p is corrected for their number (Holm)."""
    header = ["metric", "A", "B", "B − A", "interval", "p (Holm)", "verdict"]
    rows = []
    for name, row in sorted(metrics.items(), key=lambda item: "verdict" not in item[1]):
        cells = [name, f"{row['a']:.4g}", f"{row['b']:.4g}", f"{row['delta']:+.4g}"]
        if "verdict" in row:
            cells += [f"{row['low']:+.4g} … {row['high']:+.4g}", f"{row['p_holm']:.3g}"]
            cells.append(words("en")[f"verdict.{row['verdict']}"])
        rows.append(cells + [""] * (len(header) - len(cells)))
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    lines = []
    for row in [header, ["─" * width for width in widths], *rows]:
        cells = [cell.ljust(width) if place in {0, 6} else cell.rjust(width) for place, (cell, width) in
                 enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(cells).rstrip())
    return lines


def _row_of(row: Mapping[str, Any]) -> list[str]:
    """One row: what was asked, what was wanted, and both answers with their values, each some LINES at most."""
    shown = [
        ("asked", row["inputs"]),
        ("wanted", row["reference"]),
        (f"A {row['a']['value']:.3f}", row["a"]["text"]),
        (f"B {row['b']['value']:.3f}", row["b"]["text"]),
    ]
    lines = [f"  row {row['row_id']}"]
    for name, text in shown:
        indent = " " * 14
        whole = "\n".join(text.splitlines()) or "(nothing)"
        lines += textwrap.wrap(
            f"    {name:<10}{whole}", TEXT, subsequent_indent=indent, max_lines=LINES, placeholder=" …"
        )
    return lines
