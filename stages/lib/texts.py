"""The rules that put a text right, in their order. Each finds the few texts that need it by a cheap search first.

A regular expression over every row costs ten times a literal search, and Python a hundred times: so a rule is a `find`
that polars runs over all texts and a `fix` for those that were found. The rules are repeated on what they changed until
nothing changes any more: cleaning twice equals cleaning once, and doubly encoded entities come out right.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

Characters = Literal["default", "strict", "any"]
ROUNDS = 10


@dataclass(frozen=True)
class Rule:
    """find: which texts may need it (True for too many is only slow). fix: the texts put right, in the same order."""

    find: Callable[[pl.Expr], pl.Expr]
    fix: Callable[[pl.Series], pl.Series]


def _each(fix: Callable[[str], str]) -> Callable[[pl.Series], pl.Series]:
    return lambda texts: pl.Series(texts.name, [fix(text) for text in texts], pl.String)


def _has(text: pl.Expr, *literals: str) -> pl.Expr:
    return pl.any_horizontal([text.str.contains(literal, literal=True) for literal in literals])


def _removal(pattern: str) -> Rule:
    return Rule(lambda text: text.str.contains(pattern), lambda texts: texts.str.replace_all(pattern, ""))


def _beyond_ascii(text: pl.Expr) -> pl.Expr:
    return text.str.len_bytes() != text.str.len_chars()


# --- encoding

# UTF-8 read as cp1252 or Latin-1: a lead byte C2-F4 shows as one of Â..ô, a continuation byte 80-BF as one of the other
# class. Read as Mac Roman, cp437 or cp1251, the leads show as the other characters. ftfy decides; this only finds.
MOJIBAKE = (
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e"
    "\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122 ]|[√¬‚├┬Γ]|[ГВРСД][^\\s\\p{Ll}]"
)


def _repaired(text: str) -> str:
    import ftfy

    return ftfy.fix_encoding(text)


# --- entities

# With a semicolon only: without one, "AT&T", "R&D" and the "&copy=2" of an address would be taken for entities.
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def _decoded(text: str) -> str:
    return ENTITY.sub(lambda found: html.unescape(found[0]), text)


# --- tags

# Only names that HTML has: "x<y and z>w" is no tag. Those within a word or line leave nothing behind, others a space.
INLINE = (
    "a abbr acronym b bdi bdo big cite code del dfn em font i ins kbd mark q s samp small span strike strong sub sup "
    "tt u var wbr"
)
OTHER = (
    "address applet area article aside audio base basefont blink blockquote body br button canvas caption center "
    "col colgroup data datalist dd details dialog dir div dl dt embed fieldset figcaption figure footer form "
    "frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe img input label legend li link main map marquee "
    "menu meta nav nobr noframes noscript object ol optgroup option output p param picture pre progress script "
    "section select source style summary svg table tbody td template textarea tfoot th thead time title tr track "
    "ul video "
)
_ATTRIBUTES = r"(?:\s[^<>]*)?/?>"
UNSEEN = re.compile(
    r"<!--.*?-->|<(script|style)\b[^<>]*>.*?</\1\s*>|<!doctype[^<>]*>|<\?xml[^<>]*>", re.IGNORECASE | re.DOTALL
)
INLINE_TAG = re.compile(rf"</?(?:{'|'.join(INLINE.split())}){_ATTRIBUTES}", re.IGNORECASE)
OTHER_TAG = re.compile(rf"</?(?:{'|'.join(OTHER.split())}){_ATTRIBUTES}", re.IGNORECASE)


def _untagged(text: str) -> str:
    return OTHER_TAG.sub(" ", INLINE_TAG.sub("", UNSEEN.sub(" ", text)))


# --- control characters

# Controls other than white space, soft hyphens, zero-width spaces, marks of direction and of byte order. The zero-width
# joiners U+200C and U+200D stay: Persian and Indic scripts need them.
CONTROL = (
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\x{ad}\x{61c}\x{180e}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}"
    r"\x{2060}-\x{206f}\x{feff}\x{fff9}-\x{fffb}\x{e0000}-\x{e007f}]"
)

# --- characters

# Letters with their marks, digits, punctuation, currency and mathematical signs, white space, and some signs that texts
# on things need. What goes: pictures (emoji) with their selectors and skin tones, U+FFFD, private and unassigned codes.
UNWANTED = {
    "default": (
        r"[^\p{L}\p{M}\p{N}\p{P}\p{Sc}\p{Sm}\p{Z}\s\x{200c}\x{200d}^`´¨¯¸°®©™℠№℃℉]"
        r"|[\x{fe00}-\x{fe0f}\x{20e3}\x{1f000}-\x{1faff}]|\x{200d}(?:[^\p{L}\p{M}]|$)|^\x{200d}"
    ),
    # R27: the reference keeps letters, digits, commas and full stops; accented letters are letters.
    "strict": r"[^\p{L}\p{M}\p{Nd}\s,.]",
    "any": r"[^\x00-\x{10ffff}]",
}

# --- white space

_ASCII_SPACES = ("\n", "\r", "\t", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f")


def _spaced(texts: pl.Series) -> pl.Series:
    """Runs of white space to one space, both ends trimmed."""
    for space in _ASCII_SPACES:
        texts = texts.str.replace_all(space, " ", literal=True)
    wide = texts.str.len_bytes() != texts.str.len_chars()
    if wide.any():
        texts = put(texts, wide.arg_true(), texts.filter(wide).str.replace_all(r"[\s--\x20]", " "))
    while (index := texts.str.contains("  ", literal=True).arg_true()).len():
        texts = put(texts, index, texts.gather(index).str.replace_all("  ", " ", literal=True))
    return texts.str.strip_chars(" ")


def _has_odd_space(text: pl.Expr) -> pl.Expr:
    return (
        _has(text, *_ASCII_SPACES, "  ")
        | text.str.starts_with(" ")
        | text.str.ends_with(" ")
        | (_beyond_ascii(text) & text.str.contains(r"[\s--\x00-\x7f]"))
    )


# --- all of them


def text_rules(characters: Characters) -> dict[str, Rule]:
    """The rules by name, in their order; `characters` says what the rule of that name removes."""
    unwanted = UNWANTED[characters]
    return {
        "encoding": Rule(lambda text: _beyond_ascii(text) & text.str.contains(MOJIBAKE), _each(_repaired)),
        "entities": Rule(lambda text: _has(text, "&") & _has(text, ";"), _each(_decoded)),
        "tags": Rule(lambda text: _has(text, "<") & _has(text, ">"), _each(_untagged)),
        "control": _removal(CONTROL),
        # Everything below U+0300 is NFC already (Unicode Standard Annex 15).
        "unicode": Rule(
            lambda text: _beyond_ascii(text) & text.str.contains(r"[^\x00-\x{2ff}]"),
            lambda texts: texts.str.normalize("NFC"),
        ),
        "characters": _removal(unwanted),
        "white_space": Rule(_has_odd_space, _spaced),
    }


def put_right(texts: pl.Series, rules: dict[str, Rule]) -> tuple[pl.Series, dict[str, pl.Series]]:
    """Apply the rules in turn, again to what they changed, until nothing changes.

    Returns the texts, and for each rule the indices (u32, some of them twice) of the texts that it changed.
    A text that still changes after ROUNDS rounds becomes null: rules that undo each other must not pass for clean.
    """
    changed: dict[str, list[pl.Series]] = {name: [] for name in rules}
    where = None  # all of them
    for _ in range(ROUNDS):
        part = texts if where is None else texts.gather(where)
        part, round_changed = _one_round(part, rules)
        moved = pl.concat([pl.Series([], dtype=pl.UInt32), *round_changed.values()]).unique().sort()
        for name, index in round_changed.items():
            changed[name].append(index if where is None else where.gather(index))
        if not moved.len():
            break
        where_moved = moved if where is None else where.gather(moved)
        texts = put(texts, where_moved, part.gather(moved))
        where = where_moved
    else:
        texts = put(texts, where, pl.Series([None] * where.len(), dtype=pl.String))
    return texts, {name: pl.concat(found) for name, found in changed.items()}


def _one_round(texts: pl.Series, rules: dict[str, Rule]) -> tuple[pl.Series, dict[str, pl.Series]]:
    changed = {}
    text = pl.col(texts.name)
    for name, rule in rules.items():
        index = texts.to_frame().select(rule.find(text).fill_null(value=False).arg_true()).to_series()
        before = texts.gather(index)
        after = rule.fix(before) if index.len() else before
        differs = before != after
        changed[name] = index.filter(differs)
        texts = put(texts, changed[name], after.filter(differs))
    return texts, changed


def put(texts: pl.Series, index: pl.Series, new: pl.Series) -> pl.Series:
    """The texts with `new` at `index`."""
    return texts.scatter(index, new) if index.len() else texts
