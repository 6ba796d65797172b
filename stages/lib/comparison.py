"""The evaluation of one run: four systems, the same questions, all rows and those with unseen words.

Beside baseline and tuned stand two trivial systems: `copy_prompt_input` answers with the row's own inputs, `nearest`
with the response of the nearest training row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.lib import agreement
from stages.lib.answers import Answers, Questions, check_rows, joined_inputs, model_answers, plain
from stages.lib.bands import ENDS, band
from stages.lib.embeddings import load
from stages.lib.gate import Gate, Reason, judge
from stages.lib.metrics import METRICS, Measured, Metrics, measure_together
from stages.lib.references import nearest_answers, rows_with_unseen_words
from stages.lib.statistics import Difference, compare, resampled
from stages.lib.words import words_of

if TYPE_CHECKING:
    import polars as pl

DUMB = ("copy_prompt_input", "nearest")
PARTS = ("all", "unseen")
DIGITS = 6


@dataclass(frozen=True)
class Evaluation:
    """What was measured: `places` of the rows of each part, and tuned against each other system on each part."""

    systems: Mapping[str, Measured]
    places: Mapping[str, np.ndarray]
    differences: Mapping[str, Mapping[str, Mapping[str, Difference]]]  # part -> other system -> metric

    def values(self, part: str) -> dict[str, dict[str, float]]:
        """Each system's metrics over the rows of a part."""
        return {name: measured.values(self.places[part]) for name, measured in self.systems.items()}


def evaluate(
    asked: "pl.DataFrame", train: "pl.DataFrame", baseline: "pl.DataFrame", tuned: "pl.DataFrame", metrics: Metrics
) -> Evaluation:
    """Measure the four systems on the evaluated rows, and tuned against each other one with the paired bootstrap."""
    for name, table in (("baseline", baseline), ("tuned", tuned)):
        check_rows(name, table, asked)
    questions = questions_of(asked, metrics, frozenset(plain(text) for text in train["response"]))
    answers = {
        "baseline": model_answers(questions, baseline),
        "tuned": model_answers(questions, tuned),
        "copy_prompt_input": Answers(questions, questions.inputs),
        "nearest": Answers(questions, nearest_answers(questions.inputs, train, metrics.nearest_rows)),
    }
    systems = measure_together(answers)
    places = {"all": np.arange(len(questions)), "unseen": rows_with_unseen_words(questions.input_words, train)}
    differences = {
        part: against_tuned(systems, places[part], groups_of(asked, metrics.group), metrics)
        for part in PARTS
        if len(places[part])
    }
    return Evaluation(systems, places, differences)


def questions_of(asked: "pl.DataFrame", metrics: Metrics, known: frozenset[str] = frozenset()) -> Questions:
    """What the rows ask of every system, measured as the section `metrics` says; `known` are training responses."""
    named = metrics.semantic_model, metrics.semantic_revision, metrics.semantic_sha256
    return Questions(
        joined_inputs(asked),
        asked["response"].to_list(),
        known,
        words_of(metrics.stemmer),
        metrics.bleu_tokenize,
        load(*named) if metrics.semantic_model else None,
    )


def groups_of(asked: "pl.DataFrame", columns: list[str] | None) -> np.ndarray | None:
    """The number of each row's group, equal where `columns` are equal; None where each row stands for itself."""
    if columns is None:
        return None
    numbers: dict[tuple[Any, ...], int] = {}
    return np.array([numbers.setdefault(row, len(numbers)) for row in asked.select(columns).iter_rows()])


def against_tuned(
    systems: Mapping[str, Measured], places: np.ndarray, groups: np.ndarray | None, metrics: Metrics
) -> dict[str, dict[str, Difference]]:
    """Tuned against each other system on the rows in `places`: other system -> metric -> difference."""
    units = None if groups is None else np.unique(groups[places], return_inverse=True)[1]
    samples = resampled(systems, places, units, metrics.resamples, metrics.seed)
    return {
        other: compare(systems["tuned"], systems[other], (samples["tuned"], samples[other]), places, metrics.confidence)
        for other in systems
        if other != "tuned"
    }


