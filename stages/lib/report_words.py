"""The words of the report, one file per language, and numbers as the language writes them."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from stages.lib import gate, health
from stages.lib.metrics import METRICS

Language = Literal["en", "pt"]
FILES: dict[Language, str] = {"en": "report.en.yaml", "pt": "report.pt.yaml"}


@cache
def words(language: Language) -> dict[str, str]:
    """Every sentence of the report by its key; a sentence has the same places for numbers in each language."""
    found: dict[str, str] = {}
    if language == "en":
        found |= {f"health.{word}": told for word, told in health.WORDS.items()}
        found |= {f"reason.{reason}": told for reason, told in gate.REASONS.items()}
        found |= {f"means.{name}": metric.definition for name, metric in METRICS.items()}
    return found | yaml.safe_load(Path(__file__).with_name(FILES[language]).read_text("utf-8"))


def number(value: float, language: Language, digits: int = 3) -> str:
    """A number as the language writes it: thousands and decimals separated its own way; whole numbers stay whole."""
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"
    text = text.replace("-", "−")
    return text.translate(str.maketrans(",.", ".,")) if language == "pt" else text


def signed(value: float, language: Language, digits: int = 3) -> str:
    """A difference, with its sign."""
    return ("+" if value > 0 else "") + number(value, language, digits)


def share(value: float, language: Language) -> str:
    """A share from 0 to 1 as a person reads it, in percent; the files hold shares."""
    percent = 100 * value
    digits = 0 if percent == round(percent) else 1 if percent >= 1 else 2
    return number(percent, language, digits) + "%"
