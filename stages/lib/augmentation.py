"""Augmentation: altered copies of training rows, asked in other words, answered the same; the section `augmentation`.

Copies have a table of their own: whatever looks at the training rows (the leakage certificate, the share of answers
that repeat a training response, the nearest training row) sees real rows alone, and only training reads the copies.
"""

import random
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Self

import polars as pl
from pydantic import AfterValidator, Field, model_validator

from stages.lib import files
from stages.lib.tables import growing
from stages.plumbing.section import Section

Share = Annotated[float, Field(ge=0, le=1)]


class Methods(Section):
    """How much of a copy each method alters."""

    swap_words: Share
    drop_words: Annotated[float, Field(ge=0, lt=1)]
    no_accents: Share
    small_letters: Share


def _names_in_braces(text: str) -> str:
    if any(spec or conversion for _, _, spec, conversion in Formatter().parse(text)):
        raise ValueError("fields of a paraphrase as names in braces and nothing more, such as {title}")
    return text


class Augmentation(Section):
    """The section `augmentation`."""

    seed: int
    copies: Annotated[int, Field(ge=0, le=10)]
    fields: Annotated[list[str], Field(min_length=1)] | None
    methods: Methods
    paraphrases: list[Annotated[str, Field(min_length=1), AfterValidator(_names_in_braces)]]

    @model_validator(mode="after")
    def _copies_differ(self) -> Self:
        if self.copies and not (self.paraphrases or any(self.methods.model_dump().values())):
            raise ValueError(
                "some method above 0, or a paraphrase, where copies are asked for: they would all be equal"
            )
        return self


def swap_words(words: list[str], share: float, chance: random.Random) -> list[str]:
    """Each word changes places with the next one with this probability; no word moves further than one place."""
    words, place = list(words), 0
    while place < len(words) - 1:
        if chance.random() < share:
            words[place], words[place + 1] = words[place + 1], words[place]
            place += 1
        place += 1
    return words


def drop_words(words: list[str], share: float, chance: random.Random) -> list[str]:
    """Each word is left out with this probability; one stays, where there is any."""
    kept = [word for word in words if chance.random() >= share]
    return (kept or [chance.choice(words)]) if words else []


def no_accents(text: str) -> str:
    """Latin and Greek letters without their marks: ação becomes acao. In other scripts a mark makes another letter."""
    bare, letter = [], " "
    for character in unicodedata.normalize("NFD", text):
        if not unicodedata.combining(character):
            letter = character
        elif unicodedata.name(letter, "").startswith(("LATIN", "GREEK")):
            continue
        bare.append(character)
    return unicodedata.normalize("NFC", "".join(bare))


def in_words(text: str, change: Callable[[list[str]], list[str]]) -> str:
    """The text with its words changed; where they stay, it is left as it is, with spaces of any kind."""
    words = text.split()
    changed = change(words)
    return text if changed == words else " ".join(changed)


def altered(inputs: dict[str, str], methods: Methods, chance: random.Random) -> tuple[dict[str, str], set[str]]:
    """The inputs of one copy, and the methods that changed something."""
    plain, small = chance.random() < methods.no_accents, chance.random() < methods.small_letters
    steps = {
        "swap_words": lambda text: in_words(text, lambda words: swap_words(words, methods.swap_words, chance)),
        "drop_words": lambda text: in_words(text, lambda words: drop_words(words, methods.drop_words, chance)),
        "no_accents": lambda text: no_accents(text) if plain else text,
        "small_letters": lambda text: text.lower() if small else text,
    }
    used = set()
    for name, step in steps.items():
        changed = {field: step(text) for field, text in inputs.items()}
        if changed != inputs:
            used.add(name)
        inputs = changed
    return inputs, used


def copies_of(row: dict[str, Any], section: Augmentation) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The copies of one training row, and how many were made and altered by each method.

    A copy has the row_id of its row, a number from 1 in `copy`, and in `paraphrase` the text of another template or
    None. One that equals its row, or an earlier copy, is not made. Chance depends on the seed and on the row's texts
    alone, so that other rows change nothing.
    """
    texts = {name: text for name, text in row.items() if name not in ("row_id", "line")}
    inputs = {name: text for name, text in texts.items() if name != "response" and name in (section.fields or texts)}
    seen, made, counts = {(tuple(inputs.values()), None)}, [], Counter()
    for number in range(1, section.copies + 1):
        chance = random.Random("\x1f".join([str(section.seed), str(number), *texts.values()]))
        changed, used = altered(inputs, section.methods, chance)
        paraphrase = chance.choice(section.paraphrases) if section.paraphrases else None
        key = (tuple(changed.values()), paraphrase)
        if key in seen:
            counts["same"] += 1
            continue
        seen.add(key)
        counts.update(["rows", *used, *(["paraphrase"] if paraphrase else [])])
        made.append({"row_id": row["row_id"], "copy": number, **row, **changed, "paraphrase": paraphrase})
    return made, counts


def write_copies(train: Path, target: Path, section: Augmentation) -> dict[str, int]:
    """Write the copies of the rows in the table `train`, none where none are asked for.

    Returns how many: `rows` in all, those that each method altered, and the `same`, which were not made.
    """
    import pyarrow.parquet as pq

    columns = dict(pl.read_parquet_schema(train))
    schema = {"row_id": pl.Int64, "copy": pl.Int64, **columns, "paraphrase": pl.String}
    counts: Counter[str] = Counter()
    with files.whole(target) as begun, growing(begun, schema) as add, pq.ParquetFile(train) as table:
        for batch in table.iter_batches() if section.copies else ():
            made: list[dict[str, Any]] = []
            for row in pl.DataFrame(batch).iter_rows(named=True):
                copies, of_row = copies_of(row, section)
                made += copies
                counts += of_row
            add(pl.DataFrame(made, schema))
    return {name: counts[name] for name in ("rows", "same", "paraphrase", *Methods.model_fields)}
