"""The gate: when the tuned model may be merged."""

import pytest
from pydantic import ValidationError

from stages.lib.gate import Gate, judge
from stages.lib.statistics import Difference

RULES = {"metric": "rougeL", "min_delta": 0.05, "alpha": 0.05, "max_cutoff": 0.2, "on_no": "continue"}


def difference(mine, other, p):
    return Difference(mine, other, mine - other - 0.01, mine - other + 0.01, p, p, "better")


@pytest.mark.parametrize(
    ("mine", "other", "p", "cut_off", "against"),
    [
        (0.75, 0.13, 0.001, 0.0, []),
        (0.18, 0.13, 0.001, 0.0, []),  # 0.04999999999999999 in floating point
        (0.1799, 0.13, 0.001, 0.0, ["gain"]),
        (0.15, 0.13, 0.001, 0.0, ["gain"]),
        (0.10, 0.13, 0.001, 0.0, ["gain"]),
        (0.75, 0.13, 0.05, 0.0, ["chance"]),
        (0.75, 0.13, 0.049, 0.2, []),
        (0.75, 0.13, 0.001, 0.201, ["cut off"]),
        (0.10, 0.13, 0.9, 1.0, ["gain", "chance", "cut off"]),
    ],
)
def test_a_no_names_each_of_its_reasons(mine, other, p, cut_off, against):
    assert [reason.name for reason in judge(Gate(**RULES), difference(mine, other, p), cut_off)] == against


def test_no_gain_is_a_no_even_when_none_is_asked_for():
    gate = Gate(**RULES | {"min_delta": 0})
    assert [reason.name for reason in judge(gate, difference(0.5, 0.5, 0.001), 0.0)] == ["no gain"]
    assert judge(gate, difference(0.51, 0.5, 0.001), 0.0) == []


def test_less_perplexity_is_a_gain():
    gate = Gate(**RULES | {"metric": "perplexity", "min_delta": 1})
    assert judge(gate, difference(2.0, 50.0, 0.001), 0.0) == []
    assert [reason.name for reason in judge(gate, difference(50.0, 2.0, 0.001), 0.0)] == ["gain"]


def test_reasons_are_sentences():
    reasons = judge(Gate(**RULES), difference(0.15, 0.13, 0.3), 0.5)
    assert [str(reason) for reason in reasons] == [
        "rougeL gained 0.02, less than gate.min_delta 0.05",
        "the difference in rougeL may be chance: p 0.3, alpha 0.05",
        "a share of 0.5 of the answers was cut off, above gate.max_cutoff 0.2",
    ]


@pytest.mark.parametrize("wrong", [{"metric": "rougel"}, {"metric": "distinct1"}, {"on_no": "fail"}, {"alpha": 0}])
def test_a_gate_that_cannot_be_judged_is_refused(wrong):
    with pytest.raises(ValidationError):
        Gate(**RULES | wrong)
