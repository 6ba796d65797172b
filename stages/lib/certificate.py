"""The leakage certificate: verified near-duplicates that stand on different sides, counted and named."""

from typing import Any

import numpy as np

from stages.lib.near import Pairs
from stages.lib.sides import SIDES, TRAIN

EXAMPLES = 10


def leakage(pairs: Pairs, row_ids: np.ndarray, side: np.ndarray, threshold: float) -> dict[str, Any]:
    """Pairs on different sides; `share` is that of validation and test rows that have such a pair.

    compared: candidate pairs whose similarity was computed. not_compared: pairs left out, of very common triples.
    """
    leaking = np.zeros(len(side), bool)
    count, worst = 0, []
    for block in pairs:
        one, other = side[block.first], side[block.second]
        apart = (one != other) & (one >= 0) & (other >= 0)
        count += int(apart.sum())
        first, second, similarity = block.first[apart], block.second[apart], block.similarity[apart]
        leaking[first] = leaking[second] = True
        order = np.lexsort((second, first, -similarity))[:EXAMPLES]
        worst += zip((-similarity[order]).tolist(), first[order].tolist(), second[order].tolist(), strict=True)
        worst = sorted(worst)[:EXAMPLES]
    judged, unfit = int((side > TRAIN).sum()), int((side[leaking] > TRAIN).sum())
    return {
        "pairs": count,
        # Rounded up: one of many millions is not none.
        "share": -(-unfit * 10**6 // max(judged, 1)) / 10**6,
        "compared": pairs.compared,
        "not_compared": pairs.skipped,
        "near_duplicates": len(pairs),
        "threshold": threshold,
        "examples": [
            {
                "row_ids": [int(row_ids[first]), int(row_ids[second])],
                "sides": [SIDES[side[first]], SIDES[side[second]]],
                "similarity": round(-negative, 6),
            }
            for negative, first, second in worst
        ],
    }
