"""A corpus is one text per line, packed or not; what can not be read is told in words."""

import gzip

import pytest

from stages.lib.corpus import read_corpus
from stages.plumbing.problem import Problem

TEXTS = [f"Era uma vez um texto de número {number}." for number in range(500)]
PLAIN = "\n\n".join(TEXTS).encode()


def test_lines_that_hold_something_are_the_texts_packed_or_not(tmp_path):
    (tmp_path / "a.txt").write_bytes(PLAIN)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(PLAIN))
    assert read_corpus(tmp_path / "a.txt") == read_corpus(tmp_path / "a.txt.gz") == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt.gz", gzip.compress(PLAIN)[:-20], "end-of-stream marker"),
        ("a.txt.gz", gzip.compress(PLAIN, mtime=0)[:40] + b"\xff" * 400, "invalid"),
        ("a.txt.gz", PLAIN, "Not a gzipped file"),
        ("a.txt", "Café\n".encode("cp1252") * 20, "can't decode byte"),
        ("a.txt", b"\n\n", "0 texts"),
    ],
    ids=["cut", "damaged", "not packed", "no UTF-8", "empty"],
)
def test_a_corpus_that_can_not_be_read_is_told_in_words(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Problem, match=message):
        read_corpus(tmp_path / name)
