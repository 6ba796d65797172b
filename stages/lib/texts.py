"""The rules that put a text right, in their order. Each finds the few texts that need it by a cheap search first.

A regular expression over every row costs ten times a literal search, and Python a hundred times: so a rule is a `find`
that polars runs over all texts and a `fix` for those that were found. The rules are repeated on what they changed until
nothing changes any more: cleaning twice equals cleaning once, and doubly encoded entities come out right.
"""

import html
import html.entities
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

Characters = Literal["default", "strict", "any"]
ROUNDS = 10


@dataclass(frozen=True)
class Rule:
    """find: which texts may need it (True for too many is only slow). fix: the texts put right, in the same order.

    wide: only texts with characters beyond ASCII can need it. settles: in an ASCII text, what it leaves is nothing new
    to the other rules, so that they need not look again.
    """

    find: Callable[[pl.Expr], pl.Expr]
    fix: Callable[[pl.Series], pl.Series]
    wide: bool = False
    settles: bool = False


def _each(fix: Callable[[str], str]) -> Callable[[pl.Series], pl.Series]:
    return lambda texts: pl.Series(texts.name, [fix(text) for text in texts], pl.String)


def _has(text: pl.Expr, *literals: str) -> pl.Expr:
    return pl.any_horizontal([text.str.contains(literal, literal=True) for literal in literals])


def _where(texts: pl.Series, find: pl.Expr) -> pl.Series:
    """The indices (u32) of the texts for which the expression holds."""
    return texts.to_frame().select(find.fill_null(value=False).arg_true()).to_series()


def _wide(texts: pl.Series) -> pl.Series:
    """The indices of the texts with characters beyond ASCII."""
    text = pl.col(texts.name)
    return _where(texts, text.str.len_bytes() != text.str.len_chars())


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


# The 252 of HTML 4, which are nearly all that occur: polars replaces them in one pass; Python sees to the rest.
_USUAL = {f"&{name};": chr(code) for name, code in html.entities.name2codepoint.items()}


def _decoded(texts: pl.Series) -> pl.Series:
    texts = texts.str.replace_many(_USUAL)
    rest = _where(texts, pl.col(texts.name).str.contains("&[#A-Za-z][0-9A-Za-z]+;"))
    return put(texts, rest, _each(lambda text: ENTITY.sub(lambda one: html.unescape(one[0]), text))(texts.gather(rest)))


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
UNSEEN = r"(?is)<!--.*?-->|<script\b[^<>]*>.*?</script\s*>|<style\b[^<>]*>.*?</style\s*>|<!doctype[^<>]*>|<\?xml[^<>]*>"
INLINE_TAG = rf"(?i)</?(?:{'|'.join(INLINE.split())}){_ATTRIBUTES}"
OTHER_TAG = rf"(?i)</?(?:{'|'.join(OTHER.split())}){_ATTRIBUTES}"


def _untagged(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(UNSEEN, " ").str.replace_all(INLINE_TAG, "").str.replace_all(OTHER_TAG, " ")


# --- control characters

# Controls other than white space, soft hyphens, zero-width spaces, marks of direction and of byte order. The zero-width
# joiners U+200C and U+200D stay: Persian and Indic scripts need them.
CONTROL = (
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\x{ad}\x{61c}\x{180e}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}"
    r"\x{2060}-\x{206f}\x{feff}\x{fff9}-\x{fffb}\x{e0000}-\x{e007f}]"
)

# --- Unicode

# Whatever Unicode's normal form C might change: marks, the letters of Hangul, and the few characters that are never in
# it (Unicode Standard Annex 15; a test goes through all of them).
MAYBE_NOT_NFC = (
    r"[\p{M}\x{340}-\x{344}\x{374}\x{37e}\x{387}\x{958}-\x{95f}\x{9dc}-\x{9df}\x{a33}-\x{a5e}\x{b5c}\x{b5d}"
    r"\x{f43}-\x{fb9}\x{1100}-\x{11ff}\x{1f71}-\x{1fff}\x{2000}\x{2001}\x{2126}\x{212a}\x{212b}\x{2329}\x{232a}"
    r"\x{2adc}\x{f900}-\x{faff}\x{fb1d}-\x{fb4e}\x{1d15e}-\x{1d1c0}\x{2f800}-\x{2fa1f}]"
)

# --- characters

# Letters with their marks, digits, punctuation, currency and mathematical signs, white space, and some signs that texts
# on things need. What goes: pictures (emoji) with their selectors, skin tones and joiners, U+FFFD, private and
# unassigned codes. A joiner (U+200D) stays between letters; what follows another one is kept for the next round.
UNWANTED = {
    "default": (
        r"[^\p{L}\p{M}\p{N}\p{P}\p{Sc}\p{Sm}\p{Z}\s\x{200c}\x{200d}^`´¨¯¸°®©™℠№℃℉]"
        r"|[\x{fe00}-\x{fe0f}\x{20e3}\x{1f000}-\x{1faff}]|\x{200d}([^\p{L}\p{M}]|$)|^\x{200d}"
    ),
    # R27: the reference keeps letters, digits, commas and full stops; accented letters are letters.
    "strict": r"[^\p{L}\p{M}\p{Nd}\s,.]()",
    "any": r"[^\x00-\x{10ffff}]()",
}

