"""Augmentation: altered copies of training rows, asked in other words, answered the same; the section `augmentation`.

Copies have a table of their own: whatever looks at the training rows (the leakage certificate, the share of answers
that repeat a training response, the nearest training row) sees real rows alone, and only training reads the copies.
"""

import random
import unicodedata
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Self

import numpy as np
import polars as pl
from pydantic import AfterValidator, Field, model_validator

from stages.lib.near import near_pairs, whole_texts
from stages.lib.sides import Split, identities
from stages.lib.tables import blocks, growing, masked
from stages.plumbing.section import Section

Share = Annotated[float, Field(ge=0, le=1)]


class Methods(Section):
    """How much of a copy each method alters."""

    swap_words: Share
    drop_words: Annotated[float, Field(ge=0, lt=1)]
    no_accents: Share
    small_letters: Share


# By what a copy may differ from its row.
WAYS = (*Methods.model_fields, "paraphrase")


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


def copies_of(row: dict[str, Any], section: Augmentation) -> tuple[list[dict[str, Any]], list[set[str]]]:
    """The copies of one training row, and in which of the WAYS each of them differs from it.

    A copy has the row_id of its row, a number from 1 in `copy`, and in `paraphrase` the text of another template or
    None. One that equals its row, or an earlier copy, is not made. Chance depends on the seed and on the row's texts
    alone, so that other rows change nothing.
    """
    texts = {name: text for name, text in row.items() if name not in ("row_id", "line")}
    inputs = {name: text for name, text in texts.items() if name != "response" and name in (section.fields or texts)}
    seen, made, by = {(tuple(inputs.values()), None)}, [], []
    for number in range(1, section.copies + 1):
        chance = random.Random("\x1f".join([str(section.seed), str(number), *texts.values()]))
        changed, used = altered(inputs, section.methods, chance)
        paraphrase = chance.choice(section.paraphrases) if section.paraphrases else None
        key = (tuple(changed.values()), paraphrase)
        if key in seen:
            continue
        seen.add(key)
        by.append(used | ({"paraphrase"} if paraphrase else set()))
        made.append({"row_id": row["row_id"], "copy": number, **row, **changed, "paraphrase": paraphrase})
    return made, by


def write_copies(
    train: Path, validation: Path, test: Path, target: Path, section: Augmentation, split: Split
) -> dict[str, int]:
    """Write the copies of the rows in the table `train` to a new file, none where none are asked for.

    One that has become a near-duplicate of a row of the other two tables, or one of its group, is not made: what is
    asked there must not be learnt by heart. Returns how many: `rows` in all, those altered by each method, the `same`
    and those `like_held_out`, which were not made, and the pairs `not_compared` (0 unless millions are alike).
    """
    every = target.with_name("every-copy")
    rows, numbers, ways = _write_every(train, every, section)
    # A row is not like those held out, and neither is a copy that only asks for it otherwise.
    altered = np.where(ways == 1 << WAYS.index("paraphrase"), 0, numbers)
    alike, not_compared = _like_held_out([validation, test], every, altered, split.similarity)
    if split.group and altered.any():
        alike |= (altered > 0) & _in_groups_of([validation, test], every, split.group)
    if alike.any():
        with growing(target, dict(pl.read_parquet_schema(every))) as add:
            for table in masked([every], ~alike):
                add(table)
        every.unlink()
    else:
        every.replace(target)
    kept = ways[~alike]
    return {
        "rows": len(kept),
        "same": rows * section.copies - len(ways),
        "like_held_out": int(alike.sum()),
        "not_compared": not_compared,
        **{name: int((kept >> bit & 1).sum()) for bit, name in enumerate(WAYS)},
    }


def _write_every(train: Path, target: Path, section: Augmentation) -> tuple[int, np.ndarray, np.ndarray]:
    """Write all copies; gives how many rows they are of, and of each copy the number and its WAYS, a bit for each."""
    columns = dict(pl.read_parquet_schema(train))
    schema = {"row_id": pl.Int64, "copy": pl.Int64, **columns, "paraphrase": pl.String}
    rows, numbers, ways = 0, [], []
    with growing(target, schema) as add:
        for table in blocks([train]) if section.copies else ():
            rows += table.height
            made: list[dict[str, Any]] = []
            for row in table.iter_rows(named=True):
                copies, by = copies_of(row, section)
                made += copies
                numbers += [copy["copy"] for copy in copies]
                ways += [sum(1 << WAYS.index(name) for name in one) for one in by]
            add(pl.DataFrame(made, schema))
    return rows, np.array(numbers, np.int64), np.array(ways, np.uint8)


def _in_groups_of(held_out: list[Path], copies: Path, group: list[str]) -> np.ndarray:
    """Which of the copies are of the group of a row in these tables."""

    def groups(tables: list[Path]) -> np.ndarray:
        return np.concatenate([identities(table.select(group).iter_rows()) for table in blocks(tables)])

    return np.isin(groups([copies]), groups(held_out))


def _like_held_out(
    held_out: list[Path], copies: Path, numbers: np.ndarray, similarity: float
) -> tuple[np.ndarray, int]:
    """Which of the copies are near-duplicates of a row in these tables, and how many pairs were not compared.

    numbers: for each copy its number among those of its row, 0 where nothing has to be looked for. Those of one number
    are searched at a time: the copies of one row are all like each other, which is nothing to spend the search on.
    """
    import pyarrow.parquet as pq

    alike, not_compared = np.zeros(len(numbers), bool), 0
    rows = sum(pq.read_metadata(path).num_rows for path in held_out)
    for number in np.unique(numbers[numbers > 0]):
        asked = np.flatnonzero(numbers == number)
        tables = chain(blocks(held_out), masked([copies], numbers == number))
        texts = (whole_texts(table.drop("row_id", "line", "copy", "paraphrase", strict=False)) for table in tables)
        pairs = near_pairs(chain.from_iterable(texts), rows + len(asked), similarity, copies.parent)
        not_compared += pairs.skipped
        for block in pairs:
            across = (block.first < rows) & (block.second >= rows)
            alike[asked[block.second[across] - rows]] = True
    return alike, not_compared
