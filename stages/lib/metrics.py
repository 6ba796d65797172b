"""The metrics: what each is called, what it means, and how the numbers of single rows make the number of many.

A metric gives each row a few numbers (`rows`), and a function (`corpus`) that turns their sum over any set of rows
into the value for that set: this serves the whole, the unseen rows and every bootstrap resample alike. To add one,
write a function of one prediction and its reference and add a line to METRICS:

    METRICS["same_start"] = mean_over_pairs("Share of answers that begin like the reference.", same_start)
"""

import html
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from stages.lib import agreement
from stages.lib.answers import Answers, plain
from stages.lib.words import Stemmer, words
from stages.plumbing.console import watched
from stages.plumbing.section import Names, Section

Numbers = np.ndarray
BLOCK = 200  # rows measured at a time
Better = Literal["higher", "lower", "closer to 1", "neither"]
# What a metric needs besides texts: what only a language model has (a loss, why it stopped), or an encoder of texts.
Needs = Literal["texts", "model", "encoder"]


class Metrics(Section):
    """How answers are measured and how sure the report has to be."""

    resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0)
    confidence: float = Field(gt=0.5, lt=1)
    group: Names | None
    stemmer: Stemmer | None
    bleu_tokenize: Literal["13a", "intl", "char", "zh", "none"]
    nearest_rows: int = Field(ge=1)
    margin: float = Field(ge=0, le=1)
    semantic_model: str | None
    semantic_revision: str | None = Field(min_length=1)
    semantic_sha256: str | None = Field(pattern="^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Metric:
    """One metric. `rows`: answers -> (n, k) numbers; `corpus`: sums of shape (..., k) -> values of shape (...).

    `whole` stands in for both where a metric belongs to all answers together and not to any row: it gets the words of
    each answer. `tested` metrics get an interval, a p-value and a place in the Holm correction; `needs` says
    what must be there for a metric to be measured at all. `low` and `high` are the range; None is no bound.
    """

    definition: str
    version: str
    better: Better
    low: float
    high: float | None
    rows: Callable[[Answers], Numbers] | None = None
    corpus: Callable[[Numbers], Numbers] | None = None
    whole: Callable[[Sequence[list[str]]], float] | None = None
    tested: bool = False
    needs: Needs = "texts"


def ratio(sums: Numbers) -> Numbers:
    """The first number over the second; 0 where there is nothing to divide by."""
    return np.where(sums[..., 1] > 0, sums[..., 0] / np.maximum(sums[..., 1], 1e-300), 0.0)


def _mean_rows(values: list[float]) -> Numbers:
    return np.column_stack([np.asarray(values, dtype=np.float64), np.ones(len(values))])


def mean_over_answers(
    definition: str,
    function: Callable[[Answers], list[float]],
    *,
    better: Better = "higher",
    tested: bool = False,
    needs: Needs = "texts",
    version: str = "1",
) -> Metric:
    """A metric that is the mean over rows of numbers between 0 and 1."""

    def rows(answers: Answers) -> Numbers:
        return _mean_rows(function(answers))

    return Metric(definition, version, better, 0.0, 1.0, rows, ratio, tested=tested, needs=needs)


def mean_over_pairs(definition: str, function: Callable[[str, str], float], *, better: Better = "higher") -> Metric:
    """A metric that is the mean over rows of a function (prediction, reference) -> number between 0 and 1."""

    def values(answers: Answers) -> list[float]:
        return [float(function(p, r)) for p, r in zip(answers.predictions, answers.questions.references, strict=True)]

    return mean_over_answers(definition, values, better=better)


def _rouge_n(order: int) -> Callable[[Answers], list[float]]:
    def values(answers: Answers) -> list[float]:
        pairs = zip(answers.words, answers.questions.reference_words, strict=True)
        return [agreement.ngram_f(mine, other, order) for mine, other in pairs]

    return values


def _rouge_l(answers: Answers) -> list[float]:
    pairs = zip(answers.words, answers.questions.reference_words, strict=True)
    return [agreement.sequence_f(mine, other) for mine, other in pairs]


def _rouge_lsum(answers: Answers) -> list[float]:
    questions = answers.questions
    pairs = zip(answers.predictions, questions.references, strict=True)
    return [agreement.summary_f(mine, other, questions.tokenise) for mine, other in pairs]


def _bleu_rows(answers: Answers) -> Numbers:
    return agreement.statistics(answers.questions.bleu, answers.predictions)


def _chrf_rows(answers: Answers) -> Numbers:
    return answers.questions.characters.statistics(answers.predictions)


def _exact(prediction: str, reference: str) -> float:
    return float(plain(prediction) == plain(reference))


def _loss_rows(answers: Answers) -> Numbers:
    return np.column_stack([answers.nll, answers.tokens]).astype(np.float64)


def _perplexity(sums: Numbers) -> Numbers:
    # Above e^30 (1e13) a perplexity says no more than "none"; the cap keeps JSON finite.
    return np.exp(np.minimum(ratio(sums), 30.0))


def _distinct(order: int) -> Callable[[Sequence[list[str]]], float]:
    def share(texts: Sequence[list[str]]) -> float:
        grams = [gram for text in texts for gram in zip(*(text[i:] for i in range(order)), strict=False)]
        return len(set(grams)) / len(grams) if grams else 0.0

    return share


def _length_rows(answers: Answers) -> Numbers:
    mine = [len(text) for text in answers.words]
    return np.column_stack([mine, [len(text) for text in answers.questions.reference_words]]).astype(np.float64)


def _empty(prediction: str, _: str) -> float:
    return float(not prediction.strip())


def _cut_off(answers: Answers) -> list[float]:
    return [float(reason == "length") for reason in answers.finish or ()]


def _semantic_rows(answers: Answers) -> Numbers:
    questions = answers.questions
    cosines = (questions.embed(answers.predictions) * questions.reference_vectors).sum(axis=1, dtype=np.float64)
    # To the digits that do not move with the number of threads or with what else is in a batch.
    there = [bool(text.strip()) for text in answers.predictions]
    return _mean_rows(list(np.where(there, cosines.round(4), 0.0)))


def _prompt_words_rows(answers: Answers) -> Numbers:
    found = [
        (len(asked & set(words(text))) / len(asked), 1.0) if asked else (0.0, 0.0)
        for asked, text in zip(answers.questions.input_words, answers.predictions, strict=True)
    ]
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _copied(answers: Answers) -> list[float]:
    return [float(plain(text) in answers.questions.known) for text in answers.predictions]


def _repeats(prediction: str, _: str) -> float:
    """Whether one three-word run occurs three times or more: the loop that small models fall into."""
    found = words(prediction)
    runs = Counter(zip(found, found[1:], found[2:], strict=False))
    return float(max(runs.values(), default=0) >= 3)


_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def dirt(text: str) -> str:
    """The kind of dirt in a text: "entity", "tag", "mojibake", or "" for a clean one (R51).

    Mojibake is what ftfy's published heuristic calls bad, and U+FFFD, the mark of a byte that could not be read.
    """
    if "&" in text and any(html.unescape(found) != found for found in _ENTITY.findall(text)):
        return "entity"
    if "<" in text and _TAG.search(text):
        return "tag"
    return "mojibake" if not text.isascii() and _garbled(text) else ""


def _garbled(text: str) -> bool:
    from ftfy.badness import is_bad

    return "\N{REPLACEMENT CHARACTER}" in text or is_bad(text)


def _dirty(prediction: str, _: str) -> float:
    return float(bool(dirt(prediction)))


METRICS: dict[str, Metric] = {
    "rouge1": mean_over_answers("F1 of single words, mean over rows.", _rouge_n(1), tested=True),
    "rouge2": mean_over_answers("F1 of pairs of neighbouring words, mean over rows.", _rouge_n(2), tested=True),
    "rougeL": mean_over_answers(
        "F1 of the longest common subsequence of words, mean over rows.", _rouge_l, tested=True
    ),
    "rougeLsum": mean_over_answers("ROUGE-L taken line by line, mean over rows.", _rouge_lsum),
    "bleu": Metric(
        "sacreBLEU of the corpus, 0 to 100.", "1", "higher", 0.0, 100.0, _bleu_rows, agreement.bleu, tested=True
    ),
    "chrf": Metric(
        "sacreBLEU's chrF2 of the corpus, 0 to 100.", "1", "higher", 0.0, 100.0, _chrf_rows, agreement.chrf, tested=True
    ),
    "exact_match": mean_over_pairs("Share of answers equal to the reference but for white space.", _exact),
    "perplexity": Metric(
        "Perplexity of the references' tokens, their end included; comparable under one tokenizer only.",
        "1",
        "lower",
        1.0,
        None,
        _loss_rows,
        _perplexity,
        tested=True,
        needs="model",
    ),
    "semantic": Metric(
        "Cosine of answer and reference as mean-pooled vectors of metrics.semantic_model, mean over rows; an answer "
        "without a visible character counts as 0.",
        "1",
        "higher",
        -1.0,
        1.0,
        _semantic_rows,
        ratio,
        tested=True,
        needs="encoder",
    ),
    "prompt_words_used": Metric(
        "Share of the distinct words of a row's inputs that its answer uses, mean over rows.",
        "1",
        "higher",
        0.0,
        1.0,
        _prompt_words_rows,
        ratio,
        tested=True,
    ),
    "length_ratio": Metric("Words written over words wanted.", "1", "closer to 1", 0.0, None, _length_rows, ratio),
    "distinct1": Metric("Distinct words over all words of all answers.", "1", "neither", 0.0, 1.0, whole=_distinct(1)),
    "distinct2": Metric(
        "Distinct word pairs over all word pairs of all answers.", "1", "neither", 0.0, 1.0, whole=_distinct(2)
    ),
    "empty_share": mean_over_pairs("Share of answers without a visible character.", _empty, better="lower"),
    "cutoff_share": mean_over_answers(
        "Share of answers that ran into the length limit.", _cut_off, better="lower", needs="model"
    ),
    "repeat_share": mean_over_pairs(
        "Share of answers with a run of three words said thrice.", _repeats, better="lower"
    ),
    "train_copy_share": mean_over_answers(
        "Share of answers that are a training response, word for word.", _copied, better="neither"
    ),
    "dirty_share": mean_over_pairs("Share of answers with HTML entities, tags or mojibake.", _dirty, better="lower"),
}


@dataclass(frozen=True)
class Measured:
    """One system's numbers: per-row numbers of each metric that has them, and its answers for those that have none."""

    answers: Answers
    rows: Mapping[str, Numbers]
    metrics: Mapping[str, Metric]

    def values(self, chosen: Numbers | None = None) -> dict[str, float]:
        """Each metric's value over all rows, or over those whose places are in `chosen`."""
        places = range(len(self.answers.predictions)) if chosen is None else chosen
        values = {}
        for name, metric in self.metrics.items():
            if metric.whole is not None:
                values[name] = float(metric.whole([self.answers.words[place] for place in places]))
            else:
                values[name] = float(metric.corpus(self.rows[name][places].sum(axis=0)))
        return values

    def row_values(self, name: str) -> Numbers:
        """The metric `name` of each single row, shape (n,)."""
        return self.metrics[name].corpus(self.rows[name])


def measure(answers: Answers, metrics: Mapping[str, Metric] = METRICS) -> Measured:
    """Compute each metric's per-row numbers; those that need what is not there are left out."""
    return measure_together({"one": answers}, metrics)["one"]


def measure_together(systems: Mapping[str, Answers], metrics: Mapping[str, Metric] = METRICS) -> dict[str, Measured]:
    """`measure` for systems that answer the same questions, some rows at a time.

    What is counted in the references serves all systems, and only for as long as their rows are at hand: the n-grams of
    10,000 references would take more than a gigabyte.
    """
    questions = next(iter(systems.values())).questions
    able = {
        system: {name: metric for name, metric in metrics.items() if metric.needs in answers.offers}
        for system, answers in systems.items()
    }
    found: dict[str, dict[str, list[Numbers]]] = {
        system: {name: [] for name, metric in mine.items() if metric.rows} for system, mine in able.items()
    }
    for start in watched(range(0, len(questions), BLOCK), "measuring", -(-len(questions) // BLOCK), "blocks"):
        rows = slice(start, start + BLOCK)
        asked = questions.part(rows)
        for system, answers in systems.items():
            part = answers.part(asked, rows)
            for name, numbers in found[system].items():
                numbers.append(able[system][name].rows(part))
    return {
        system: Measured(
            answers, {name: np.concatenate(numbers) for name, numbers in found[system].items()}, able[system]
        )
        for system, answers in systems.items()
    }
