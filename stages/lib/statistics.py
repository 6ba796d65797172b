"""How sure a difference is: the paired bootstrap over rows or groups of rows, and Holm's correction.

Both systems are measured on the same resampled rows, so that how hard a row is cancels out (Koehn 2004, "Statistical
significance tests for machine translation evaluation"). Sums of per-row numbers make corpus metrics exact.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from stages.lib.metrics import Measured

Numbers = np.ndarray
BLOCK = 50_000_000  # bytes of counts held at a time


@dataclass(frozen=True)
class Difference:
    """One metric of two systems: their values, the difference (`mine - other`), its interval and its p-value."""

    mine: float
    other: float
    low: float
    high: float
    p: float
    p_holm: float
    verdict: str  # "better", "worse", "no difference seen"

    @property
    def delta(self) -> float:
        return self.mine - self.other


def draws(units: int, resamples: int, seed: int) -> Iterator[Numbers]:
    """How often each of `units` rows (or groups) is drawn in each resample: blocks of shape (b, units).

    The stream of draws is the one that sacreBLEU's paired bootstrap makes from the same seed.
    """
    chance = np.random.default_rng(seed)
    size = max(1, BLOCK // (8 * units))
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        places = chance.choice(units, size=(count, units), replace=True)
        places += units * np.arange(count)[:, None]
        yield np.bincount(places.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)


def by_group(rows: Numbers, groups: Numbers | None) -> Numbers:
    """Per-row numbers (n, k) summed within groups (g, k); `groups` gives each row's group, 0 to g-1."""
    if groups is None:
        return rows
    summed = np.zeros((int(groups.max()) + 1, rows.shape[1]))
    np.add.at(summed, groups, rows)
    return summed


def resampled(
    systems: Mapping[str, Measured], places: Numbers, groups: Numbers | None, resamples: int, seed: int
) -> dict[str, dict[str, Numbers]]:
    """Each tested metric of each system in each resample of the rows in `places`: system -> metric -> (resamples,)."""
    blocks: dict[tuple[str, str], Numbers] = {}
    for system, measured in systems.items():
        for name, metric in measured.metrics.items():
            if metric.tested:
                blocks[system, name] = by_group(measured.rows[name][places], groups)
    units = next(iter(blocks.values())).shape[0]
    table = np.concatenate(list(blocks.values()), axis=1)
    ends = np.cumsum([block.shape[1] for block in blocks.values()])
    sums = np.concatenate([counts @ table for counts in draws(units, resamples, seed)])
    values: dict[str, dict[str, Numbers]] = {system: {} for system in systems}
    for (system, name), part in zip(blocks, np.split(sums, ends[:-1], axis=1), strict=True):
        values[system][name] = systems[system].metrics[name].corpus(part)
    return values


def p_value(observed: float, differences: Numbers) -> float:
    """Two-sided p of no difference: how often a resample strays from the observed value by as much as that is from 0.

    The bootstrap distribution, shifted to 0, stands for the null hypothesis (Efron & Tibshirani 1993, ch. 16). One is
    added to both counts, so that no p is 0 (Davison & Hinkley 1997, ch. 4); equal systems get 1.
    """
    strays = np.abs(differences - observed) >= abs(observed) * (1 - 1e-12)
    return (int(strays.sum()) + 1) / (len(differences) + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (1979): the chance of one false alarm among all metrics stays below the level."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: (p_values[name], name))):
        highest = max(highest, min(1.0, p_values[name] * (len(p_values) - rank)))
        corrected[name] = highest
    return corrected


def compare(
    mine: Measured,
    other: Measured,
    samples: tuple[Mapping[str, Numbers], Mapping[str, Numbers]],
    places: Numbers,
    confidence: float,
) -> dict[str, Difference]:
    """`mine` against `other` on the rows in `places`, for each tested metric that both have.

    `samples` are the values of both in the same resamples. A verdict is given at level 1 - `confidence` after Holm.
    """
    values = mine.values(places), other.values(places)
    names = [name for name, metric in mine.metrics.items() if metric.tested and name in other.metrics]
    away = {name: samples[0][name] - samples[1][name] for name in names}
    p_values = {name: p_value(values[0][name] - values[1][name], away[name]) for name in names}
    corrected = holm(p_values)
    found = {}
    for name in names:
        low, high = np.quantile(away[name], [(1 - confidence) / 2, (1 + confidence) / 2])
        verdict = "no difference seen"
        if corrected[name] < 1 - confidence:
            gain = values[0][name] - values[1][name]
            verdict = "better" if (gain > 0) == (mine.metrics[name].better != "lower") else "worse"
        found[name] = Difference(
            values[0][name], values[1][name], float(low), float(high), p_values[name], corrected[name], verdict
        )
    return found
