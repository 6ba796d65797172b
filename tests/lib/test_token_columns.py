"""Token ids in columns are what the lists were, and what each family learns from."""

import pytest

from stages.lib import token_columns
from stages.lib.prompts import Encoded, Prompt, encode
from stages.lib.token_columns import columns_of, in_columns
from stages.lib.training import dataset
from tests.lib.tiny import TEXTS, tokenizer

PROMPT = Prompt(template="describe", text=None, max_prompt_tokens=40, max_response_tokens=16)
ROWS = [{"title": text * (1 + n % 2), "response": text * (n % 3)} for n, text in enumerate(TEXTS)]
TWO = Encoded(["", ""], [[5, 6], [7]], [[8, 1], [9, 9, 9, 1]], shortened=0, cut=1)


def test_a_t5_reads_the_prompt_and_learns_the_response():
    assert dataset(columns_of([TWO]), "seq2seq").to_dict() == {
        "input_ids": [[5, 6], [7]],
        "labels": [[8, 1], [9, 9, 9, 1]],
        "length": [2, 4],
    }


def test_a_llama_reads_both_and_learns_the_response_alone():
    assert dataset(columns_of([TWO]), "causal").to_dict() == {
        "input_ids": [[5, 6, 8, 1], [7, 9, 9, 9, 1]],
        "labels": [[-100, -100, 8, 1], [-100, 9, 9, 9, 1]],
        "length": [4, 5],
    }


@pytest.mark.parametrize("at_a_time", [1, 7, 24, 1000])
@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_rows_taken_some_at_a_time_are_those_taken_at_once(family, at_a_time, monkeypatch):
    monkeypatch.setattr(token_columns, "AT_A_TIME", at_a_time)
    found = in_columns(ROWS, PROMPT, tokenizer(family))
    once = encode(ROWS, PROMPT, tokenizer(family))
    assert found.table["prompt"].to_pylist() == once.prompts
    assert found.table["response"].to_pylist() == once.responses
    assert (found.shortened, found.cut) == (once.shortened, once.cut)
    assert 0 < once.shortened < 24
    assert 0 < once.cut < 24
    assert dataset(found, family).to_dict() == dataset(columns_of([once]), family).to_dict()


def test_lengths_are_counted_for_each_row():
    columns = columns_of([TWO, TWO])
    assert columns.lengths("prompt").tolist() == [2, 1, 2, 1]
    assert columns.lengths("response").tolist() == [2, 4, 2, 4]
    assert columns.cut == 2
