"""Examples of what cleaning did: texts before and after each rule, and rows of each reason that were left out.

They cost nearly nothing, however long the source is: the first rows that a rule changed are looked at again, one rule
at a time, and no others.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
import polars as pl

from stages.lib.ledger import NEAR_DUPLICATE
from stages.lib.plain import NONE
from stages.lib.rules import Clean, rules_of
from stages.lib.texts import ROUNDS, Rule, put_right

# Examples for each rule and each reason.
EXAMPLES = 5
# Characters shown: unchanged ones around a change, changed ones, and those of a record that was set aside.
AROUND, SHOWN, RECORD = 60, 300, 600


@dataclass(frozen=True)
class Piece:
    """A run of characters, ready to be shown, and whether the other text lacks it."""

    text: str
    differs: bool


@dataclass(frozen=True)
class Change:
    """One text before and after a rule, cut to where they differ."""

    row_id: int
    field: str
    before: list[Piece]
    after: list[Piece]


@dataclass(frozen=True)
class Aside:
    """A row that was left out: its beginning as it was read, or how it differs from the row that stands for it."""

    row_id: int
    line: int
    row_kept: int | None
    raw: str
    change: Change | None = None


class Examples:
    """Collects the examples while blocks come by, in order."""

    def __init__(self, fields: list[str], section: Clean) -> None:
        self.changes: dict[str, list[Change]] = defaultdict(list)
        self.asides: dict[str, list[Aside]] = defaultdict(list)
        self._rules = rules_of(section)
        self._fields = fields
        self._near: dict[int, str] = {}

    def look(self, rows: pl.DataFrame, aside: pl.DataFrame, changed: dict[str, np.ndarray]) -> None:
        """Take what is still missing from one block.

        rows: as they were read. aside: QUARANTINE. changed: the places in `rows` (ascending) that each rule changed.
        """
        for reason in aside["reason"].unique(maintain_order=True):
            if missing := EXAMPLES - len(self.asides[reason]):
                for row in aside.filter(pl.col("reason") == reason).head(missing).iter_rows(named=True):
                    raw = _clipped(row["raw"] or "", RECORD)
                    self.asides[reason].append(Aside(row["row_id"], row["line"], row["row_kept"], raw))
        missing = {name: EXAMPLES - len(self.changes[name]) for name in changed}
        first = np.unique(np.concatenate([where[: missing[name]] for name, where in changed.items()] or [NONE]))
        if not len(first):
            return
        rules = {name: rule for name, rule in self._rules.items() if np.isin(first, changed[name]).any()}
        found = [change for field in self._fields for change in _traced(rows[first][["row_id", field]], rules)]
        for name, row_id, field, *texts in sorted(found, key=lambda change: change[1]):
            if len(self.changes[name]) < EXAMPLES:
                self.changes[name].append(Change(row_id, field, *shown(*texts)))

    def near(self, rows: pl.DataFrame) -> None:
        """Keep the texts of near-duplicates, row_id and fields, until the rows that stand for them are known."""
        for row in rows.head(EXAMPLES - len(self._near)).select("row_id", *self._fields).iter_rows():
            self._near[row[0]] = _joined(row[1:])

    def finish(self, kept: Path) -> None:
        """Lay near-duplicates beside the rows that stand for them, which `kept` holds."""
        asides = self.asides[NEAR_DUPLICATE]
        if not asides:
            return
        wanted = [aside.row_kept for aside in asides]
        rows = pl.scan_parquet(kept).filter(pl.col("row_id").is_in(wanted)).select("row_id", *self._fields).collect()
        texts = {row[0]: _joined(row[1:]) for row in rows.iter_rows()}
        self.asides[NEAR_DUPLICATE] = [
            replace(aside, change=Change(aside.row_id, "", *shown(self._near[aside.row_id], texts[aside.row_kept])))
            for aside in asides
        ]


def _traced(rows: pl.DataFrame, rules: dict[str, Rule]) -> Iterator[tuple[str, int, str, str, str]]:
    """What each rule does (its name, row_id, field, text before and after), applied one at a time in rounds."""
    rows = rows.drop_nulls()
    texts = rows.to_series(1)
    for _ in range(ROUNDS):
        changing = False
        for name, rule in rules.items():
            after, index = put_right(texts, {name: rule})
            for place in np.unique(index[name]).tolist():
                yield name, rows["row_id"][place], texts.name, texts[place], after[place] or ""
                changing = True
            texts = after
        if not changing:
            return


def _joined(texts: Iterable[str]) -> str:
    return " | ".join(texts)


def shown(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, from a little before their first difference to a little after the last one."""
    ahead = _shared(before, after)
    behind = min(_shared(before[::-1], after[::-1]), min(len(before), len(after)) - ahead)
    start = _boundary(before, max(0, ahead - AROUND))
    most = AROUND + SHOWN + AROUND
    texts = [text[start : len(text) - max(0, behind - AROUND)] for text in (before, after)]
    # Twice as much is compared as is shown: else what is cut off on one side alone would pass for a difference.
    sides, lengths = _compared(*(text[: 2 * most] for text in texts), most)
    opening, more = [Piece("…", differs=False)] * (start > 0), [Piece("…", differs=False)]
    first, second = (
        [*opening, *pieces, *more * (start + length < len(text))]
        for pieces, length, text in zip(sides, lengths, (before, after), strict=True)
    )
    return first, second


