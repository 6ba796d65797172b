"""Which language a text is in, decided on this machine alone: py3langid, whose model of 140 languages comes with it.

Why this library: measured beside lingua 2.1.1 on the tables and books of ../shared/data, it names the language of texts
of 40 characters as often rightly (Portuguese 0.95, English 0.99; lingua 0.98 and 0.98; from 80 characters on both 0.99
and more), judges ten times as many texts a second (5,000 to 25,000 against 300 to 900 on one core) and needs 5 MB
instead of 96 MB on disk and 1 GB in memory. Its method is Lui and Baldwin's (ACL 2012), naive Bayes over byte n-grams.
"""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import AfterValidator, Field

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# A shorter text is not judged: of 20 characters a fourth of the Portuguese ones were named wrongly.
SHORTEST = 40
# The beginning of a text is judged: of 5,024 longer texts 3 were named otherwise when the whole was looked at.
LONGEST = 300
# From this confidence (0 to 1) on a text counts as surely in another language. Of 3,000 cuttings of 40 characters from
# Portuguese books 0.3 % were held for something else so surely, of English ones 0.03 %; and 86 % of the English ones
# were recognised as such (of 60 characters 97 %, of 160 all but 1 in 1,000).
SURE = 0.7


def _known(codes: list[str]) -> list[str]:
    labels = set(_identifier().labels)
    for code in codes:
        if code not in labels:
            raise ValueError(f"ISO 639 codes that py3langid knows, such as pt, en, es, not {code!r}")
    return codes


# A list of ISO 639 codes; loading the model to check them takes 0.2 s, and is done only where there is a list.
Languages = Annotated[list[str], Field(min_length=1), AfterValidator(_known)]


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def guesses(texts: Iterable[str]) -> pl.DataFrame:
    """The likeliest language of each text (`language`, a code) and its confidence (0 to 1); null for short texts."""
    classify = _identifier().classify
    found = [classify(text[:LONGEST]) if len(text) >= SHORTEST else (None, None) for text in texts]
    return pl.DataFrame(found, {"language": pl.String, "confidence": pl.Float64}, orient="row")


def surely_other(texts: pl.Series, languages: list[str]) -> pl.Series:
    """For each text whether it is long enough to judge and surely in none of these languages."""
    other = ~pl.col("language").is_in(languages) & (pl.col("confidence") >= SURE)
    return guesses(texts).select(other.fill_null(value=False).alias("other_language")).to_series()
