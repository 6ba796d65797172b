"""The product file: ordinary rows, rows of brands seen once, and dirt, mixed by the seed."""

import json
from collections import deque
from dataclasses import dataclass
from random import Random

from dirt import (
    BLANK_LINES,
    BROKEN_LINES,
    EXACT_DUPLICATES,
    NEAR_DUPLICATES,
    REPAIRABLE,
    UNUSABLE,
    Row,
    break_line,
    soil,
    spoil,
    vary,
)
from grammar import (
    BRANDS,
    Brands,
    choose_some,
    draw_article,
    fits,
    identity,
    write_description,
    write_title,
)

SEED = 2024
CLEAN_ROWS = 9_200
LONE_BRAND_SHARE = 0.12  # of rows, each with a brand of its own


@dataclass(frozen=True)
class Catalogue:
    """What was made: the file's lines, and what the corpus must keep away from."""

    lines: list[str]
    identities: frozenset[str]
    descriptions: list[str]  # as they were before any dirt
    lone_brands: list[str]


def _ordinary_rows(rng: Random, count: int) -> tuple[list[Row], list[str]]:
    brands = Brands(rng, [brand for brands in BRANDS.values() for brand in brands])
    rows: list[Row] = []
    lone_brands: list[str] = []
    seen: set[str] = set()
    while len(rows) < count:
        lone = brands.new() if rng.random() < LONE_BRAND_SHARE else None
        article = draw_article(rng, lone)
        title, description = write_title(rng, article), write_description(article, rng)
        if fits(title, description) and identity(article) not in seen:
            seen.add(identity(article))
            rows.append((article, title, description))
            lone_brands += [lone] if lone else []
    return rows, lone_brands


def build_catalogue() -> Catalogue:
    """Make the whole product file; the same in every run."""
    rng = Random(SEED)
    rows, lone_brands = _ordinary_rows(
        rng, CLEAN_ROWS + sum(REPAIRABLE.values()) + sum(UNUSABLE.values()) + BROKEN_LINES
    )
    # Some dirt only shows on accents, so it goes to rows with accents in both texts.
    accented = deque(row for row in rows if not row[1].isascii() and not row[2].isascii())
    soiled = [(kind, accented.popleft()) for kind, count in REPAIRABLE.items() for _ in range(count)]
    used = {row[1] for _, row in soiled}
    rest = deque(row for row in rows if row[1] not in used)
    spoilt = [(kind, rest.popleft()) for kind, count in UNUSABLE.items() for _ in range(count)]
    broken = [rest.popleft() for _ in range(BROKEN_LINES)]
    # A copy of a row with a lone brand would make that brand occur twice.
    lone = set(lone_brands)
    copied = choose_some(rng, [row for row in rest if row[0].brand not in lone], EXACT_DUPLICATES + NEAR_DUPLICATES)

    texts = [{"title": title, "content": content} for _, title, content in rest]
    texts += [soil(rng, kind, title, content) for kind, (_, title, content) in soiled]
    texts += [spoil(rng, kind, title, content) for kind, (_, title, content) in spoilt]
    texts += [{"title": title, "content": content} for _, title, content in copied[:EXACT_DUPLICATES]]
    texts += [vary(rng, row) for row in copied[EXACT_DUPLICATES:]]
    uids = choose_some(rng, [f"P{number:05d}" for number in range(1, len(texts) + len(broken) + 1)], None)
    whole = [{"uid": uid, **text} for uid, text in zip(uids, texts, strict=False)]
    lines = [json.dumps(row, ensure_ascii=False) for row in whole]
    for uid, (_, title, content) in zip(uids[len(texts) :], broken, strict=True):
        lines.append(break_line(rng, {"uid": uid, "title": title, "content": content}))
    lines += [""] * BLANK_LINES
    return Catalogue(
        lines=choose_some(rng, lines, None),
        identities=frozenset(identity(article) for article, _, _ in rows),
        descriptions=[description for _, _, description in rows],
        lone_brands=lone_brands,
    )
