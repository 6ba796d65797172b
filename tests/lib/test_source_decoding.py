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
