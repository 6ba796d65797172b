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
    one, other = side[pairs.first], side[pairs.second]
    apart = (one != other) & (one >= 0) & (other >= 0)
    first, second, similarity = pairs.first[apart], pairs.second[apart], pairs.similarity[apart]
    leaking = np.unique(np.concatenate([first, second]))
    judged = int((side > TRAIN).sum())
    worst = np.lexsort((second, first, -similarity))[:EXAMPLES]
    return {
        "pairs": int(apart.sum()),
        "share": round(float((side[leaking] > TRAIN).sum()) / max(judged, 1), 6),
        "compared": pairs.compared,
        "not_compared": pairs.skipped,
        "near_duplicates": len(pairs.first),
        "threshold": threshold,
        "examples": [
            {
                "row_ids": [int(row_ids[first[at]]), int(row_ids[second[at]])],
                "sides": [SIDES[side[first[at]]], SIDES[side[second[at]]]],
                "similarity": round(float(similarity[at]), 6),
            }
            for at in worst
        ],
    }
