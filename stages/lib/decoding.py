"""The bytes of a source as UTF-8, block by block: unpacked, without byte order mark, older encodings decoded."""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
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
# A frame to be skipped (RFC 8878, 3.1.2): pzstd begins with one.
SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
HIGH = bytes(range(0x80, 0x100))
BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")
UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# What cp1252 has besides ASCII, where it is read for cp850 or mac-roman. The signs are the letters of those two that no
# language of cp1252 writes within a word: … ’ – — · ™ ª º and the no-break space do stand between letters, and § ¦ ¬ ¶
# are used as delimiters.
ACCENTED = "À-ÖØ-öø-ÿ"
CAPITALS = "À-ÖØ-ÞŠŒŽŸ"
SIGNS = "‚ƒ„†‡ˆ‰‹˜›¡¢£¤¥"
HOLES = "\x81\x8d\x8f\x90\x9d"
IN_WORDS = f"A-Za-z{ACCENTED}ŠŒŽšœžŸ{SIGNS}{HOLES}"
# A sign between letters, a hole beside one, a capital after a small letter.
ODD = re.compile(
    f"(?<=[{IN_WORDS}])[{SIGNS}](?=[{IN_WORDS}])|(?<=[{IN_WORDS}])[{HOLES}]|[{HOLES}](?=[{IN_WORDS}])"
    f"|(?<=[a-z])[{CAPITALS}](?=[{IN_WORDS}])"
)
# How many letters a hole outweighs, being no character at all: in a novel in capitals as cp850 it is one to six.
HOLE_WEIGHT = 10
# Lines with odd letters that it takes, where a file has so many: fewer are damaged ones.
ODD_LINES = 3
USUAL = re.compile(f"(?<=[A-Za-z])[{ACCENTED}]|[{ACCENTED}](?=[A-Za-z])")
WORD = re.compile(rb"[A-Za-z\x80-\xff]{1,40}")
SHOWN = 3
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
    packing = packing_of(magic)
    if packing == "zstd":
        import pyarrow as pa

        with pa.input_stream(str(path), compression="zstd") as file:
            yield file
    elif packing == "gzip":
        with gzip.open(path, "rb") as file:
            yield file
    else:
        with path.open("rb") as file:
            yield file


def packing_of(start: bytes) -> str | None:
    """The packing that these bytes, at least four, begin with."""
    if start.startswith(GZIP):
        return "gzip"
    return "zstd" if start.startswith(ZSTD) or SKIPPABLE.match(start) else None


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
    """The encoding that the first bytes show: a byte order mark, NULs at every other place, else UTF-8 or cp1252."""
    for mark, name in MARKS:
        if start.startswith(mark):
            return name
    even, odd = _nuls(start[:4096])
    if max(even, odd) > len(start[:4096]) // 5 and min(even, odd) * 4 < max(even, odd):
        return "utf-16-be" if even > odd else "utf-16-le"
    return _utf8_or_cp1252(start)


def _nuls(content: bytes) -> tuple[int, int]:
    """How many NULs stand at even places, and at odd ones."""
    return content[::2].count(0), content[1::2].count(0)


def _utf8_or_cp1252(start: bytes) -> str:
    """UTF-8 is believed when at least half of the lines with bytes beyond ASCII are valid UTF-8.

    One damaged line is then set aside by itself instead of turning every accent of the file into mojibake. Where all
    stands in one line, its runs of bytes beyond ASCII are asked; the last one may be cut.
    """
    *lines, line = start.split(b"\n")
    telling = [line for line in lines or BEYOND_ASCII.findall(line.rstrip(HIGH)) if not line.isascii()]
    valid = sum(_is_utf8(line) for line in telling)
    return "utf-8" if valid * 2 >= len(telling) else "cp1252"


