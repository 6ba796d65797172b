"""The metrics agree with their reference implementations and with sums made by hand."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sacrebleu.metrics import BLEU, CHRF

from stages.lib.answers import Answers, Questions
from stages.lib.metrics import METRICS, dirt, mean_over_pairs, measure
from stages.lib.words import words, words_of

REFERENCES = [
    "A Mochila Escolar Velmira de 20 L é impermeável e protege seus pertences da chuva.",
    "Ideal para escola, trabalho e viagens curtas.",
    "Não deve ser lavada na máquina.\nSeque à sombra.\nUse sabão neutro.",
    "Sua capacidade é de 20 L.",
    "curta",
    "um dois três quatro cinco seis sete",
]
PREDICTIONS = [
    "A Mochila Velmira Escolar é impermeavel, protege da chuva e protege da chuva.",
    "Ideal para viagens curtas, escola e trabalho!",
    "Seque à sombra.\nNão lave na máquina.",
    "",
    "curta",
    "sete seis cinco quatro três dois um",
]


class UnicodeWords(Tokenizer):
    def tokenize(self, text):
        return words(text)


def measured(predictions=PREDICTIONS, references=REFERENCES, inputs=None, **more):
    questions = Questions(inputs or [""] * len(references), references, **more)
    return measure(Answers(questions, predictions))


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_of_each_row_is_rouge_score_with_a_unicode_tokeniser(name):
    scorer = RougeScorer([name], tokenizer=UnicodeWords())
    pairs = zip(REFERENCES, PREDICTIONS, strict=True)
    wanted = [scorer.score(reference, prediction)[name].fmeasure for reference, prediction in pairs]
    assert measured().row_values(name) == pytest.approx(wanted, abs=1e-9)
    assert measured().values()[name] == pytest.approx(np.mean(wanted), abs=1e-9)


@pytest.mark.parametrize(
    ("predictions", "references"),
    [
        (PREDICTIONS, REFERENCES),
        (["a x y z w"], ["a b c d e f"]),  # orders without a match are smoothed
        (["a b"], ["a b"]),  # too short for four words
        ([""], ["a b c d e"]),
        (["q w e r t"], ["a s d f g"]),
        (["a b c d e"], ["a b c d e"]),
        (["a b c d"], ["a b c d e f g h i"]),  # brevity
    ],
)
@pytest.mark.parametrize(("name", "scorer"), [("bleu", BLEU()), ("chrf", CHRF())])
def test_corpus_scores_are_sacrebleus(name, scorer, predictions, references):
    wanted = scorer.corpus_score(predictions, [references]).score
    assert measured(predictions, references).values()[name] == pytest.approx(wanted, abs=1e-9)


def test_corpus_scores_are_what_a_person_computes_by_hand():
    # All n-grams of the four words match; brevity is exp(1 - 9/4).
    assert measured(["a b c d"], ["a b c d e f g h i"]).values()["bleu"] == pytest.approx(100 * math.exp(-1.25))
    # One of two letters matches, the pair of letters does not: precision and recall are (1/2 + 0) / 2, and so is F2.
    assert measured(["ab"], ["ac"]).values()["chrf"] == pytest.approx(25.0)


def test_bleu_of_each_row_is_the_corpus_score_of_that_row_alone():
    wanted = [BLEU().corpus_score([p], [[r]]).score for p, r in zip(PREDICTIONS, REFERENCES, strict=True)]
    assert measured().row_values("bleu") == pytest.approx(wanted, abs=1e-9)


def test_accents_count():
    assert measured(["é"], ["é"]).values()["rougeL"] == 1.0
    assert measured(["e"], ["é"]).values()["rougeL"] == 0.0
    assert measured(["e\u0301"], ["é"]).values()["rougeL"] == 1.0, "composed and decomposed are the same letter"
    assert measured(["É AÇÃO"], ["é ação"]).values()["rougeL"] == 1.0


def test_endings_count_unless_a_stemmer_is_asked_for():
    assert measured(["mochilas"], ["mochila"]).values()["rouge1"] == 0.0
    assert measured(["mochilas"], ["mochila"], tokenise=words_of("portuguese")).values()["rouge1"] == 1.0


def test_each_metric_is_what_a_person_computes_by_hand():
    questions = Questions(
        inputs=["Mesa Azul", "Cadeira Rosa"],
        references=["a mesa azul", "a cadeira"],
        known=frozenset({"a mesa verde"}),
    )
    answers = Answers(
        questions,
        predictions=["a mesa verde", "a  cadeira"],
        finish=["length", "eos"],
        nll=np.array([2.0, 4.0]),
        tokens=np.array([2, 1]),
    )
    values = measure(answers).values()
    assert values["rouge1"] == pytest.approx((2 / 3 + 1) / 2)  # 2 of 3 words, then all of 2
    assert values["rouge2"] == pytest.approx((1 / 2 + 1) / 2)  # 1 of 2 pairs, then 1 of 1
    assert values["rougeL"] == pytest.approx((2 / 3 + 1) / 2)
    assert values["rougeLsum"] == values["rougeL"]
    assert values["exact_match"] == 0.5  # white space is no difference
    assert values["perplexity"] == pytest.approx(math.exp(6 / 3))
    assert values["prompt_words_used"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert values["length_ratio"] == 1.0  # 5 words, 5 words
    assert values["distinct1"] == pytest.approx(4 / 5)  # a, mesa, verde, cadeira
    assert values["distinct2"] == 1.0  # a mesa, mesa verde, a cadeira
    assert values["empty_share"] == 0.0
    assert values["cutoff_share"] == 0.5
    assert values["repeat_share"] == 0.0
    assert values["train_copy_share"] == 0.5
    assert values["dirty_share"] == 0.0


def test_a_system_without_a_model_has_no_perplexity_and_no_cut_offs():
    assert {"perplexity", "cutoff_share"}.isdisjoint(measured().values())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("caf&eacute; quente", "entity"),
        ("a &amp;amp; b", "entity"),
        ("dez &#233;", "entity"),
        ("<b>novo</b>", "tag"),
        ("linha<br />nova", "tag"),
        ("lÃ¢mpada com emissÃ£o", "mojibake"),
        ("o car\ufffdcter", "mojibake"),
        ("Johnson & Johnson; R$ 10 < R$ 20, 5 > 3", ""),
        ("ação, ñandú, 20 °C – “sim”", ""),
        ("&inventada;", ""),
        ("", ""),
    ],
)
def test_dirt_is_told_from_clean_text(text, kind):
    assert dirt(text) == kind


def test_a_loop_is_a_run_of_three_words_said_thrice():
    assert measured(["muito bom mesmo muito bom mesmo muito bom mesmo"], ["x"]).values()["repeat_share"] == 1.0
    assert measured(["muito bom mesmo muito bom mesmo"], ["x"]).values()["repeat_share"] == 0.0


def test_a_new_metric_is_a_function_and_a_line():
    """The example of docs/adding.md, run as it stands there."""
    text = (Path(__file__).parents[2] / "docs/adding.md").read_text("utf-8")
    example = re.search(r"## A metric.*?```python\n(.*?)```", text, re.DOTALL).group(1)
    mine = dict(METRICS)
    exec(example, {"METRICS": mine, "mean_over_pairs": mean_over_pairs})  # noqa: S102 - our own page
    assert set(mine) - set(METRICS) == {"same_start"}
    answers = Answers(Questions(["", ""], ["azul", "verde"]), ["anil", "rosa"])
    assert measure(answers, mine).values()["same_start"] == 0.5


def test_every_metric_says_what_it_is_and_keeps_to_its_range():
    values = measured().values()
    for name, metric in METRICS.items():
        assert metric.definition.endswith(".")
        if name in values:
            assert metric.low <= values[name] <= (metric.high if metric.high is not None else math.inf), name


def test_any_metric_can_be_asked_through_the_evaluate_library():
    from stages.lib.evaluators import evaluator

    pairs = {"predictions": PREDICTIONS, "references": REFERENCES}
    for name in ("rougeL", "bleu", "dirty_share"):
        assert evaluator(name).compute(**pairs) == {name: pytest.approx(measured().values()[name])}
    asked = evaluator("prompt_words_used").compute(predictions=["mesa"], references=["x"], inputs=["Mesa Azul"])
    assert asked == {"prompt_words_used": 0.5}
    with pytest.raises(ValueError, match="only a model has"):
        evaluator("perplexity")
