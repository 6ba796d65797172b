"""The unlabelled corpus that a base model made from scratch reads: one text per line, UTF-8."""

from pathlib import Path

from stages.plumbing.problem import Problem


def read_corpus(path: Path) -> list[str]:
    """The lines of `path` that hold something; `.gz` is read too."""
    import gzip
    import zlib

    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = [line.strip() for line in content.decode("utf-8").splitlines()]
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise Problem(str(path), str(error), "a text file in UTF-8, one text per line", "correct model.path") from error
    texts = [line for line in lines if line]
    if len(texts) < 10:
        raise Problem(str(path), f"{len(texts)} texts", "at least 10, one per line", "choose a longer corpus")
    return texts