def _refuse_older(path: Path, start: bytes, before: int) -> None:
    """Raise Problem where bytes taken for cp1252 make more odd letters than usual ones, as cp850 and mac-roman do.

    What is UTF-8 does not count: some lines of it among others of cp1252 are mended by the rule `encoding`.

    before: lines above these bytes.
    """
    content = UTF8.sub(b" ", start)
    text = _as_cp1252(content)
    odd = "".join(ODD.findall(text))
    weight = len(odd) + (HOLE_WEIGHT - 1) * sum(map(odd.count, HOLES))
    lines = [line for line in text.splitlines() if line.strip()]
    few = sum(bool(ODD.search(line)) for line in lines) < min(ODD_LINES, before + len(lines))
    if few or weight <= len(USUAL.findall(ODD.sub(" ", text))):
        return
    words = (word[0] for word in WORD.finditer(content) if ODD.search(text, word.start(), word.end()))
    shown = b", ".join(islice(dict.fromkeys(words), SHOWN))
    told = re.sub("[\x80-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", _as_cp1252(shown))
    wanted = f"words; they are {shown.decode('cp850')} as cp850, {shown.decode('mac-roman')} as mac-roman"
    do = "set source.encoding to what is right: cp850 (Excel's CSV of MS-DOS), mac-roman (of Macintosh) or cp1252"
    raise Problem(str(path), f"no UTF-8, and as cp1252 {told}", wanted, f"{do}; or save the file as UTF-8")


def _as_cp1252(content: bytes) -> str:
    """The text, a character for each byte, as browsers read it: the five holes are C1."""
    import ftfy.bad_codecs  # noqa: F401 - registers the codec

    return content.decode("sloppy-windows-1252")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def codec_of(path: Path, encoding: str, start: bytes | None = None) -> str:
    """The encoding to read the file by: for auto what its first bytes show, for UTF-16 which of its kinds they are.

    start: the sample of the file, where it was read before.

    Raises Problem for UTF-16 by order of the recipe where not one NUL is: any mark or digit of ASCII would be one.
    """
    if encoding not in ("auto", "utf-16"):
        return encoding
    start = sample(path) if start is None else start
    found = encoding_of(start)
    if encoding == "auto" or found.startswith("utf-16"):
        return found
    even, odd = _nuls(start)
    if even == odd:
        told, wanted = f"{found}, by its first bytes", "UTF-16, as source.encoding says"
        raise Problem(str(path), told, wanted, "set source.encoding: auto")
    return "utf-16-be" if even > odd else "utf-16-le"


def blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file as UTF-8 in blocks of some 16 MiB, without a byte order mark.

    Bytes of a UTF-8 file are passed on as they are, so that the reader can set a damaged line aside by itself; in the
    other encodings what can not be decoded becomes U+FFFD. cp1252 is read as browsers do: its five holes are C1.

    Raises Problem where auto would take cp850 or mac-roman for cp1252.
    """
    codec = codec_of(path, encoding)
    with unpacked(path) as file:
        pieces = _pieces(file, path, BLOCK)
        if encoding == "auto" and codec in ("utf-8", "cp1252"):
            # ASCII is the same in both: the first bytes beyond it tell, however far from the start they are.
            before = 0
            for piece in pieces:
                if beyond := BEYOND_ASCII.search(piece):
                    # Old Macs end lines with CR, and an array may be one line: it may begin more than a sample before.
                    begun = max(piece.rfind(b"\n", 0, beyond.start()) + 1, beyond.start() - SAMPLE // 2)
                    held = [piece, *islice(pieces, int(len(piece) < begun + SAMPLE))]
                    start = b"".join(held)[begun : begun + SAMPLE]
                    codec = _utf8_or_cp1252(start)
                    if codec == "cp1252":
                        _refuse_older(path, start, before + piece.count(b"\n", 0, begun))
                    pieces = chain(held, pieces)
                    break
                before += piece.count(b"\n")
                yield piece
        elif codec.startswith("utf-8"):
            pieces = _unmarked(pieces)
        yield from pieces if codec.startswith("utf-8") else _decoded(pieces, codec)


def _unmarked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        yield piece if number else piece.removeprefix(codecs.BOM_UTF8)


def _decoded(pieces: Iterable[bytes], codec: str) -> Iterator[bytes]:
    if codec == "cp1252":
        import ftfy.bad_codecs  # noqa: F401 - registers the codec

        codec = "sloppy-windows-1252"
    decoder = codecs.getincrementaldecoder(codec)("replace")
    yield from _unmarked(decoder.decode(piece).encode("utf-8", "surrogatepass") for piece in pieces)
    yield decoder.decode(b"", final=True).encode()
