"""The bootstrap agrees with sacreBLEU's, covers the truth as often as it says, and is never surer than it may be."""

import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from stages.lib.answers import Answers, Questions
from stages.lib.metrics import METRICS, mean_over_answers, measure
from stages.lib.statistics import by_group, compare, draws, holm, p_value, resampled

WORDS = ["mesa", "azul", "de", "madeira", "com", "quatro", "gavetas", "e", "pés", "firmes", "não", "é", "leve"]


def systems(rows=60, kept=(0.6, 0.8), seed=3):
    """A worse and a better system: sentences of which they keep a share of the words."""
    chance = random.Random(seed)
    references = [" ".join(chance.choices(WORDS, k=12)) for _ in range(rows)]
    questions = Questions(references, references)
    told = [[" ".join(w for w in r.split() if chance.random() < keep) for r in references] for keep in kept]
    return {name: measure(Answers(questions, texts)) for name, texts in zip(("base", "mine"), told, strict=True)}


def test_resamples_are_those_of_sacrebleus_own_paired_bootstrap():
    both = systems()
    texts = {name: measured.answers.predictions for name, measured in both.items()}
    references = both["base"].answers.questions.references
    named = {"BLEU": BLEU(references=[references]), "chrF2": CHRF(references=[references])}
    _, theirs = PairedTest(list(texts.items()), named, None, test_type="bs", n_samples=400)()
    ours = resampled(both, np.arange(60), None, 400, seed=12345)  # the seed that sacreBLEU uses
    for name, column in (("bleu", "BLEU"), ("chrf", "chrF2")):
        result = theirs[column][1]
        mine, base = ours["mine"][name], ours["base"][name]
        assert both["mine"].values()[name] == pytest.approx(result.score, abs=1e-9)
        assert mine.mean() == pytest.approx(result.mean, abs=1e-4)  # they sum in single precision
        ordered = np.sort(mine)
        assert (ordered[-11] - ordered[10]) / 2 == pytest.approx(result.ci, abs=1e-4)
        away = np.abs(mine - base)
        real = abs(both["mine"].values()[name] - both["base"].values()[name])
        assert (np.sum(away - away.mean() > real) + 1) / 401 == pytest.approx(result.p_value)


def test_draws_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    at_once = np.concatenate(list(draws(37, 50, seed=9)))
    monkeypatch.setattr("stages.lib.statistics.BLOCK", 37 * 8 * 7)
    assert np.array_equal(np.concatenate(list(draws(37, 50, seed=9))), at_once)
    assert at_once.shape == (50, 37)
    assert (at_once.sum(axis=1) == 37).all()


def test_a_system_against_itself_is_no_difference():
    one = systems()["mine"]
    samples = resampled({"one": one}, np.arange(60), None, 200, seed=1)["one"]
    found = compare(one, one, (samples, samples), np.arange(60), 0.95)
    assert {row.p for row in found.values()} == {1.0}
    assert {row.verdict for row in found.values()} == {"no difference seen"}
    assert {(row.delta, row.low, row.high) for row in found.values()} == {(0.0, 0.0, 0.0)}


def test_a_clear_difference_is_seen_from_both_ends():
    both = systems(kept=(0.4, 0.9))
    samples = resampled(both, np.arange(60), None, 300, seed=1)
    better = compare(both["mine"], both["base"], (samples["mine"], samples["base"]), np.arange(60), 0.95)
    worse = compare(both["base"], both["mine"], (samples["base"], samples["mine"]), np.arange(60), 0.95)
    assert {row.verdict for row in better.values()} == {"better"}
    assert {row.verdict for row in worse.values()} == {"worse"}
    assert better["rougeL"].low > 0.2
    assert worse["rougeL"].high == pytest.approx(-better["rougeL"].low)


def test_less_perplexity_is_better():
    questions = Questions([""] * 40, ["a"] * 40)
    nll = np.linspace(0.9, 1.1, 40)
    told = {
        name: measure(Answers(questions, ["a"] * 40, ["eos"] * 40, nll * factor, np.ones(40)))
        for name, factor in (("base", 2.0), ("mine", 1.0))
    }
    samples = resampled(told, np.arange(40), None, 200, seed=1)
    found = compare(told["mine"], told["base"], (samples["mine"], samples["base"]), np.arange(40), 0.95)
    assert found["perplexity"].delta < 0
    assert found["perplexity"].verdict == "better"


def simulated(rows, gain, chance):
    """Two systems whose rows of one metric differ by `gain` on average."""
    metric = {"x": mean_over_answers("x.", lambda answers: list(answers.nll), tested=True)}
    questions = Questions([""] * rows, [""] * rows)
    hardness = chance.normal(size=rows)
    scores = {"base": hardness + chance.normal(size=rows), "mine": hardness + gain + chance.normal(size=rows)}
    return {name: measure(Answers(questions, [""] * rows, None, values), metric) for name, values in scores.items()}


def one_trial(rows, gain, chance, seed):
    both = simulated(rows, gain, chance)
    samples = resampled(both, np.arange(rows), None, 400, seed)
    return compare(both["mine"], both["base"], (samples["mine"], samples["base"]), np.arange(rows), 0.95)["x"]


def test_intervals_cover_the_truth_as_often_as_they_say():
    chance = np.random.default_rng(11)
    found = [one_trial(120, 0.3, chance, seed) for seed in range(500)]
    covered = np.mean([row.low <= 0.3 <= row.high for row in found])
    assert 0.93 <= covered <= 0.97


def test_p_values_of_equal_systems_are_uniform():
    chance = np.random.default_rng(12)
    p_values = np.array([one_trial(120, 0.0, chance, seed).p for seed in range(500)])
    for level in (0.05, 0.25, 0.5, 0.75):
        # Four standard errors of a share of 500 trials, and one per mille for the p-value's own steps.
        assert np.mean(p_values <= level) == pytest.approx(level, abs=4 * (level * (1 - level) / 500) ** 0.5 + 0.001)


def test_rows_of_one_group_are_drawn_together():
    rows = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    assert by_group(rows, np.array([0, 1, 0, 1])).tolist() == [[2.0, 2.0], [1.0, 2.0]]
    both = simulated(100, 0.2, np.random.default_rng(5))
    alone = resampled(both, np.arange(100), None, 300, seed=1)
    # Each row ten times over is no new knowledge: the interval must be that of the rows, not of the copies.
    places = np.repeat(np.arange(100), 10)
    grouped = resampled(both, places, places, 300, seed=1)
    naive = resampled(both, places, None, 300, seed=1)
    assert grouped["mine"]["x"] == pytest.approx(alone["mine"]["x"])
    assert naive["mine"]["x"].std() < 0.5 * alone["mine"]["x"].std()


def test_p_values_are_never_zero_and_one_for_no_difference():
    assert p_value(5.0, np.full(99, 5.0)) == 0.01
    assert p_value(0.0, np.array([-1.0, 0.0, 1.0])) == 1.0


def test_holm_corrects_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}  # 0.005×4, 0.01×3, 0.03×2, then never less than the one before
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_every_tested_metric_has_numbers_for_each_row():
    assert [name for name, metric in METRICS.items() if metric.tested] == [
        "rouge1", "rouge2", "rougeL", "bleu", "chrf", "perplexity", "semantic", "prompt_words_used",
    ]  # fmt: skip
    assert all(metric.rows and metric.corpus for metric in METRICS.values() if metric.tested)
