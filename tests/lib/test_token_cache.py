"""Token ids that are kept: they are never other than those that would be made, and never stand in the way."""

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stages.lib import token_cache
from stages.lib.prompts import Prompt, encode
from stages.lib.token_cache import token_ids
from stages.lib.token_columns import Columns, in_columns
from tests.lib.tiny import TEXTS, tokenizer
from tests.shapes import CHAT

PROMPT = Prompt(template="describe", text=None, max_prompt_tokens=48, max_response_tokens=16)
ROWS = [
    {"row_id": n, "title": text * (1 + n % 2), "material": "", "response": text * (n % 3)}
    for n, text in enumerate(TEXTS)
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    tokenizer("seq2seq").save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A side of one row is worth keeping; how many rows were encoded, time by time."""
    monkeypatch.setattr(token_cache, "WORTH_KEEPING", 1)
    counted = []

    def count(rows: list, *others: Any) -> Columns:
        counted.append(len(rows))
        return in_columns(rows, *others)

    monkeypatch.setattr(token_cache, "in_columns", count)
    return counted


def ids(base: Path, rows: list[dict[str, Any]] = ROWS, words: Any = None, **limits: Any) -> Columns:
    words = words or tokenizer("seq2seq")
    return token_ids(rows, PROMPT.model_copy(update=limits), words, base, base.parent)


def files(base: Path) -> list[Path]:
    return sorted((base.parent / "work/tokens").glob("*.arrow"))


def assert_right(found: Columns, rows: list[dict[str, Any]] = ROWS) -> None:
    wanted = encode(rows, PROMPT, tokenizer("seq2seq"))
    assert found.table["prompt"].to_pylist() == wanted.prompts
    assert found.table["response"].to_pylist() == wanted.responses
    assert (found.shortened, found.cut) == (wanted.shortened, wanted.cut)
    assert found.shortened > 0
    assert found.cut > 0


def test_the_same_rows_are_encoded_once(base, made, capsys):
    assert_right(ids(base))
    assert_right(ids(base))
    assert made == [len(ROWS)]
    assert "taken from work/tokens" in capsys.readouterr().out


def test_few_rows_are_not_kept(base):
    assert_right(ids(base))
    assert not (base.parent / "work").exists()


def changed(**fields: Any) -> list[dict[str, Any]]:
    return [*ROWS[:-1], ROWS[-1] | fields]


@pytest.mark.parametrize(
    "change",
    [
        {"rows": changed(title="Outra panela")},
        {"rows": changed(response="Outra.")},
        {"rows": changed(paraphrase="Fale de {title}.")},
        {"rows": ROWS[:-1]},
        {"rows": ROWS[::-1]},
        {"template": "question", "rows": [row | {"question": "?"} for row in ROWS], "max_prompt_tokens": 90},
        {"template": "custom", "text": "Descreva o produto: {title}!"},
        {"max_prompt_tokens": 49},
        {"max_response_tokens": 17},
    ],
    ids=str,
)
def test_what_changes_the_ids_has_them_made_anew(base, made, change):
    ids(base)
    ids(base, **change)
    assert len(made) == len(files(base)) == 2


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"])
def test_another_file_of_the_tokenizer_has_them_made_anew(base, made, name):
    ids(base)
    with (base / name).open("a") as file:
        file.write("\n")
    ids(base)
    assert len(made) == 2


@pytest.mark.parametrize("what", ["sha256_of_code", "environment"])
def test_other_code_or_libraries_have_them_made_anew(base, made, what, monkeypatch):
    ids(base)
    monkeypatch.setattr(token_cache, what, lambda _: "other")
    ids(base)
    assert len(made) == 2


def test_a_chat_template_that_tells_another_day_has_them_made_anew(base, made):
    for day in ("21 Nov 2026", "22 Nov 2026"):
        words = tokenizer("seq2seq").__class__.from_pretrained(base)
        words.chat_template = day + CHAT
        ids(base, words=words, template="chat", max_prompt_tokens=200)
    assert len(made) == 2


def test_what_changes_no_ids_is_no_reason_to_make_them_anew(base, made):
    ids(base)
    (base / "model.safetensors").write_bytes(b"other weights")
    ids(base, [row | {"row_id": row["row_id"] + 7, "material": "vidro"} for row in ROWS])
    assert len(made) == 1


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [flipped, lambda content: content[:-40], lambda content: content[:20], lambda _: b"", lambda _: b"\0" * 5000],
    ids=["one bit", "without its end", "its begin alone", "nothing", "zeros"],
)
def test_a_damaged_file_is_made_anew_with_a_word_about_it(base, made, damage, capsys):
    ids(base)
    [path] = files(base)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert_right(ids(base))
    assert len(made) == 2
    assert "are made anew" in capsys.readouterr().out
    assert path.read_bytes() == whole


def test_the_four_files_that_were_used_last_are_kept(base, made):
    for limit in (16, 17, 18, 19):
        ids(base, max_response_tokens=limit)
    first = set(files(base))
    ids(base, max_response_tokens=16)
    assert len(made) == 4
    ids(base, max_response_tokens=20)
    assert len(files(base)) == 4
    ids(base, max_response_tokens=16)
    assert len(made) == 5  # it was used after the others
    assert len(first & set(files(base))) == 3
    ids(base, max_response_tokens=17)
    assert len(made) == 6


def test_what_a_killed_process_had_begun_is_removed(base, made):
    left = base.parent / "work/tokens/.abc.arrow.k3x9"
    left.mkdir(parents=True)
    (left / "abc.arrow").write_bytes(b"half")
    ids(base)
    assert made
    assert not left.exists()


@pytest.fixture
def full_disk():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_nothing_more(base, made, full_disk, capsys):
    full_disk()
    assert_right(ids(base))
    assert made
    assert "token ids                    are not kept for the next run: " in capsys.readouterr().out
    assert list((base.parent / "work/tokens").iterdir()) == []


def test_ids_that_were_kept_leave_the_tokenizer_as_making_them_does(base, made, tmp_path):
    words = tokenizer("seq2seq").__class__.from_pretrained(base)
    words(["copo"], truncation=True, max_length=8)
    words.save_pretrained(base)  # as the stage base leaves it: with the length that it cut texts at
    saved = []
    for name in ("made", "kept"):
        words = tokenizer("seq2seq").__class__.from_pretrained(base)
        ids(base, words=words)
        words.save_pretrained(tmp_path / name)
        saved.append((tmp_path / name / "tokenizer.json").read_bytes())
    assert len(made) == 1
    assert saved[0] == saved[1] != (base / "tokenizer.json").read_bytes()


def test_of_two_processes_that_want_them_at_once_one_makes_them(base, made):
    with ThreadPoolExecutor(2) as pool:  # the lock parts threads as it parts processes: each opens its file
        for found in pool.map(lambda _: ids(base), range(2)):
            assert_right(found)
    assert len(made) == 1


def test_a_queued_experiment_finds_those_of_the_main_checkout(base, made):
    copy = base.parent / ".dvc/tmp/exps/tmpabc"
    copy.mkdir(parents=True)
    ids(base)
    token_ids(ROWS, PROMPT, tokenizer("seq2seq"), base, copy)
    assert len(made) == 1
