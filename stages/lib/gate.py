"""The gate: whether the tuned model is good enough to be merged."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from stages.lib.metrics import METRICS
from stages.lib.statistics import Difference
from stages.plumbing.section import Section


class Gate(Section):
    """What a run has to reach before its weights are merged."""

    metric: str
    min_delta: float = Field(ge=0)
    alpha: float = Field(gt=0, lt=1)
    max_cutoff: float = Field(ge=0, le=1)
    on_no: Literal["continue", "stop", "merge"]

    @field_validator("metric")
    @classmethod
    def _is_tested(cls, name: str) -> str:
        tested = sorted(name for name, metric in METRICS.items() if metric.tested)
        if name not in tested:
            raise ValueError(f"one of the metrics that have a p-value: {', '.join(tested)}")
        return name


REASONS = {
    "gain": "{metric} gained {gain}, less than gate.min_delta {wanted}",
    "no gain": "{metric} did not gain: {gain}",
    "chance": "the difference in {metric} may be chance: p {p}, alpha {wanted}",
    "cut off": "a share of {cut_off} of the answers was cut off, above gate.max_cutoff {wanted}",
}


@dataclass(frozen=True)
class Reason:
    """One reason against merging: a key of REASONS, and the values that its sentence has places for."""

    name: str
    values: dict[str, float | str]

    def __str__(self) -> str:
        shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in self.values.items()}
        return REASONS[self.name].format(**shown)


def judge(gate: Gate, difference: Difference, cutoff_share: float) -> list[Reason]:
    """The reasons against the tuned model; none is a yes.

    `difference` is tuned against baseline on `gate.metric`. That metric is chosen before the run, so its own p-value
    counts, without a correction for the other metrics. A gain is measured in the metric's better direction.
    """
    # To the digits of the reports: a gain that reads 0.05 is one.
    gain = round(-difference.delta if METRICS[gate.metric].better == "lower" else difference.delta, 6)
    reasons = []
    if gain < gate.min_delta:
        reasons.append(Reason("gain", {"metric": gate.metric, "gain": gain, "wanted": gate.min_delta}))
    elif gain <= 0:
        reasons.append(Reason("no gain", {"metric": gate.metric, "gain": gain}))
    if difference.p >= gate.alpha:
        reasons.append(Reason("chance", {"metric": gate.metric, "p": difference.p, "wanted": gate.alpha}))
    if cutoff_share > gate.max_cutoff:
        reasons.append(Reason("cut off", {"cut_off": cutoff_share, "wanted": gate.max_cutoff}))
    return reasons
