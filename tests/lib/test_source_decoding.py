"""The encoding of a source is found from its bytes."""

import codecs

import pytest

from stages.lib.decoding import blocks, encoding_of
from stages.plumbing.problem import Problem

TEXT = "título;conteúdo\nCafé;Um café com pão.\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"plain", "utf-8"),
        (TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8-sig"),
        (TEXT.encode("utf-16"), "utf-16"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-32"), "utf-32"),
        (TEXT.encode("cp1252"), "cp1252"),
        (TEXT.encode() * 3 + b"caf\xe9\n", "utf-8"),  # one damaged line does not change the file
    ],
)
def test_the_encoding_is_what_the_bytes_show(content, encoding, tmp_path):
    assert encoding_of(content) == encoding
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    if content not in (b"plain", TEXT.encode() * 3 + b"caf\xe9\n"):
        assert b"".join(blocks(path, "auto")).decode() == TEXT


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("plain", [0, 1, 200, 5000])
@pytest.mark.parametrize("block", range(760, 776))  # some end within the first accents
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_the_first_accents_tell_the_encoding_however_late_they_come(encoding, plain, block, end, tmp_path, monkeypatch):
    from stages.lib import decoding

    monkeypatch.setattr(decoding, "SAMPLE", 1000)
    monkeypatch.setattr(decoding, "BLOCK", block)
    monkeypatch.setattr(decoding, "LINE", 50)
    text = f"title;content{end}" + f"a;b{end}" * plain + f"ação;não é{end}" * 200
    (tmp_path / "rows.csv").write_bytes(text.encode(encoding))
    assert b"".join(blocks(tmp_path / "rows.csv", "auto")).decode() == text


def test_one_damaged_byte_does_not_change_a_file_of_one_line():
    whole = "ação " * 50
    assert encoding_of(whole.encode() + b"caf\xe9 " + "não".encode()[:-2]) == "utf-8"
    assert encoding_of(whole.encode("cp1252") + "não".encode()) == "cp1252"


@pytest.mark.parametrize(
    ("kind", "content"), [("le", TEXT), ("be", TEXT), ("le", "题目,内容\n水,茶\n"), ("be", "题,文\n")]
)
def test_utf_16_by_order_needs_no_mark(kind, content, tmp_path):
    (tmp_path / "rows.csv").write_bytes(content.encode(f"utf-16-{kind}"))
    assert b"".join(blocks(tmp_path / "rows.csv", "utf-16")).decode() == content


@pytest.mark.parametrize("content", [TEXT.encode(), TEXT.encode("cp1252"), b"title,content\n"])
def test_utf_16_by_order_is_refused_where_the_bytes_are_none(content, tmp_path):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(Problem, match=r"(utf-8|cp1252), by its first bytes\n.*UTF-16.*\n.*source\.encoding: auto"):
        list(blocks(tmp_path / "rows.csv", "utf-16"))


def test_a_character_cut_by_the_end_of_a_block_is_whole_again(tmp_path, monkeypatch):
    from stages.lib import decoding

    monkeypatch.setattr(decoding, "BLOCK", 5)
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT.encode("utf-16"))
    assert b"".join(blocks(path, "auto")).decode() == TEXT


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32"])
def test_only_the_mark_of_the_file_goes_and_not_one_at_the_begin_of_a_block(codec, tmp_path, monkeypatch):
    from stages.lib import decoding

    path = tmp_path / "rows.csv"
    path.write_bytes("abc\ufeffdef".encode(codec))
    for block in range(2, 20):
        monkeypatch.setattr(decoding, "BLOCK", block)
        assert b"".join(blocks(path, codec)).decode() == "abc\ufeffdef"


def test_the_holes_of_cp1252_lose_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a\x81\x93b\x94")
    assert b"".join(blocks(path, "cp1252")).decode() == "a\x81\u201cb\u201d"


LANGUAGES = {
    "Portuguese": "Calça não é só um pão; você já está à mesa, e às vezes põe três maçãs.",
    "Spanish": "Qué rápido pasó el señor: el sábado está aquí, más tarde, con ají y páprika.",
    "French": "Où étaient les élèves ? Ça a été très gênant : l'été, la forêt brûle déjà.",
    "German": "Größe für Mädchen: schöne Füße, süße Äpfel, Übermaß und Öl.",
    "Swedish": "Små grönsaker på ön, där själarna går över ån.",
    "Danish": "Rødgrød med fløde på køkkenbordet, også æbler når det er mørkt.",
}


