"""Answers: the same whatever the batch, in the order of the rows, and honest about why they ended."""

import pytest
import torch
from pydantic import ValidationError

from stages.lib.generation import Answer, Generation, answer_of, answers, draws, end_tokens, stream
from stages.lib.likelihood import LOGITS, logits_and_labels, reference_nll, teacher_forced
from stages.lib.notes import Notes
from stages.lib.prompts import Prompt, encode
from stages.lib.writing import drawn
from tests.lib.tiny import TEXTS, model, tokenizer

ROWS = [{"row_id": n, "line": n, "title": text[: 5 + 3 * n], "response": text} for n, text in enumerate(TEXTS[:6], 1)]
PROMPT = Prompt(template="describe", text=None, max_prompt_tokens=64, max_response_tokens=48)
FAMILIES = ["seq2seq", "causal"]


def generation(**changes) -> Generation:
    settings = {"max_new_tokens": 12, "num_beams": 1, "sample": False, "temperature": 1.0, "top_p": 1.0, "seed": 1}
    return Generation(**settings | {"batch_tokens": 10_000} | changes)


def prompts_of(family: str) -> list[list[int]]:
    return encode(ROWS, PROMPT, tokenizer(family)).prompts


def fickle(family: str):
    """A model of large random weights that ends an answer with any of many tokens: at different places, that is."""
    net = model(family, seed=1)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(8)
    net.generation_config.eos_token_id = list(range(0, len(tokenizer(family)), 7))
    return net


