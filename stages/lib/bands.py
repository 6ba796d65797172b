"""The quality bands: low, medium, good or excellent, for ROUGE-L and BLEU (R11)."""

from typing import Literal

Band = Literal["low", "medium", "good", "excellent"]

# Upper ends of low, medium and good. The bands of the tarot project that Afina continues; BLEU there was 0 to 1.
ENDS = {"rougeL": (0.2, 0.4, 0.6), "bleu": (10.0, 30.0, 50.0)}
NAMES: tuple[Band, ...] = ("low", "medium", "good", "excellent")


def band(metric: str, value: float) -> Band:
    """The band of a value of `rougeL` (0 to 1) or `bleu` (0 to 100); a value at an end belongs to the band above."""
    return NAMES[sum(value >= end for end in ENDS[metric])]
