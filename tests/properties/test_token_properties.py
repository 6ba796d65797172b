"""Token ids: what is made many rows at a time, by threads, is what the tokenizer gives when it is called."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, ByT5Tokenizer, LlamaTokenizer, T5Tokenizer

from stages.lib import prompts
from stages.lib.prompts import Prompt, encode, render
from tests.lib.tiny import tokenizer
from tests.shapes import CHAT

SPIECE = Path(__file__).parents[3] / "shared/data/tokenizer_pt/spm_32000_pt.model"
PIECES = [("▁", -2.0), ("▁copo", -3.0), ("co", -4.0), ("po", -4.0), *((letter, -6.0) for letter in "abcdeopuz<>/s")]


def unigram() -> Any:
    """A T5's of ten pieces: most letters are unknown to it."""
    return T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *PIECES])


def llama() -> Any:
    """A Llama's, which writes what it does not know byte by byte, and puts its first token before a prompt."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    words = {word: n for n, word in enumerate(["<unk>", "<s>", "</s>", *bytes_, "▁", "c", "o", "p", "co", "▁co"])}
    return LlamaTokenizer(vocab=words, merges=[("c", "o"), ("▁", "co")], add_bos_token=True)


def in_chat(made: Any) -> Any:
    made.chat_template = CHAT
    return made


def converted(folder: Path) -> Any:
    """PTT5's, of which there is the one file of SentencePiece."""
    (folder / "spiece.model").write_bytes(SPIECE.read_bytes())
    (folder / "config.json").write_text('{"model_type": "t5"}')
    return AutoTokenizer.from_pretrained(folder)


MADE = {
    "scratch T5": lambda: tokenizer("seq2seq"),
    "scratch Llama": lambda: tokenizer("causal"),
    "unigram T5": unigram,
    "Llama": llama,
    "ByT5, in Python": ByT5Tokenizer,
}


@pytest.fixture(scope="module", params=[*MADE, "spiece.model"])
def words(request, tmp_path_factory) -> Any:
    if request.param in MADE:
        return MADE[request.param]()
    if not SPIECE.is_file():
        pytest.skip("../shared/data is not here")
    return converted(tmp_path_factory.mktemp("ptt5"))


SPECIAL = st.sampled_from(
    ["</s>", "<s>", "<pad>", "<unk>", "<extra_id_0>", "<0x0A>", "▁", " ", "\n", "copo", "{title}"]
)
TEXTS = st.lists(SPECIAL | st.text(st.characters(exclude_categories=["Cs"])), max_size=8).map("".join)
PROMPT = Prompt(template="custom", text="De {title}:", max_prompt_tokens=9999, max_response_tokens=9999)


def plain(words: Any, texts: list[str], *, special: bool) -> list[list[int]]:
    return [words(text, add_special_tokens=special)["input_ids"] for text in texts]


@given(texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_ids_are_those_of_the_tokenizers_own_call(words, texts):
    rows = [{"title": title, "response": response} for title, response in texts]
    made = encode(rows, PROMPT, words)
    assert made.prompts == plain(words, [f"De {title}:" for title, _ in texts], special=True)
    responses = plain(words, [response for _, response in texts], special=False)
    assert made.responses == [[*ids, words.eos_token_id] for ids in responses]


@given(titles=st.lists(TEXTS, min_size=1, max_size=5))
def test_ids_of_chats_are_those_of_the_tokenizers_own_call(titles):
    words = in_chat(llama())
    rows = [{"title": title, "response": ""} for title in titles]
    chats = [render(prompts.TEMPLATES["chat"], row, words) for row in rows]
    chat = PROMPT.model_copy(update={"template": "chat", "text": None})
    made = encode(rows, chat, words)
    assert made.texts == chats
    assert made.prompts == plain(words, chats, special=False)


def test_a_text_of_a_million_characters_is_read_to_its_end(words):
    long = "um copo </s> de água, " * 45_000
    [ids] = encode(
        [{"title": "", "response": long}], PROMPT.model_copy(update={"max_response_tokens": 10**7}), words
    ).responses
    assert ids == [*plain(words, [long], special=False)[0], words.eos_token_id]


def test_many_texts_keep_their_order(words):
    rows = [{"title": str(n), "response": ""} for n in range(2 * prompts.AT_A_TIME + 1)]
    made = encode(rows, PROMPT, words)
    assert made.prompts == words([f"De {n}:" for n in range(len(rows))])["input_ids"]


def test_no_rows_have_no_ids(words):
    assert encode([], PROMPT, words).prompts == []


def test_the_length_that_was_saved_with_a_tokenizer_cuts_nothing(tmp_path):
    """The default base's is saved as it was used last: cutting texts at the positions of the model."""
    made = tokenizer("seq2seq")
    made(["copo"], truncation=True, max_length=8)
    made.save_pretrained(tmp_path)
    words = AutoTokenizer.from_pretrained(tmp_path)
    assert words.backend_tokenizer.truncation["max_length"] == 8
    [ids] = encode([{"title": "copo " * 50, "response": ""}], PROMPT, words).prompts
    assert len(ids) > 50
    assert words.backend_tokenizer.truncation is None


class Doubling(type(tokenizer("causal"))):
    """A tokenizer with a call of its own, as some models bring one."""

    def _encode_plus(self, text: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._encode_plus([part * 2 for part in text], *args, **kwargs)


def test_a_tokenizer_with_a_call_of_its_own_is_called(tmp_path):
    tokenizer("causal").save_pretrained(tmp_path)
    words = Doubling.from_pretrained(tmp_path)
    [ids] = encode([{"title": "", "response": "copo"}], PROMPT, words).responses
    assert ids == [*tokenizer("causal")("copocopo", add_special_tokens=False)["input_ids"], words.eos_token_id]