# --- white space

# What there is to replace, and no single space: most words of a text are left alone.
_SPACES = r"[ \t-\r\x1c-\x1f]{2,}|[\t-\r\x1c-\x1f]"
_WIDE_SPACES = r"[\s\x1c-\x1f]{2,}|[\s\x1c-\x1f--\x20]"


def _has_odd_space(text: pl.Expr) -> pl.Expr:
    """White space other than single spaces within an ASCII text, or any text beyond ASCII: four cheap tests."""
    ends = text.str.starts_with(" ") | text.str.ends_with(" ")
    wide = text.str.len_bytes() != text.str.len_chars()
    return ends | wide | text.str.contains("  ", literal=True) | text.str.contains(r"[\t-\r\x1c-\x1f]")


def _spaced(texts: pl.Series) -> pl.Series:
    """Runs of white space to one space, both ends trimmed."""
    wide = _wide(texts)
    beyond = texts.gather(wide).str.replace_all(_WIDE_SPACES, " ")
    return put(texts.str.replace_all(_SPACES, " "), wide, beyond).str.strip_chars(" ")


# --- all of them


def text_rules(characters: Characters) -> dict[str, Rule]:
    """The rules by name, in their order; `characters` says what the rule of that name removes."""
    unwanted = UNWANTED[characters]
    # Every character of ASCII is wanted by default.
    plain_is_wanted = characters != "strict"
    return {
        "encoding": Rule(lambda text: text.str.contains(MOJIBAKE), _each(_repaired), wide=True),
        "entities": Rule(lambda text: _has(text, "&") & _has(text, ";"), _decoded),
        "tags": Rule(lambda text: _has(text, "<") & _has(text, ">"), _untagged),
        "control": Rule(lambda text: text.str.contains(CONTROL), lambda texts: texts.str.replace_all(CONTROL, "")),
        "unicode": Rule(
            lambda text: text.str.contains(MAYBE_NOT_NFC), lambda texts: texts.str.normalize("NFC"), wide=True
        ),
        "characters": Rule(
            lambda text: text.str.contains(unwanted),
            lambda texts: texts.str.replace_all(unwanted, "${1}"),
            wide=plain_is_wanted,
        ),
        "white_space": Rule(_has_odd_space, _spaced, settles=True),
    }


def put_right(texts: pl.Series, rules: dict[str, Rule]) -> tuple[pl.Series, dict[str, pl.Series]]:
    """Apply the rules in turn, again to what they changed, until nothing changes.

    Returns the texts, and for each rule the indices (u32, some of them twice) of the texts that it changed.
    A text that still changes after ROUNDS rounds becomes null: rules that undo each other must not pass for clean.
    """
    changed: dict[str, list[pl.Series]] = {name: [] for name in rules}
    where = pl.int_range(texts.len(), dtype=pl.UInt32, eager=True)
    for _ in range(ROUNDS):
        part, round_changed, unsettled = _one_round(texts.gather(where), rules)
        for name, index in round_changed.items():
            changed[name].append(where.gather(index))
        moved = pl.concat([unsettled, *round_changed.values()]).unique().sort()
        texts = put(texts, where.gather(moved), part.gather(moved))
        where = where.gather(unsettled)
        if not where.len():
            break
    else:
        texts = put(texts, where, pl.Series([None] * where.len(), dtype=pl.String))
    return texts, {name: pl.concat(found) for name, found in changed.items()}


def _one_round(texts: pl.Series, rules: dict[str, Rule]) -> tuple[pl.Series, dict[str, pl.Series], pl.Series]:
    """The texts after each rule in turn, the indices that each changed, and those that the rules must look at again."""
    changed, again = {}, [pl.Series([], dtype=pl.UInt32)]
    wide = _wide(texts)
    for name, rule in rules.items():
        if rule.wide:
            index = wide.gather(_where(texts.gather(wide), rule.find(pl.col(texts.name))))
        else:
            index = _where(texts, rule.find(pl.col(texts.name)))
        before = texts.gather(index)
        after = rule.fix(before) if index.len() else before
        differs = before != after
        changed[name] = index.filter(differs)
        texts = put(texts, changed[name], after.filter(differs))
        if changed[name].len():
            moved = changed[name].gather(_wide(texts.gather(changed[name])))
            wide = pl.concat([wide, moved]).unique().sort()  # some of them may be ASCII by now: no harm
            again.append(moved if rule.settles else changed[name])
    return texts, changed, pl.concat(again).unique().sort()


def put(texts: pl.Series, index: pl.Series, new: pl.Series) -> pl.Series:
    """The texts with `new` at `index` (ascending), as another series: polars' scatter works in place."""
    if index.len() == texts.len():
        return new
    return texts.clone().scatter(index, new) if index.len() else texts