def rounded(value: float) -> float:
    """A number as reports hold it: equal results give equal bytes."""
    return round(float(value), DIGITS) + 0.0


def metrics_report(evaluation: Evaluation) -> dict[str, Any]:
    """Flat numbers for `dvc metrics diff`: baseline, tuned and their delta; the trivial systems; the unseen rows."""
    every = _numbers(evaluation.values("all"))
    report = {name: every[name] for name in ("baseline", "tuned", "delta")}
    report["references"] = {name: every[name] for name in DUMB}
    report["unseen"] = {"rows": len(evaluation.places["unseen"])}
    if len(evaluation.places["unseen"]):
        report["unseen"] |= _numbers(evaluation.values("unseen"))
    return report


def _numbers(values: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    tuned, baseline = values["tuned"], values["baseline"]
    delta = {metric: tuned[metric] - baseline[metric] for metric in tuned}
    whole = {**values, "delta": delta}
    return {name: {metric: rounded(value) for metric, value in row.items()} for name, row in whole.items()}


def beats_trivial_systems(evaluation: Evaluation, margin: float) -> dict[str, Any]:
    """Whether tuned has at least `margin` more ROUGE-L than both trivial systems: on all rows, and on the unseen ones.

    None where no row has an unseen word.
    """
    verdicts: dict[str, Any] = {}
    for part in PARTS:
        found = evaluation.differences.get(part)
        by = {name: rounded(found[name]["rougeL"].delta) for name in DUMB} if found else None
        verdicts[part] = by and {**by, "both": all(delta >= margin for delta in by.values())}
    return {"margin": margin, "metric": "rougeL", **verdicts}


def gate_reasons(evaluation: Evaluation, gate: Gate) -> list[Reason]:
    """Why the tuned model should not be merged; empty where it should."""
    cut_off = evaluation.systems["tuned"].values()["cutoff_share"]
    return judge(gate, evaluation.differences["all"]["baseline"][gate.metric], cut_off)


def comparison_report(evaluation: Evaluation, metrics: Metrics, gate: Gate) -> dict[str, Any]:
    """How sure the differences are, what each metric means, and why the gate said what it said."""
    one = evaluation.systems["tuned"].answers.questions.part(slice(1))
    tuned = evaluation.systems["tuned"].values()
    reasons = gate_reasons(evaluation, gate)
    return {
        "rows": {part: len(evaluation.places[part]) for part in PARTS},
        "resamples": metrics.resamples,
        "seed": metrics.seed,
        "confidence": metrics.confidence,
        "signatures": {
            "bleu": agreement.signature(one.bleu),
            "chrf": agreement.signature(agreement.chrf_scorer(one.references)),
            **({"semantic": one.embed.signature} if one.embed else {}),
        },
        "definitions": {
            name: {
                "definition": metric.definition,
                "version": metric.version,
                "better": metric.better,
                "low": metric.low,
                "high": metric.high,
            }
            for name, metric in METRICS.items()
            if name in tuned
        },
        "tuned_against": {
            part: {other: {name: _told(found) for name, found in row.items()} for other, row in others.items()}
            for part, others in evaluation.differences.items()
        },
        "beats_trivial_systems": beats_trivial_systems(evaluation, metrics.margin),
        "bands": {name: band(name, tuned[name]) for name in ENDS},
        "gate": {"passed": not reasons, "metric": gate.metric, "reasons": [str(reason) for reason in reasons]},
    }


def _told(found: Difference) -> dict[str, Any]:
    numbers = {"tuned": found.mine, "other": found.other, "delta": found.delta, "low": found.low, "high": found.high}
    numbers |= {"p": found.p, "p_holm": found.p_holm}
    return {name: rounded(value) for name, value in numbers.items()} | {"verdict": found.verdict}