@pytest.mark.parametrize("encoding", ["cp850", "mac-roman"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_other_csvs_of_excel_hold_is_refused_until_the_recipe_says_what_it_is(encoding, language, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(LANGUAGES[language].encode(encoding, "ignore"))
    with pytest.raises(Problem, match=r"source\.encoding"):
        list(blocks(path, "auto"))
    assert b"".join(blocks(path, encoding)).decode() == LANGUAGES[language].encode(encoding, "ignore").decode(encoding)


def test_the_refusal_shows_words_in_each_encoding(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("nome;preço\nCalça;não é você\n".encode("mac-roman"))
    with pytest.raises(Problem) as refused:
        list(blocks(path, "auto"))
    assert refused.value.where == str(path)
    assert refused.value.found == r"no UTF-8, and as cp1252 pre\x8do, Cal\x8da, n‹o"
    assert refused.value.wanted == "words; they are preìo, Calìa, nïo as cp850, preço, Calça, não as mac-roman"
    assert "cp850 (Excel's CSV of MS-DOS), mac-roman (of Macintosh) or cp1252" in refused.value.do


def test_capitals_of_ms_dos_are_told_by_the_letters_for_which_cp1252_has_none(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("REMÉDIO, ÁGUA, NÃO, SÓ, PÃO\n".encode("cp850"))
    with pytest.raises(Problem, match="REMÉDIO as cp850"):
        list(blocks(path, "auto"))


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_the_first_accents_tell_the_encoding_however_long_their_line_is(end, tmp_path, monkeypatch):
    from stages.lib import decoding

    monkeypatch.setattr(decoding, "SAMPLE", 1000)
    text = f"a;b{end}" * 5000 + f"ação;não é{end}"
    (tmp_path / "rows.csv").write_bytes(text.encode("cp1252"))
    assert b"".join(blocks(tmp_path / "rows.csv", "auto")).decode() == text


@pytest.mark.parametrize("encoding", ["cp850", "mac-roman"])
@pytest.mark.parametrize("plain", [1, 200, 5000])
def test_another_csv_of_excel_is_refused_however_late_its_first_accents_come(encoding, plain, tmp_path, monkeypatch):
    from stages.lib import decoding

    monkeypatch.setattr(decoding, "SAMPLE", 1000)
    monkeypatch.setattr(decoding, "BLOCK", 770)
    (tmp_path / "rows.csv").write_bytes(("a;b\r" * plain + "calça;não é\r" * 200).encode(encoding))
    with pytest.raises(Problem, match="no UTF-8, and as cp1252 cal"):
        list(blocks(tmp_path / "rows.csv", "auto"))


TYPOGRAPHY = (
    "“Aspas” e ‘simples’ – travessão — bom…mas caro, R$ 5 ou 5€, Marca™ Outra®, 20°C, 1ª e 2º, m², ½ xícara, ±3",
    "word—word, it’s rock’n’roll; l’été; l’œuvre, sœur, Œuvre",
    "L·l catalana: col·lecció; «Où ?», ‹non›, „Straße“, ‚Größe‘ und 5‰",
    "¿Qué?¡Claro! Vale 5¢, £5, ¥100, §3, ƒ 2; †1850 e ‡nota",
    "Žižek, Škoda, Beyoncé, naïve, Ångström, São João, Ærø",
    "CAFÉ DA MANHÃ, AÇÃO, PÃES, ÀS, ÓTIMO",
    "Marca\u00a0Nova de\u00a0São\u00a0Paulo",
    "title§content¦more¬text",
    "ação com nÃ\u00a3o e coraÃ§Ã£o já estragados",
    "I’m — fine…",
)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("text", [*TYPOGRAPHY, *LANGUAGES.values()])
def test_what_people_write_in_cp1252_is_never_refused(encoding, text, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xe9\n" + text.encode(encoding, "ignore"))
    assert b"".join(blocks(path, "auto")) == b"".join(blocks(path, "cp1252"))


def test_lines_of_utf_8_in_a_file_of_cp1252_are_no_sign_of_another_encoding(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("ação\n".encode("cp1252") * 3 + "“Ásia” e Índia não são só Éden\n".encode() * 2)
    assert b"".join(blocks(path, "auto")) == b"".join(blocks(path, "cp1252"))


def test_what_is_unclear_is_read_as_cp1252(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("café\n".encode("cp850"))
    assert b"".join(blocks(path, "auto")).decode() == "caf‚\n"
