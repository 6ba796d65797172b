"""What a word is: the one tokeniser behind ROUGE, the prompt-words metric, the nearest row and the unseen rows."""

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

Words = Callable[[str], list[str]]

Stemmer = Literal[
    "danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian",
    "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish",
]  # fmt: skip

# Letters and digits of any script, and the combining marks that have no composed form with their letter.
_WORD = re.compile(r"[\w\u0300-\u036f]+")


def words(text: str) -> list[str]:
    """The words of `text`, case folded and composed (NFC), in order; punctuation is left out.

    rouge_score's own tokeniser keeps a-z and 0-9 only, so that "é" matches nothing; this one keeps every letter.
    """
    return _WORD.findall(unicodedata.normalize("NFC", text.casefold()))


def words_of(stemmer: Stemmer | None) -> Words:
    """The tokeniser for ROUGE: `words`, or `words` cut to their stems by the Snowball stemmer of a language."""
    if stemmer is None:
        return words
    from nltk.stem.snowball import SnowballStemmer

    stem = SnowballStemmer(stemmer).stem
    known: dict[str, str] = {}

    def stems(text: str) -> list[str]:
        found = words(text)
        for word in found:
            if word not in known:
                known[word] = stem(word)
        return [known[word] for word in found]

    return stems
