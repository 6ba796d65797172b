"""The semantic metric: an encoder that is pinned by its content, and the cosine of answer and reference."""

import json
import re
import shutil

import numpy as np
import pytest

from stages.lib.answers import Answers, Questions
from stages.lib.embeddings import identity, load
from stages.lib.evaluators import evaluator
from stages.lib.metrics import METRICS, measure
from stages.plumbing.problem import Problem
from tests.lib.tiny import tiny_bert


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def encoder(bert):
    return load(str(bert), None, identity(bert))


def values(encoder, predictions, references):
    questions = Questions([""] * len(references), references, embed=encoder)
    return measure(Answers(questions, predictions))


def test_a_vector_is_the_mean_over_the_tokens_of_a_text(bert, encoder):
    import torch
    from transformers import BertModel, BertTokenizerFast

    net, tokenizer = BertModel.from_pretrained(bert).eval(), BertTokenizerFast.from_pretrained(bert)
    texts = ["a mesa azul", "é", "a mesa azul", "a cadeira é boa para a casa"]
    vectors = encoder(texts)
    assert vectors.shape == (4, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    for text, vector in zip(texts, vectors, strict=True):
        with torch.inference_mode():
            states = net(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        alone = states.mean(0)
        assert vector == pytest.approx((alone / alone.norm()).numpy(), abs=1e-5), "a batch's padding counts for nothing"


def test_equal_texts_score_one_and_the_others_their_cosine(encoder):
    predictions, references = ["a mesa azul", "mesa", "  "], ["a mesa azul", "cadeira boa", "casa"]
    found = values(encoder, predictions, references)
    one, other = encoder(["mesa"])[0], encoder(["cadeira boa"])[0]
    assert found.row_values("semantic") == pytest.approx([1.0, float(one @ other), 0.0], abs=1e-4)
    assert found.values()["semantic"] == pytest.approx(found.row_values("semantic").mean())
    assert METRICS["semantic"].tested


def test_the_same_texts_give_the_same_numbers_in_any_company(encoder):
    alone = values(encoder, ["mesa azul"], ["cadeira"]).row_values("semantic")
    among = values(encoder, ["mesa azul", "é muito boa para a casa", "x y z"], ["cadeira", "a", "b"])
    assert among.row_values("semantic")[0] == alone[0]


def test_without_an_encoder_there_is_no_such_metric():
    assert "semantic" not in measure(Answers(Questions([""], ["a"]), ["a"])).values()
    with pytest.raises(ValueError, match="an encoder of texts"):
        evaluator("semantic")


def test_texts_longer_than_the_model_are_cut(encoder):
    assert encoder.longest == 12
    assert encoder(["mesa " * 11])[0] == pytest.approx(encoder(["mesa " * 400])[0], abs=1e-5)


def test_an_encoder_is_pinned_by_its_content(bert, encoder, tmp_path):
    assert encoder.signature == f"model:{identity(bert)}|pool:mean|tokens:12"
    with pytest.raises(Problem, match=f"set metrics.semantic_sha256: {identity(bert)}") as told:
        load(str(bert), None, None)
    assert "none yet" in told.value.wanted
    other = shutil.copytree(bert, tmp_path / "other")
    (other / "README.md").write_text("what is not read does not count")
    assert identity(other) == identity(bert)
    config = other / "config.json"
    config.write_text(config.read_text("utf-8").replace('"hidden_act": "gelu"', '"hidden_act": "relu"'), "utf-8")
    with pytest.raises(Problem, match="files with the sha256"):
        load(str(other), None, identity(bert))


def test_a_model_that_is_missing_or_no_encoder_is_told(bert, tmp_path):
    with pytest.raises(Problem, match="no such folder"):
        load(str(tmp_path / "none"), None, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Problem, match=r"no config\.json in it"):
        load(str(tmp_path / "empty"), None, None)
    with pytest.raises(Problem, match="can be downloaded"):
        load("someone/something", "0" * 40, None)  # the tests are offline
    half = shutil.copytree(bert, tmp_path / "half")
    layers = json.loads((half / "config.json").read_text("utf-8"))
    (half / "config.json").write_text(json.dumps(layers | {"num_hidden_layers": 2}), "utf-8")
    with pytest.raises(Problem, match="lacks 16 weights"):
        load(str(half), None, identity(half))
    (half / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(Problem, match="an encoder that transformers reads") as told:
        load(str(half), None, identity(half))
    assert not re.search("Traceback", str(told.value))
