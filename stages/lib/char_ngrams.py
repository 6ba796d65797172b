"""The character n-grams that predictions share with their references: chrF's counts, for many rows at once.

The counts are sacreBLEU's, to the last one (tests hold them equal). It counts row by row in dictionaries, which was
two thirds of the time of a whole evaluation; here each n-gram is one integer and numpy sorts them.
"""

from collections.abc import Sequence

import numpy as np

ORDERS = 6  # chrF looks at runs of one to six characters, white space left out
BITS = 63  # of an integer that is sorted


class CharNgrams:
    """The n-grams of some references, to be matched by predictions of the same rows."""

    def __init__(self, references: Sequence[str]) -> None:
        self.references = references
        texts = ["".join(text.split()) for text in references]
        self.alphabet = np.unique(_points(texts))
        # Characters are numbered from 1; 0 stands for all that no reference has, and so matches nothing.
        self.bits = len(self.alphabet).bit_length()
        self.fits = self.bits * ORDERS + len(references).bit_length() <= BITS
        self.grams = self._grams(texts) if self.fits else []

    def statistics(self, predictions: Sequence[str]) -> np.ndarray:
        """[n-grams, reference n-grams, matches] × 6 for each row, shape (n, 18)."""
        if not self.fits:  # hundreds of different characters, as in Chinese: sacreBLEU's own way
            from stages.lib import agreement

            return agreement.statistics(agreement.chrf_scorer(self.references), predictions)
        found = np.zeros((len(predictions), 3 * ORDERS))
        mine = self._grams(["".join(text.split()) for text in predictions])
        for order, ((grams, counts, totals), (known, wanted, there)) in enumerate(zip(mine, self.grams, strict=True)):
            place = np.minimum(np.searchsorted(known, grams), max(len(known) - 1, 0))
            hit = known[place] == grams if len(known) else np.zeros(len(grams), dtype=bool)
            rows = grams[hit] >> self.bits * (order + 1)
            matches = np.minimum(counts[hit], wanted[place[hit]])
            found[:, 3 * order] = np.where(there > 0, totals, 0)  # sacreBLEU counts none where the reference has none
            found[:, 3 * order + 1] = there
            found[:, 3 * order + 2] = np.bincount(rows, weights=matches, minlength=len(predictions))
        return found

    def _grams(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each order: the distinct (row, n-gram) as sorted integers, how often each occurs, n-grams per row."""
        points = _points(texts)
        place = np.searchsorted(self.alphabet, points)
        known = place < len(self.alphabet)
        known[known] = self.alphabet[place[known]] == points[known]
        codes = np.where(known, place + 1, 0)
        lengths = np.array([len(text) for text in texts])
        rows = np.repeat(np.arange(len(texts)), lengths)
        left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(codes))  # characters from here to the row's end
        padded = np.pad(codes, (0, ORDERS))
        grams = np.zeros(len(codes), dtype=np.int64)
        found = []
        for order in range(1, ORDERS + 1):
            grams = (grams << self.bits) | padded[order - 1 : order - 1 + len(codes)]
            whole = left >= order
            keys, counts = np.unique(grams[whole] | (rows[whole] << self.bits * order), return_counts=True)
            found.append((keys, counts, np.maximum(lengths - order + 1, 0)))
        return found


def _points(texts: Sequence[str]) -> np.ndarray:
    """The code points of the texts, one after the other."""
    return np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
