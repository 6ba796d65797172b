"""What was asked of every system alike, and what one system answered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from stages.lib import agreement
from stages.lib.char_ngrams import CharNgrams
from stages.lib.embeddings import Encoder
from stages.lib.words import Words, words
from stages.plumbing.problem import Problem

if TYPE_CHECKING:
    import polars as pl
    from sacrebleu.metrics import BLEU


def plain(text: str) -> str:
    """A text as compared when two answers are asked to be the same: white space runs count as one space."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Questions:
    """The rows that every system answers: n inputs (the fields of a row, joined by a space) and n references.

    What depends on the references alone is computed once and kept, since each system is measured against them.
    """

    inputs: Sequence[str]
    references: Sequence[str]
    known: frozenset[str] = frozenset()  # training responses, as `plain` texts
    tokenise: Words = words  # for ROUGE
    bleu_tokenize: str = "13a"
    embed: Encoder | None = None  # for the semantic metric, where a model for it is named

    def __len__(self) -> int:
        return len(self.references)

    def part(self, rows: slice) -> "Questions":
        """The same questions for some of the rows."""
        return replace(self, inputs=self.inputs[rows], references=self.references[rows])

    @cached_property
    def input_words(self) -> list[frozenset[str]]:
        return [frozenset(words(text)) for text in self.inputs]

    @cached_property
    def reference_words(self) -> list[list[str]]:
        return [self.tokenise(text) for text in self.references]

    @cached_property
    def reference_vectors(self) -> np.ndarray:
        return self.embed(self.references)

    @cached_property
    def bleu(self) -> "BLEU":
        return agreement.bleu_scorer(self.references, self.bleu_tokenize)

    @cached_property
    def characters(self) -> CharNgrams:
        return CharNgrams(self.references)


@dataclass(frozen=True)
class Answers:
    """What one system answered, in the order of the questions; what only a model has is None for other systems."""

    questions: Questions
    predictions: Sequence[str]
    finish: Sequence[str] | None = None  # "eos" or "length"
    nll: np.ndarray | None = None  # natural-log loss of the reference, summed over its tokens
    tokens: np.ndarray | None = None  # tokens of the reference, end included

    @cached_property
    def words(self) -> list[list[str]]:
        return [self.questions.tokenise(text) for text in self.predictions]

    @property
    def offers(self) -> set[str]:
        """What metrics can be measured of: see `Metric.needs`."""
        there = {"texts": True, "model": self.nll is not None, "encoder": self.questions.embed is not None}
        return {name for name, given in there.items() if given}

    def part(self, questions: Questions, rows: slice) -> "Answers":
        """The same answers for some of the rows, whose questions are given."""
        taken = (None if values is None else values[rows] for values in (self.finish, self.nll, self.tokens))
        return Answers(questions, self.predictions[rows], *taken)


def joined_inputs(table: "pl.DataFrame") -> list[str]:
    """The input fields of each row in one text, in column order: all columns but row_id, line and response."""
    fields = [name for name in table.columns if name not in {"row_id", "line", "response"}]
    return [" ".join(text for text in row if text) for row in table.select(fields).iter_rows()]


def model_answers(questions: Questions, table: "pl.DataFrame") -> Answers:
    """The answers of a model, from its table of predictions."""
    return Answers(
        questions,
        table["prediction"].to_list(),
        table["finish"].to_list(),
        table["reference_nll"].to_numpy(),
        table["reference_tokens"].to_numpy(),
    )


def check_rows(name: str, table: "pl.DataFrame", asked: "pl.DataFrame") -> None:
    """Predictions must answer exactly the rows that are evaluated, with the same references."""
    if asked.height == 0:
        raise Problem(
            "rows to evaluate", "none", "at least one", "give split.test (or split.validation) a larger share"
        )
    same = table["row_id"].to_list() == asked["row_id"].to_list()
    if not same or table["reference"].to_list() != asked["response"].to_list():
        raise Problem(
            f"the {name} predictions",
            f"{table.height} rows that are not the {asked.height} evaluated ones",
            "the same row_id and reference, in the same order",
            "run `dvc repro`: it remakes predictions of another split",
        )