def _shared(one: str, other: str) -> int:
    """Characters with which both texts begin."""
    least = min(len(one), len(other))
    return next((place for place in range(least) if one[place] != other[place]), least)


def _boundary(text: str, place: int) -> int:
    """The beginning of the word at `place`, so that no word is cut; in a text without spaces the place itself."""
    space = text.rfind(" ", max(0, place - AROUND), place)
    return place if space < 0 else space + 1


def _compared(one: str, other: str, most: int) -> tuple[list[list[Piece]], list[int]]:
    """Words, and single other characters, that are in both in the same order, and those that are not.

    Both sides end where the first of them has `most` characters; also gives how many of each text that are.
    """
    texts = [re.findall(r"\w+|\W", text) for text in (one, other)]
    sides: list[list[Piece]] = [[], []]
    lengths = [0, 0]
    for tag, *places in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        runs = ["".join(texts[side][places[2 * side] : places[2 * side + 1]]) for side in (0, 1)]
        room = most - max(lengths)
        for side, run in enumerate(runs):
            if run:
                taken = run if len(run) <= room else run[:room]
                sides[side].append(Piece(visible(taken, marked=tag != "equal"), tag != "equal"))
                lengths[side] += len(taken)
        if max(map(len, runs)) >= room:
            break
    return sides, lengths


# What stands for white space where it is what differs.
SPACES = {" ": "␣", "\n": "⏎", "\t": "⇥"}


def visible(text: str, *, marked: bool) -> str:
    """Characters that cannot be seen as their numbers; in a marked text white space and single accents too."""
    only_spaces = not text.strip()
    return "".join(_seen(character, marked=marked, spaces=only_spaces) for character in text)


def _seen(character: str, *, marked: bool, spaces: bool) -> str:
    if marked and character in SPACES and (spaces or character != " "):
        return SPACES[character]
    kind = category(character)
    hidden = kind[0] == "C" and character not in SPACES
    if hidden or (marked and (kind[0] == "M" or (kind[0] == "Z" and character != " "))):
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _clipped(text: str, most: int) -> str:
    return visible(text[:most], marked=False) + "…" * (len(text) > most)


def page(examples: Examples, report: dict[str, Any]) -> str:
    """The page as HTML, everything inside; `report` is the content of reports/clean.json. Equal input, equal bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    place = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=place, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    changed = sorted(((name, rows) for name, rows in report["changed"].items() if rows), key=lambda one: -one[1])
    apart = {"duplicate": report["duplicates"] - report["near_duplicates"]["rows"]}
    apart[NEAR_DUPLICATE] = report["near_duplicates"]["rows"]
    counts = {**report["reasons"], **{name: rows for name, rows in apart.items() if rows}}
    return environment.get_template("changes.html.j2").render(
        report=report,
        changed=[(name, TOLD.get(name, ""), rows, examples.changes[name]) for name, rows in changed],
        idle=[name for name, rows in sorted(report["changed"].items()) if not rows],
        asides=[
            (name, TOLD.get(name, ""), rows, examples.asides[name])
            for name, rows in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        ],
    )


# What each rule changes, and why a row of each reason is left out.
TOLD = {
    "encoding": "Mojibake, text that was read in the wrong encoding, is put right.",
    "entities": "HTML entities become the characters that they stand for.",
    "tags": "HTML tags, comments, scripts and styles are removed.",
    "control": "Control characters and invisible ones are removed.",
    "unicode": "Letters and accents become one character each (Unicode NFC).",
    "characters": "Characters that clean.characters does not want are removed.",
    "white_space": "Runs of white space become one space; both ends are trimmed.",
    "broken_json": "The line is no JSON.",
    "no_object": "The record is no JSON object: keys and values in braces.",
    "no_text": "A value is no text: a number, true, a list, an object. Write it in quotes if it belongs to the text.",
    "repeated_key": "A column stands twice in the record.",
    "no_utf8": "Bytes that are no UTF-8, which all the others are.",
    "lone_surrogate": "An escape is half a character.",
    "wrong_number_of_cells": "There are more or fewer cells than the header has.",
    "swallowed_lines": (
        "A quotation mark that begins a cell makes one record of several lines, each of which looks like a row. "
        'If it belongs to the text, write the cell in quotes and the mark twice ("""Oi"" disse"), or export again.'
    ),
    "empty_input": "An input is empty.",
    "empty_response": "The response is empty.",
    "stub": "The response says nothing.",
    "same_as_input": "The response equals one of its inputs.",
    "short_input": "An input has fewer characters than clean.min_input_chars.",
    "long_input": "An input has more characters than clean.max_input_chars.",
    "short_response": "The response has fewer characters than clean.min_response_chars.",
    "long_response": "The response has more characters than clean.max_response_chars.",
    "other_language": "The response is surely in none of clean.languages.",
    "duplicate": "Another row has the same inputs and response after cleaning.",
    "near_duplicate": "Another row says nearly the same (clean.near_duplicates).",
}
