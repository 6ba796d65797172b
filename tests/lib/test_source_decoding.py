"""The encoding of a source is found from its bytes."""

import codecs

import pytest

from stages.lib.decoding import blocks, encoding_of

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


def test_a_character_cut_by_the_end_of_a_block_is_whole_again(tmp_path, monkeypatch):
    from stages.lib import decoding

    monkeypatch.setattr(decoding, "BLOCK", 5)
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT.encode("utf-16"))
    assert b"".join(blocks(path, "auto")).decode() == TEXT


def test_the_holes_of_cp1252_lose_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a\x81\x93b\x94")
    assert b"".join(blocks(path, "cp1252")).decode() == "a\x81\u201cb\u201d"
