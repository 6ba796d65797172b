"""The bytes of a source as UTF-8, block by block: unpacked, without byte order mark, older encodings decoded."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stages.lib import growth
from stages.plumbing.problem import Problem

BLOCK = 1 << 24
SAMPLE = 1 << 20
# A block is read on to the end of its last line when that is no more bytes away.
LINE = 1 << 20

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
# The longer mark comes first: UTF-32 begins like UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked when its first bytes say gzip or zstd (its name may say anything)."""
    try:
        magic = first_bytes(path, 4)
    except OSError as error:
        raise Problem(
            str(path), (error.strerror or str(error)).lower(), "a file that you may read", "see its rights"
        ) from None
    if magic.startswith(ZSTD):
        import pyarrow as pa

        with pa.input_stream(str(path), compression="zstd") as file:
            yield file
    elif magic.startswith(GZIP):
        with gzip.open(path, "rb") as file:
            yield file
    else:
        with path.open("rb") as file:
            yield file


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes as they lie on the disk."""
    with path.open("rb") as file:
        return file.read(count)


def sample(path: Path) -> bytes:
    """The first mebibyte, unpacked."""
    with unpacked(path) as file:
        return b"".join(_pieces(file, path, SAMPLE, SAMPLE))


def _pieces(file: BinaryIO, path: Path, size: int, most: int | None = None) -> Iterator[bytes]:
    """Read pieces to the end or to `most` bytes; a damaged archive or one that swells without end is a problem."""
    packed, total = path.stat().st_size, 0
    while most is None or total < most:
        try:
            piece = file.read(size if most else _to_a_line_end(file, size))
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            told = f"{' '.join(str(error).split())} (after {total} bytes unpacked)"
            raise Problem(str(path), told, "a complete archive", "copy or download the file again") from None
        if not piece:
            return
        total += len(piece)
        growth.hold(path, total, packed)
        yield piece


def _to_a_line_end(file: BinaryIO, size: int) -> int:
    """How many bytes to read, at least `size`, so that they end with a line: such a block need not be put together."""
    if not isinstance(file, io.BufferedReader):  # to go back in an archive is to unpack it once more
        return size
    begun = file.tell()
    file.seek(begun + size)
    size += len(file.readline(LINE))
    file.seek(begun)
    return size


def encoding_of(start: bytes) -> str:
    """The encoding that the first bytes show: a byte order mark, NULs at every other place, else UTF-8 or cp1252.

    UTF-8 is believed when at least half of the lines with bytes beyond ASCII are valid UTF-8: one damaged line is then
    set aside by itself instead of turning every accent of the file into mojibake.
    """
    for mark, name in MARKS:
        if start.startswith(mark):
            return name
    even, odd = start[0:4096:2].count(0), start[1:4096:2].count(0)
    if max(even, odd) > len(start[:4096]) // 5 and min(even, odd) * 4 < max(even, odd):
        return "utf-16-be" if even > odd else "utf-16-le"
    telling = [line for line in start.split(b"\n")[:-1] or [start] if not line.isascii()]
    valid = sum(_is_utf8(line) for line in telling)
    return "utf-8" if valid * 2 >= len(telling) else "cp1252"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file as UTF-8 in blocks of some 16 MiB, without a byte order mark.

    Bytes of a UTF-8 file are passed on as they are, so that the reader can set a damaged line aside by itself; in the
    other encodings what can not be decoded becomes U+FFFD. cp1252 is read as browsers do: its five holes are C1.
    """
    found = encoding_of(sample(path)) if encoding in ("auto", "utf-16") else encoding
    # UTF-16 by order of the recipe: which of the two kinds, without a mark, the bytes show.
    encoding = found if encoding == "auto" or found.startswith("utf-16") else encoding
    with unpacked(path) as file:
        if encoding in ("utf-8", "utf-8-sig"):
            for number, piece in enumerate(_pieces(file, path, BLOCK)):
                yield piece if number else piece.removeprefix(codecs.BOM_UTF8)
            return
        if encoding == "cp1252":
            import ftfy.bad_codecs  # noqa: F401 - registers the codec

            encoding = "sloppy-windows-1252"
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        for piece in _pieces(file, path, BLOCK):
            yield decoder.decode(piece).encode("utf-8", "surrogatepass").removeprefix(codecs.BOM_UTF8)
        yield decoder.decode(b"", final=True).encode()