def by_the_library(net, tok, prompts, **options) -> list[list[int]]:
    """What transformers' own loop writes after each prompt alone, up to its end token."""
    found = []
    for prompt in prompts:
        options = {"max_new_tokens": 12, "num_beams": 1, "do_sample": False} | options
        out = net.generate(
            input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            pad_token_id=tok.pad_token_id, eos_token_id=end_tokens(net, tok), **options,
        )  # fmt: skip
        found.append(out[0, 1 if net.config.is_encoder_decoder else len(prompt) :].tolist())
    return found


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_the_same_whatever_the_batch(family, beams):
    net, tok, prompts = fickle(family), tokenizer(family), prompts_of(family)
    assert len({len(prompt) for prompt in prompts}) > 1
    alone, pairs, together = (
        answers(net, tok, prompts, generation(batch_tokens=tokens, num_beams=beams), None)
        for tokens in (1, 2 * beams * (max(map(len, prompts)) + 12), 10_000)
    )
    assert alone == pairs == together
    assert len({answer.text for answer in alone}) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_dropping_finished_rows_from_a_batch_changes_no_answer(family):
    net, tok, prompts = fickle(family), tokenizer(family), prompts_of(family)
    found = answers(net, tok, prompts, generation(), None)
    assert len({answer.tokens for answer in found}) > 2, "answers that end at different steps"
    ends = end_tokens(net, tok)
    assert found == [answer_of(ids, tok, ends) for ids in by_the_library(net, tok, prompts)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawn_answer_depends_on_seed_and_prompt_alone(family):
    net, tok, prompts = model(family), tokenizer(family), prompts_of(family)
    alone, together, other = (
        answers(net, tok, rows, generation(sample=True, seed=seed, batch_tokens=tokens), None)
        for rows, seed, tokens in ((prompts, 1, 1), (prompts, 1, 10_000), (prompts, 2, 10_000))
    )
    assert alone == together
    assert alone != other
    assert answers(net, tok, prompts[::-1], generation(sample=True), None) == together[::-1]
    assert answers(net, tok, [prompts[3], *prompts], generation(sample=True), None) == [together[3], *together]


def test_a_token_is_drawn_as_often_as_it_is_likely():
    likely = torch.tensor([0.5, 0.0, 0.3, 0.2])
    chances = draws([[n] for n in range(400)], generation(sample=True, max_new_tokens=10), "cpu").flatten()
    found = drawn(likely.log().expand(len(chances), 4), chances).bincount(minlength=4) / len(chances)
    assert found[1] == 0
    assert found.tolist() == pytest.approx(likely.tolist(), abs=0.03)


def test_the_likeliest_is_always_drawn_when_top_p_leaves_no_other():
    net, tok, prompts = model("causal"), tokenizer("causal"), prompts_of("causal")
    greedy = answers(net, tok, prompts, generation(), None)
    assert answers(net, tok, prompts, generation(sample=True, top_p=1e-6), None) == greedy


def test_beams_and_chance_exclude_each_other():
    with pytest.raises(ValidationError, match="num_beams: 1 with sample: true"):
        generation(sample=True, num_beams=2)


@pytest.mark.parametrize("family", FAMILIES)
def test_beams_find_what_the_library_finds(family):
    net, tok, prompts = model(family), tokenizer(family), prompts_of(family)
    found = answers(net, tok, prompts, generation(num_beams=3), None)
    expected = by_the_library(net, tok, prompts, num_beams=3)
    assert found == [answer_of(ids, tok, [tok.eos_token_id]) for ids in expected]


def test_habits_that_a_checkpoint_brings_along_change_nothing():
    net, tok, prompts = model("seq2seq"), tokenizer("seq2seq"), prompts_of("seq2seq")
    plain = answers(net, tok, prompts, generation(), None)
    net.generation_config.repetition_penalty = 5.0
    net.generation_config.no_repeat_ngram_size = 1
    assert answers(net, tok, prompts, generation(), None) == plain


def test_a_token_that_the_model_says_ends_an_answer_ends_it():
    net, tok, prompt = fickle("causal"), tokenizer("causal"), prompts_of("causal")[0]
    net.generation_config.eos_token_id = tok.eos_token_id
    first, second, *_ = by_the_library(net, tok, [prompt])[0]
    assert first != second
    net.generation_config.eos_token_id = [tok.eos_token_id, second]
    [answer] = answers(net, tok, [prompt], generation(), None)
    assert (answer.text, answer.tokens, answer.finish) == (tok.decode([first]).strip(), 2, "eos")


def test_an_answer_ends_at_its_first_end_token():
    tok = tokenizer("causal")
    ids = tok("Panela", add_special_tokens=False)["input_ids"]
    ended = answer_of([*ids, tok.eos_token_id, tok.pad_token_id], tok, [tok.eos_token_id])
    assert (ended.text, ended.tokens, ended.finish) == ("Panela", len(ids) + 1, "eos")
    cut = answer_of(ids, tok, [tok.eos_token_id])
    assert (cut.text, cut.tokens, cut.finish) == ("Panela", len(ids), "length")


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_streamed_answer_is_the_answer_in_a_batch_and_comes_token_by_token(family, sample):
    net, tok, prompts = fickle(family), tokenizer(family), prompts_of(family)
    how = generation(sample=sample)
    tokens: list[int] = []
    answer = stream(net, tok, prompts[0], how, lambda new: tokens.extend(new.tolist()))
    assert answer == answers(net, tok, prompts, how, None)[0]
    assert len(tokens) == answer.tokens
    assert answer_of(tokens, tok, end_tokens(net, tok)) == answer


def test_rows_that_were_answered_before_are_not_answered_again():
    net, tok, prompts = model("causal"), tokenizer("causal"), prompts_of("causal")
    notes = Notes()
    notes.add([1, 4], [["as it was", 3, "eos"], ["also", 2, "eos"]])
    asked = []
    generate = net.generate
    net.generate = lambda **given: asked.append(len(given["input_ids"])) or generate(**given)
    found = answers(net, tok, prompts, generation(), None, notes)
    assert asked == [4]
    assert (found[1], found[4]) == (Answer("as it was", 3, "eos"), Answer("also", 2, "eos"))


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_response_is_supervised(family):
    net, tok = model(family), tokenizer(family)
    encoded = encode(ROWS[:3], PROMPT, tok)
    labels = teacher_forced(encoded.prompts, encoded.responses, net, tok)["labels"]
    for row, response in zip(labels, encoded.responses, strict=True):
        assert row[row != -100].tolist() == response


@pytest.mark.parametrize("family", FAMILIES)
def test_the_likelihood_of_a_reference_is_the_loss_that_the_library_computes(family):
    net, tok = model(family), tokenizer(family)
    encoded = encode(ROWS[:4], PROMPT, tok)
    sums = reference_nll(net, tok, encoded.prompts, encoded.responses, 10_000)
    for index, total in enumerate(sums):
        inputs = teacher_forced([encoded.prompts[index]], [encoded.responses[index]], net, tok)
        with torch.inference_mode():
            mean = net(**inputs).loss.item()
        assert total == pytest.approx(mean * len(encoded.responses[index]), rel=1e-4)


def test_logits_within_the_prompts_are_not_computed():
    net, tok = model("causal"), tokenizer("causal")
    encoded = encode(ROWS[:3], PROMPT, tok)
    inputs = teacher_forced(encoded.prompts, encoded.responses, net, tok)
    logits, labels = logits_and_labels(net, inputs)
    shortest = min(map(len, encoded.prompts))
    assert logits.shape == (3, inputs["labels"].shape[1] - shortest, len(tok))
    assert [row[row != -100].tolist() for row in labels] == encoded.responses


def test_a_large_vocabulary_makes_small_batches_of_likelihoods(monkeypatch):
    net, tok = model("causal"), tokenizer("causal")
    encoded = encode(ROWS, PROMPT, tok)
    sums = reference_nll(net, tok, encoded.prompts, encoded.responses, 10_000)
    sizes = []
    forward = net.forward
    monkeypatch.setattr(net, "forward", lambda **given: sizes.append(given["input_ids"].numel()) or forward(**given))
    monkeypatch.setattr("stages.lib.likelihood.LOGITS", 150 * len(tok))
    small = reference_nll(net, tok, encoded.prompts, encoded.responses, 10_000)
    assert max(sizes) <= 150 < LOGITS // len(tok)
    assert small == pytest.approx(sums, rel=1e-5)
