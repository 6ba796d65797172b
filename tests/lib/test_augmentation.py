"""A copy asks the same in other words, is answered the same, and keeps the identity of its row."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.lib.augmentation import Augmentation, copies_of, drop_words, no_accents, swap_words

OFF = {"swap_words": 0.0, "drop_words": 0.0, "no_accents": 0.0, "small_letters": 0.0}
ROW = {"row_id": 7, "line": 9, "title": "Caneca Azul de Louça", "brand": "Açaí", "response": "Uma caneca."}


def section(copies=1, seed=1, fields=None, paraphrases=(), **methods) -> Augmentation:
    return Augmentation(seed=seed, copies=copies, fields=fields, methods=OFF | methods, paraphrases=list(paraphrases))


def test_without_accents_and_in_small_letters():
    made, ways = copies_of(ROW, section(no_accents=1.0, small_letters=1.0))
    assert made == [
        {
            "row_id": 7,
            "copy": 1,
            "line": 9,
            "title": "caneca azul de louca",
            "brand": "acai",
            "response": "Uma caneca.",
            "paraphrase": None,
        }
    ]
    assert ways == [{"no_accents", "small_letters"}]


def test_only_the_fields_that_are_named_are_altered():
    made, _ = copies_of(ROW, section(fields=["title"], small_letters=1.0))
    assert (made[0]["title"], made[0]["brand"]) == ("caneca azul de louça", "Açaí")


def test_a_copy_that_says_nothing_new_is_not_made():
    made, ways = copies_of(ROW, section(copies=4, small_letters=1.0))
    assert [row["copy"] for row in made] == [1]
    assert ways == [{"small_letters"}]


def test_a_paraphrase_is_one_of_those_given_and_enough_to_make_a_copy():
    texts = ["Fale de {title}.", "O que é {title}?"]
    made, ways = copies_of(ROW, section(copies=8, paraphrases=texts))
    assert sorted(row["paraphrase"] for row in made) == texts
    assert {row["title"] for row in made} == {ROW["title"]}
    assert ways == [{"paraphrase"}] * 2


def test_each_word_is_dropped_with_its_share_and_one_stays():
    chance = random.Random(1)
    words = [f"p{n}" for n in range(20)]
    left = [drop_words(words, 0.1, chance) for _ in range(2000)]
    assert sum(map(len, left)) / 40_000 == pytest.approx(0.9, abs=0.005)
    assert all(sorted(some, key=words.index) == some for some in left)
    assert {len(drop_words(["a", "b"], 0.999, chance)) for _ in range(50)} == {1}


def test_a_text_whose_words_stay_is_left_as_it_is():
    chance = random.Random(1)
    assert drop_words([], 0.9, chance) == []
    for text in ("\x1c", "", "uma  caneca\tazul"):
        assert copies_of(ROW | {"title": text, "brand": ""}, section(swap_words=0.0, drop_words=1e-9)) == ([], [])
    made, _ = copies_of(ROW | {"title": "\x1c"}, section(fields=["title", "brand"], drop_words=0.9, no_accents=1.0))
    assert (made[0]["title"], made[0]["brand"]) == ("\x1c", "Acai")


def test_swapped_words_stay_near_their_places():
    chance = random.Random(1)
    words = [f"p{n}" for n in range(20)]
    assert swap_words(words, 1.0, chance) == [words[n ^ 1] for n in range(20)]
    for _ in range(200):
        swapped = swap_words(words, 0.3, chance)
        assert sorted(swapped) == sorted(words)
        assert all(abs(swapped.index(word) - place) <= 1 for place, word in enumerate(words))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ação à noite, Ñandú", "Acao a noite, Nandu"),
        ("Tiếng Việt, ά", "Tieng Viet, α"),
        *((same, same) for same in ("日本語", "", "ガラス", "हिन्दी", "ไม้", "йод", "\u0301\u0302", "\u0e48\u0e49")),
    ],
)
def test_accents_go_and_letters_stay(text, plain):
    assert no_accents(text) == plain


METHODS = st.fixed_dictionaries(
    {
        "swap_words": st.floats(0, 1),
        "drop_words": st.floats(0, 0.9),
        "no_accents": st.floats(0, 1),
        "small_letters": st.floats(0, 1),
    }
)


@given(st.text(min_size=1, max_size=30), METHODS, st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_copies_keep_identity_and_response_differ_and_are_the_same_each_time(title, methods, copies, seed):
    row = {**ROW, "title": f"x {title}"}
    chosen = section(copies, seed, paraphrases=["{title}?"], **methods)
    made, ways = copies_of(row, chosen)
    assert {copy["row_id"] for copy in made} <= {7}
    assert [{**copy, "row_id": 1} for copy in made] == copies_of({**row, "row_id": 1}, chosen)[0]
    assert len(made) == len(ways) <= copies
    assert {copy["response"] for copy in made} == {"Uma caneca."}
    asked = [(copy["title"], copy["brand"], copy["paraphrase"]) for copy in made]
    assert len(set(asked)) == len(asked)
    assert all(copy["title"].strip() for copy in made)


def test_another_seed_alters_otherwise():
    row = {**ROW, "title": " ".join(f"p{n}" for n in range(30))}
    one, other = (copies_of(row, section(seed=seed, swap_words=0.5))[0][0]["title"] for seed in (1, 2))
    assert one != other


def test_copies_that_would_all_be_equal_are_refused():
    with pytest.raises(ValidationError, match="some method above 0, or a paraphrase"):
        section(copies=2)
    assert section(copies=0).copies == 0


def test_a_paraphrase_names_fields_and_nothing_more():
    with pytest.raises(ValidationError, match="names in braces and nothing more"):
        section(paraphrases=["{title!r}"])
