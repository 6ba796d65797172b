"""Two trivial systems that a model has to beat, and the rows whose words training never showed.

A high score means little where copying the question, or the answer of the nearest training row, scores as high.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.lib.answers import joined_inputs
from stages.lib.words import words

if TYPE_CHECKING:
    import polars as pl

BLOCK = 256  # rows compared with all training rows at a time


def nearest_answers(inputs: Sequence[str], train: "pl.DataFrame", most: int) -> list[str]:
    """For each input, the response of the training row with the nearest inputs (TF-IDF over words, cosine).

    Of more than `most` training rows, those with the lowest hash of their row_id are searched: the same rows for any
    order of the table. Of equally near ones the first by row_id answers.
    """
    import xxhash
    from sklearn.feature_extraction.text import TfidfVectorizer

    if train.height > most:
        hashes = np.array([xxhash.xxh3_64_intdigest(str(row_id).encode()) for row_id in train["row_id"]])
        train = train[np.sort(np.argsort(hashes, kind="stable")[:most])]
    responses = train["response"].to_list()
    known = joined_inputs(train)
    if not any(words(text) for text in known):
        return [responses[0] if responses else ""] * len(inputs)
    weigh = TfidfVectorizer(analyzer=words, dtype=np.float32)
    table = weigh.fit_transform(known).T.tocsr()
    asked = weigh.transform(inputs)
    found: list[str] = []
    for start in range(0, len(inputs), BLOCK):
        likeness = (asked[start : start + BLOCK] @ table).toarray()
        # Sums of single floats differ in their last digits by the order of the words; equal is equal to five digits.
        found += [responses[place] for place in likeness.round(5).argmax(axis=1)]
    return found


def rows_with_unseen_words(inputs: Iterable[frozenset[str]], train: "pl.DataFrame") -> np.ndarray:
    """The places of the rows with a word in their inputs that no training row has in its inputs."""
    seen: set[str] = set()
    for text in joined_inputs(train):
        seen.update(words(text))
    return np.array([place for place, asked in enumerate(inputs) if not asked <= seen], dtype=np.int64)
