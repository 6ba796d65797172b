"""What the curves of a training run say: overfitting, underfitting, instability, or a healthy run (R10).

Losses are natural-log losses per token, so that a difference is a ratio of perplexities and the thresholds hold for
any vocabulary: 0.5 is a factor of 1.65, 0.1 a factor of 1.1, 1.5 one of 4.5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

# The gap between training and validation loss above which the model knows its rows rather than the task, and the one
# above which no single cause explains it. The rise from the best validation loss that is more than its noise.
GAP_OVERFIT = 0.5
GAP_UNSTABLE = 2.0
RISE_OVERFIT = 0.1
# A training loss still this high: each token is a guess among four or five.
HIGH_LOSS = 1.5
# A loss that leaps up by this much between two looks has lost what it had learned.
LEAP_UNSTABLE = 1.0

Word = Literal["healthy", "overfitting", "underfitting", "unstable", "still_learning", "too_short"]

WORDS: dict[Word, str] = {
    "healthy": "Both losses fell and stayed close: a healthy run.",
    "overfitting": "Overfitting: the training loss is far below the validation loss, or validation has turned upwards. "
    "Train for fewer epochs, raise lora.dropout or add rows.",
    "underfitting": "Underfitting: the training loss is still high and validation stays close to it. "
    "Train longer, or raise lora.r or train.learning_rate.",
    "unstable": "Unstable: a loss leapt, was not a number, or validation is out of all proportion. "
    "Lower train.learning_rate or lengthen the warm-up.",
    "still_learning": "Still learning: the validation loss was still falling at the end. More epochs may help.",
    "too_short": "Too few evaluations to judge the curves.",
}


@dataclass(frozen=True)
class Point:
    """The losses at one step, each None where it was not measured."""

    step: int
    train_loss: float | None
    validation_loss: float | None


def health(points: Sequence[Point]) -> list[Word]:
    """The words that the curves earn, the worst first; `points` are in the order of their steps."""
    train = [point.train_loss for point in points if point.train_loss is not None]
    validation = [point.validation_loss for point in points if point.validation_loss is not None]
    if not train or not validation:
        return ["too_short"]
    found: list[Word] = []
    gap = validation[-1] - train[-1]
    if _leaps(train) or _leaps(validation) or gap > GAP_UNSTABLE:
        found.append("unstable")
    if gap > GAP_OVERFIT or validation[-1] - min(validation) > RISE_OVERFIT:
        found.append("overfitting")
    if not found and train[-1] > HIGH_LOSS:
        found.append("underfitting")
    if not found and len(validation) > 2 and validation[-2] - validation[-1] > RISE_OVERFIT / 2:
        found.append("still_learning")
    return found or ["healthy"]


def _leaps(losses: Sequence[float]) -> bool:
    if not all(math.isfinite(loss) for loss in losses):
        return True
    return any(after - before > LEAP_UNSTABLE for before, after in pairwise(losses))
