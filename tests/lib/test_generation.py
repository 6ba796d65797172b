"""Answers: the same whatever the batch, in the order of the rows, and honest about why they ended."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.lib.generation import (
    Generation,
    answer_of,
    answers,
    batches_by_length,
    padded,
    reference_nll,
    teacher_forced,
)
from stages.lib.prompts import Prompt, encode
from tests.lib.tiny import TEXTS, model, tokenizer

ROWS = [{"row_id": n, "line": n, "title": text[: 5 + 3 * n], "response": text} for n, text in enumerate(TEXTS[:6], 1)]
PROMPT = Prompt(template="describe", text=None, max_prompt_tokens=64, max_response_tokens=48)


def generation(**changes) -> Generation:
    settings = {"max_new_tokens": 12, "num_beams": 1, "sample": False, "temperature": 1.0, "top_p": 1.0, "seed": 1}
    return Generation(**settings | {"batch_tokens": 10_000} | changes)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 300))
def test_batches_hold_every_row_once_and_stay_within_the_budget(lengths, budget):
    batches = batches_by_length(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_answers_are_the_same_whatever_the_batch(family):
    net, tok = model(family), tokenizer(family)
    prompts = encode(ROWS, PROMPT, tok).prompts
    alone = answers(net, tok, prompts, generation(batch_tokens=1), None)
    together = answers(net, tok, prompts, generation(), None)
    assert alone == together
    assert len({answer.text for answer in alone}) > 1


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_sampling_repeats_with_its_seed(family):
    net, tok = model(family), tokenizer(family)
    prompts = encode(ROWS, PROMPT, tok).prompts
    first, again, other = (answers(net, tok, prompts, generation(sample=True, seed=seed), None) for seed in (1, 1, 2))
    assert first == again != other


def test_an_answer_ends_at_its_first_end_token():
    tok = tokenizer("causal")
    ids = tok("Panela", add_special_tokens=False)["input_ids"]
    ended = answer_of([*ids, tok.eos_token_id, tok.pad_token_id], tok)
    assert (ended.text, ended.tokens, ended.finish) == ("Panela", len(ids) + 1, "eos")
    cut = answer_of(ids, tok)
    assert (cut.text, cut.tokens, cut.finish) == ("Panela", len(ids), "length")


def test_a_decoder_reads_prompts_padded_on_the_left():
    ids, mask = padded([[5, 6], [7]], 0, "left")
    assert ids.tolist() == [[5, 6], [0, 7]]
    assert mask.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_only_the_response_is_supervised(family):
    net, tok = model(family), tokenizer(family)
    encoded = encode(ROWS[:3], PROMPT, tok)
    labels = teacher_forced(encoded.prompts, encoded.responses, net, tok)["labels"]
    for row, response in zip(labels, encoded.responses, strict=True):
        assert row[row != -100].tolist() == response


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_the_likelihood_of_a_reference_is_the_loss_that_the_library_computes(family):
    net, tok = model(family), tokenizer(family)
    encoded = encode(ROWS[:4], PROMPT, tok)
    sums = reference_nll(net, tok, encoded.prompts, encoded.responses, 10_000)
    for index, total in enumerate(sums):
        inputs = teacher_forced([encoded.prompts[index]], [encoded.responses[index]], net, tok)
        with torch.inference_mode():
            mean = net(**inputs).loss.item()
        assert total == pytest.approx(mean * len(encoded.responses[index]), rel=1e-4)
