"""Reading one JSON array of objects: element by element, without holding the array."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.lib import decoding
from stages.lib.json_lines import parsed
from stages.lib.records import NO_UTF8, Record, Text, is_unicode
from stages.lib.source import Source
from stages.plumbing.problem import Problem

SPACE = " \t\r\n"
# With fewer characters after it a number may go on: 1 as 1.5, or as 1e-5.
NUMBER_ENDS = 3
# What is missing may be in the next block if the decoder stops at the end: of -Infinity or an escape it takes nothing.
CUT = 16
# An element is held whole.
MAX_ELEMENT_CHARS = 1 << 28
DO = "correct the file there, or write one object per line: then a broken one is set aside by itself"


def records(path: Path, source: Source) -> Iterator[Record]:
    """The elements; one that is no row is set aside, and what is no array of values is a Problem with its line."""
    elements = _Elements(path, Text(decoding.blocks(path, source.encoding)))
    for line, raw, value in elements:
        if elements.text.damaged and not is_unicode(raw):
            yield Record(line, None, NO_UTF8, raw)
            continue
        values, reason = parsed(raw, source.columns.fields)
        yield Record(line, values, reason, raw, keys=value if isinstance(value, dict) else ())


class _Elements:
    """Goes through the text of an array: what is held of it, where in it we are, and in which line of the file."""

    def __init__(self, path: Path, text: Text) -> None:
        self.path = path
        self.text = text
        self._pieces = iter(text)
        self._held, self._at, self._line = "", 0, 1
        # Numbers stay text: one of very many digits is no mistake of notation, and nobody wants its value.
        self._decoder = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)

    def __iter__(self) -> Iterator[tuple[int, str, Any]]:
        """The line in which each element begins, its text and its value."""
        self._skip(SPACE + "\ufeff")
        self._at += 1  # the opening bracket, which told the format
        found = self._skip(SPACE)
        while found != "]":
            try:
                value, end = self._decoder.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                if self._is_cut(error) and self._more():
                    continue
                raise self._broken(error) from None
            except RecursionError as error:
                raise self._problem(str(error)) from None
            if (left := len(self._held) - end) < NUMBER_ENDS:
                if self._more():
                    continue
                end = len(self._held) - left
            raw = self._held[self._at : end]
            yield self._line, raw, value
            self._line += raw.count("\n")
            self._at = end
            found = self._next()
        self._at += 1
        if self._skip(SPACE):
            raise self._problem(f"something after the end of the array: {self._held[self._at :][:20]!r}")

    def _next(self) -> str:
        """The first character of the next element, or the closing bracket; between two elements there is one comma."""
        found = self._skip(SPACE)
        if found == ",":
            self._at += 1
            found = self._skip(SPACE)
            if found == "]":
                raise self._problem("a comma before the closing bracket")
        elif found and found != "]":
            raise self._problem(f"no comma before {self._held[self._at :][:20]!r}")
        if not found:
            raise self._problem("no closing bracket")
        return found

    def _problem(self, told: str, line: int | None = None) -> Problem:
        return Problem(f"{self.path}, line {line or self._line}", told, "one JSON array of objects", DO)

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether more text may mend it. In the middle of what is held it can not: no need to hold the whole file."""
        return error.pos + CUT > len(self._held) or error.msg.startswith("Unterminated string")

    def _broken(self, error: json.JSONDecodeError) -> Problem:
        near = self._held[error.pos :][:20]
        told = f"{error.msg.removesuffix(' starting at')} at {repr(near) if near else 'the end'}"
        return self._problem(told, self._line + self._held.count("\n", self._at, error.pos))

    def _more(self) -> bool:
        """Hold the next block too; raises Problem where what is held of one element grows beyond measure."""
        if len(self._held) - self._at > MAX_ELEMENT_CHARS:
            raise self._problem(f"an element of more than {MAX_ELEMENT_CHARS} characters")
        piece = next(self._pieces, None)
        self._held, self._at = self._held[self._at :] + (piece or ""), 0
        return piece is not None

    def _skip(self, characters: str) -> str:
        """The next character that is not one of these ('' at the end)."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in characters:
                self._line += self._held[self._at] == "\n"
                self._at += 1
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more():
                return ""
