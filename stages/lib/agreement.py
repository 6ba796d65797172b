"""How much of a reference an answer has: ROUGE, BLEU and chrF, as one row of numbers per answer that add up.

The score of any set of rows, a bootstrap resample included, is a function of the sum of their rows of numbers. That
is what makes the corpus scores BLEU and chrF exact in every resample without reading a text again.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.lib.words import Words, words

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU, CHRF

Numbers = np.ndarray
BLEU_ORDERS = 4
CHRF_ORDERS = 6
CHRF_BETA = 2


def f_measure(common: int, predicted: int, wanted: int) -> float:
    """ROUGE's F1 from the number of matches and the two lengths; 0 where nothing matches (Lin 2004)."""
    return 2 * common / (predicted + wanted) if common else 0.0


def ngram_f(prediction: Sequence[str], reference: Sequence[str], order: int) -> float:
    """ROUGE-N of one row, 0 to 1, from its words."""
    mine = Counter(zip(*(prediction[start:] for start in range(order)), strict=False))
    other = Counter(zip(*(reference[start:] for start in range(order)), strict=False))
    return f_measure((mine & other).total(), mine.total(), other.total())


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, one big integer per word (Hyyrö 2004, bit-parallel)."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(one)) - 1
    free = full
    for word in other:
        hit = free & places.get(word, 0)
        free = ((free + hit) | (free - hit)) & full
    return len(one) - free.bit_count()


def sequence_f(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """ROUGE-L of one row, 0 to 1, from its words."""
    return f_measure(common_subsequence(prediction, reference), len(prediction), len(reference))


def summary_f(prediction: str, reference: str, tokenise: Words = words) -> float:
    """ROUGE-Lsum of one row, 0 to 1: ROUGE-L line by line, as rouge_score defines it.

    With one line on each side it is ROUGE-L; rouge_score itself, slow to import, is asked only about longer texts.
    """
    sides = [[line for line in text.split("\n") if line] for text in (prediction, reference)]
    if max(len(lines) for lines in sides) <= 1:
        return sequence_f(tokenise(prediction), tokenise(reference))
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Tokens(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return tokenise(text)

    return RougeScorer(["rougeLsum"], tokenizer=Tokens()).score(reference, prediction)["rougeLsum"].fmeasure


def bleu_scorer(references: Sequence[str], tokenize: str = "13a") -> "BLEU":
    """SacreBLEU's BLEU with the n-grams of `references` counted once for all systems."""
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenize, references=[list(references)])


def chrf_scorer(references: Sequence[str]) -> "CHRF":
    """SacreBLEU's chrF with the n-grams of `references` counted once for all systems."""
    from sacrebleu.metrics import CHRF

    return CHRF(char_order=CHRF_ORDERS, word_order=0, beta=CHRF_BETA, references=[list(references)])


def statistics(scorer: "BLEU | CHRF", predictions: Sequence[str]) -> Numbers:
    """One row of counts per prediction: sacreBLEU's own, those that its corpus score is made of.

    BLEU: [length, reference length, matches × 4, n-grams × 4]. chrF: [n-grams, reference n-grams, matches] × 6.
    """
    # Private, and the only way to per-row counts; tests/lib holds its sums equal to corpus_score.
    return np.array(scorer._extract_corpus_statistics(list(predictions), None), dtype=np.float64)  # noqa: SLF001


def signature(scorer: "BLEU | CHRF") -> str:
    """SacreBLEU's signature: case, tokeniser, smoothing and version, so that a score can be compared elsewhere."""
    return str(scorer.get_signature())


def bleu(sums: Numbers) -> Numbers:
    """Corpus BLEU, 0 to 100, from sums of counts of shape (..., 10): sacreBLEU's formula with `exp` smoothing."""
    length, wanted = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + BLEU_ORDERS], sums[..., 2 + BLEU_ORDERS :]
    # An order without matches counts as half a match, the next such order as a quarter, and so on.
    missing = (matches == 0) & (totals > 0)
    safe = np.maximum(totals, 1)
    precision = 100.0 * np.where(missing, 0.5 ** np.cumsum(missing, axis=-1), matches) / safe
    # Answers too short for an order, and answers without a match at all, score 0.
    usable = (totals > 0).all(axis=-1) & (matches > 0).any(axis=-1)
    mean = np.exp(np.log(np.where(precision > 0, precision, 1.0)).mean(axis=-1))
    brevity = np.exp(np.minimum(0.0, 1.0 - wanted / np.maximum(length, 1)))
    return np.where(usable, brevity * mean, 0.0)


def chrf(sums: Numbers) -> Numbers:
    """Corpus chrF2, 0 to 100, from sums of counts of shape (..., 18); an order that one side lacks is left out."""
    counts = sums.reshape(*sums.shape[:-1], CHRF_ORDERS, 3)
    mine, wanted, matches = counts[..., 0], counts[..., 1], counts[..., 2]
    present = (mine > 0) & (wanted > 0)
    orders = np.maximum(present.sum(axis=-1), 1)
    precision = np.where(present, matches / np.maximum(mine, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(present, matches / np.maximum(wanted, 1), 0.0).sum(axis=-1) / orders
    weight = CHRF_BETA**2
    below = weight * precision + recall
    return 100.0 * (1 + weight) * precision * recall / np.where(below > 0, below, 1.0)
