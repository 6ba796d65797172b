"""Prompts: what the model reads and what it should write."""

import pytest

from stages.lib.prompts import TEMPLATES, Prompt, Template, encode, fields_of, render, template_of
from stages.plumbing.problem import Problem
from tests.lib.tiny import tokenizer

ROW = {"row_id": 1, "line": 1, "title": "Panela Wok", "response": "A Panela Wok cozinha."}


def prompt(**changes) -> Prompt:
    return Prompt(
        **{"template": "describe", "text": None, "max_prompt_tokens": 64, "max_response_tokens": 64} | changes
    )


def test_the_product_question_is_written_as_the_requirement_gives_it():
    assert render(TEMPLATES["product-question"], ROW, None) == (
        'Pergunta: Qual é a descrição do produto "Panela Wok"?\n'
        "Contexto: título = Panela Wok\n"
        "Responda apenas com a descrição."
    )


def test_the_tarot_template_takes_four_fields():
    assert fields_of(TEMPLATES["tarot"]) == ["carta", "evento", "secao", "tema"]


def test_braces_in_a_row_are_text_not_fields():
    assert (
        render(TEMPLATES["describe"], ROW | {"title": "{x} {response}"}, None) == "Descreva o produto: {x} {response}"
    )


def test_a_field_that_the_row_lacks_is_named_with_those_it_has():
    with pytest.raises(Problem) as error:
        render(TEMPLATES["tarot"], ROW, None)
    assert "carta, evento, secao, tema" in error.value.found
    assert error.value.wanted == "fields among title"


def test_an_unknown_template_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="alpaca, chat, describe, product-question, question, tarot"):
        prompt(template="alpca")


def test_a_custom_template_is_the_text_of_the_recipe():
    encoded = encode([ROW], prompt(template="custom", text="{title} ->"), tokenizer("seq2seq"))
    assert encoded.texts == ["Panela Wok ->"]


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_a_response_ends_with_the_end_token_even_when_it_is_cut(family):
    tok = tokenizer(family)
    encoded = encode([ROW, ROW | {"response": "palavra " * 100}], prompt(max_response_tokens=8), tok)
    assert [ids[-1] for ids in encoded.responses] == [tok.eos_token_id, tok.eos_token_id]
    assert len(encoded.responses[1]) == 8
    assert encoded.cut == 2


def test_a_long_prompt_loses_the_end_of_its_longest_field_and_keeps_the_template_around_it():
    text = "Antes {title} depois"
    encoded = encode(
        [ROW | {"title": "longo " * 200}],
        prompt(template="custom", text=text, max_prompt_tokens=40),
        tokenizer("causal"),
    )
    assert encoded.shortened == 1
    assert encoded.texts[0].startswith("Antes longo")
    assert encoded.texts[0].endswith(" depois")
    assert len(encoded.prompts[0]) <= 40


def test_rows_that_are_shortened_together_are_shortened_as_each_would_be_alone():
    rows = [
        ROW | {"title": "longo " * times, "material": "vidro " * (60 - times), "paraphrase": asked}
        for times in range(0, 60, 7)
        for asked in (None, "Fale de {title} em {material}.")
    ]
    asking = prompt(template="custom", text="{material}: {title}", max_prompt_tokens=40)
    together = encode(rows, asking, tokenizer("causal"))
    alone = [encode([row], asking, tokenizer("causal")) for row in rows]
    assert together.shortened == len(rows) == 18
    assert together.texts == [one.texts[0] for one in alone]
    assert together.prompts == [one.prompts[0] for one in alone]
    assert max(map(len, together.prompts)) <= 40


def test_a_template_that_is_itself_too_long_is_an_error():
    with pytest.raises(Problem, match="template alone"):
        encode([ROW], prompt(template="product-question", max_prompt_tokens=6), tokenizer("causal"))


def test_a_chat_template_needs_a_tokenizer_that_has_one():
    with pytest.raises(Problem, match="tokenizer has none"):
        encode([ROW], prompt(template="chat"), tokenizer("causal"))


@pytest.mark.parametrize("text", ["emoji 🎉 e ação", "\ufffd quebrado", "quebra\nde linha\te tab", "日本語"])
@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_a_scratch_tokenizer_reads_and_writes_back_any_text(family, text):
    tok = tokenizer(family)
    ids = tok(text, add_special_tokens=False)["input_ids"]
    assert tok.decode(ids).strip() == text


def test_a_copy_is_asked_with_its_paraphrase_and_other_rows_with_the_template():
    own = Template("Descreva: {title}", system="Sê breve.", chat=True)
    assert template_of({"title": "copo"}, own) is own
    assert template_of({"title": "copo", "paraphrase": None}, own) is own
    asked = template_of({"title": "copo", "paraphrase": "Fale de {title}."}, own)
    assert asked == Template("Fale de {title}.", system="Sê breve.", chat=True)
    rows = [ROW, {**ROW, "copy": 1, "paraphrase": "Fale de {title}."}]
    assert encode(rows, prompt(), tokenizer("seq2seq")).texts == [
        "Descreva o produto: Panela Wok",
        "Fale de Panela Wok.",
    ]
