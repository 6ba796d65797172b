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

import numpy as np
import polars as pl

from stages.lib import plain

Characters = Literal["default", "strict", "any"]
ROUNDS = 10


@dataclass(frozen=True)
class Rule:
    """find: which texts may need it (True for too many is only slow). fix: the texts put right, in the same order.

    uncommon: only texts can need it of whose uncommon characters (see stages.lib.plain) one matches this pattern.
    brings: it may bring uncommon characters that were not there.
    spaces: it puts right white space and nothing else. plain: it may change plain texts (see stages.lib.plain).
    """

    find: Callable[[pl.Expr], pl.Expr] | None
    fix: Callable[[pl.Series], pl.Series]
    uncommon: str | None = None
    brings: bool = False
    spaces: bool = False
    plain: bool = False


def _each(fix: Callable[[str], str]) -> Callable[[pl.Series], pl.Series]:
    return lambda texts: pl.Series(texts.name, [fix(text) for text in texts], pl.String)


def _has(text: pl.Expr, *literals: str) -> pl.Expr:
    return pl.any_horizontal([text.str.contains(literal, literal=True) for literal in literals])


def _where(texts: pl.Series, find: pl.Expr) -> np.ndarray:
    """The indices of the texts for which the expression holds."""
    return texts.to_frame().select(find.fill_null(value=False).arg_true()).to_series().to_numpy()


# --- encoding

# UTF-8 read as cp1252 or Latin-1: a lead byte C2-F4 shows as one of Â..ô, a continuation byte 80-BF as one of the other
# class. Read as Mac Roman, cp437 or cp1251, the leads show as the other characters. ftfy decides; this only finds.
MOJIBAKE = (
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e"
    "\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122 ]|[√¬‚├┬Γ]|[ГВРСД][^\\s\\p{Ll}]"
)


MOJIBAKE_LEAD = "[\u00c2-\u00f4√¬‚├┬ΓГВРСД]"


def _repaired(text: str) -> str:
    import ftfy

    return ftfy.fix_encoding(text)


# --- entities

# With a semicolon only: without one, "AT&T", "R&D" and the "&copy=2" of an address would be taken for entities.
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_MAYBE_ENTITY = "&[#A-Za-z][0-9A-Za-z]+;"


# The 252 of HTML 4 and the apostrophe are nearly all that occur: polars replaces them in one pass, named or numbered;
# Python sees to the rest.
_CODES = {**html.entities.name2codepoint, "apos": ord("'")}
_USUAL = {f"&{form};": chr(code) for name, code in _CODES.items() for form in (name, f"#{code}")} | {"&#039;": "'"}


def _decoded(texts: pl.Series) -> pl.Series:
    texts = texts.str.replace_many(_USUAL)
    rest = _where(texts, pl.col(texts.name).str.contains(_MAYBE_ENTITY))
    return put(texts, rest, _each(lambda text: ENTITY.sub(lambda one: html.unescape(one[0]), text))(at(texts, rest)))


# --- tags

# Only names that HTML has: "x<y and z>w" is no tag. Those within a word or line leave nothing behind, others a space.
INLINE = (
    "a abbr acronym b bdi bdo big cite code del dfn em font i ins kbd mark q rb rp rt ruby s samp small span strike "
    "strong sub sup tt u var wbr"
)
OTHER = (
    "address applet area article aside audio base basefont blink blockquote body br button canvas caption center "
    "circle col colgroup data datalist dd details dialog dir div dl dt ellipse embed fieldset figcaption figure footer "
    "form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe img input label legend li link main map marquee "
    "menu meta nav nobr noframes noscript object ol optgroup option output p param path picture polygon polyline pre "
    "progress rect script section select source style summary svg table tbody td template textarea tfoot th thead time "
    "title tr track ul video"
)
# What Word, Excel and PowerPoint write into their HTML.
OFFICE = r"(?:[mopvwx]|st\d):\w+"
# The separators of ASCII are white space to Unicode, but none to regular expressions.
_SPACE = r"[\s\x1c-\x1f]"
# A value in quotes may hold what ends a tag; a quote that is never closed is a letter like the others.
_VALUE = rf"""=(?:{_SPACE}*(?:"[^"<]*"|'[^'<]*'))?"""
_ATTRIBUTES = rf"(?:{_VALUE}|[^<>=])*"
UNSEEN = (
    rf"(?is)<!--.*?-->|<script\b[^<>]*>.*?</script{_SPACE}*>|<style\b[^<>]*>.*?</style{_SPACE}*>"
    r"|<!doctype[^<>]*>|<\?xml[^<>]*>|<!\[(?:if|endif)\b[^<>]*>"
)
CDATA = r"(?s)<!\[CDATA\[(.*?)\]\]>"


def _tag(*names: str) -> str:
    """The tags of these names; "x <a y> z" is none, for those of one letter have attributes with values or none."""
    long, short = ("|".join(name for name in names if (len(name) > 1) == wanted) for wanted in (True, False))
    of_short = rf"(?:{short})(?:{_SPACE}*|{_SPACE}[^<>=]*{_VALUE}{_ATTRIBUTES})"
    return rf"(?i)</?(?:(?:{long})(?:{_SPACE}{_ATTRIBUTES})?|{of_short})/?>"


INLINE_TAG, OTHER_TAG = _tag(*INLINE.split(), OFFICE), _tag(*OTHER.split())


def _untagged(texts: pl.Series) -> pl.Series:
    texts = texts.str.replace_all(CDATA, "${1}").str.replace_all(UNSEEN, " ")
    return texts.str.replace_all(INLINE_TAG, "").str.replace_all(OTHER_TAG, " ")


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
        r"[^\p{L}\p{M}\p{N}\p{P}\p{Sc}\p{Sm}\p{Z}\s\x1c-\x1f\x{200c}\x{200d}^`´¨¯¸°®©™℠№℃℉]"
        r"|[\x{fe00}-\x{fe0f}\x{20e3}\x{1f000}-\x{1faff}]|\x{200d}([^\p{L}\p{M}]|$)|^\x{200d}"
    ),
    # R27: the reference keeps letters, digits, commas and full stops; accented letters are letters.
    "strict": r"[^\p{L}\p{M}\p{Nd}\s\x1c-\x1f,.]()|[\x{fe00}-\x{fe0f}\x{20e3}]",
    "any": r"[^\x00-\x{10ffff}]()",
}

# --- white space

# Unicode's white space beyond ASCII.
_WIDE_SPACES = [
    chr(code) for code in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
]
_WIDE_SPACE = f"[{''.join(_WIDE_SPACES)}]"


def _spaced(texts: pl.Series) -> pl.Series:
    """Runs of white space to one space, both ends trimmed."""
    text = pl.col(texts.name)
    wide = _where(texts, text.str.len_bytes() != text.str.len_chars())
    texts = put(texts, wide, at(texts, wide).str.replace_all(_WIDE_SPACE, " "))
    return plain.sort_out(texts, spaces=True).texts


# --- all of them


def text_rules(characters: Characters) -> dict[str, Rule]:
    """The rules by name, in their order; `characters` says what the rule of that name removes."""
    unwanted = UNWANTED[characters]
    # Every character of printable ASCII is wanted by default.
    plain_is_wanted = characters != "strict"
    return {
        "encoding": Rule(
            lambda text: text.str.contains(MOJIBAKE), _each(_repaired), uncommon=MOJIBAKE_LEAD, brings=True
        ),
        "entities": Rule(lambda text: text.str.contains(_MAYBE_ENTITY), _decoded, brings=True),
        "tags": Rule(lambda text: _has(text, "<") & _has(text, ">"), _untagged),
        "control": Rule(None, lambda texts: texts.str.replace_all(CONTROL, ""), uncommon=CONTROL),
        "unicode": Rule(None, lambda texts: texts.str.normalize("NFC"), uncommon=MAYBE_NOT_NFC, brings=True),
        "characters": Rule(
            lambda text: text.str.contains(unwanted),
            lambda texts: texts.str.replace_all(unwanted, "${1}"),
            uncommon=f"{unwanted}|\\x{{200d}}" if plain_is_wanted else None,
            plain=not plain_is_wanted,
        ),
        # To look for odd spaces first takes as long as to put them right.
        "white_space": Rule(None, _spaced, spaces=True, plain=True),
    }


def put_right(texts: pl.Series, rules: dict[str, Rule]) -> tuple[pl.Series, dict[str, np.ndarray]]:
    """Apply the rules in turn, again to what they changed, until nothing changes.

    Returns the texts, and for each rule the indices (some of them twice) of the texts that it changed.
    A text that still changes after ROUNDS rounds becomes null: rules that undo each other must not pass for clean.
    """
    changed = {name: [plain.NONE] for name in rules}
    touching = {name for name, rule in rules.items() if rule.plain}
    parted = plain.sort_out(texts, spaces="white_space" in rules)
    if touching <= {"white_space"}:
        where = np.flatnonzero(parted.rest)
        if touching:
            changed["white_space"].append(np.flatnonzero(parted.spaced & ~parted.rest))
    else:
        where = np.arange(texts.len())
    due = np.full(len(where), len(rules))
    work = _Work(due, *(at(column, where) for column in (texts, parted.texts, parted.uncommon)), parted.spaced[where])
    done = [(plain.NONE, texts.clear())]
    for _ in range(ROUNDS):
        if not len(where):
            break
        for name, index in work.round(rules).items():
            changed[name].append(where[index])
        settled, left = np.flatnonzero(work.due == 0), np.flatnonzero(work.due)
        done.append((where[settled], at(work.texts, settled)))
        work, where = work.part(left), where[left]
    done.append((where, pl.Series(texts.name, [None] * len(where), dtype=pl.String)))
    return put(parted.texts, *_joined(done)), {name: np.concatenate(found) for name, found in changed.items()}


class _Work:
    """Texts on their way through the rules, and what is known of them.

    due: for each text, how many of the rules, from the first on, have to look at it. A rule that changes a text makes
    itself and those before it due in the next round, and those after it in this one.
    """

    def __init__(
        self, due: np.ndarray, texts: pl.Series, tidy: pl.Series, uncommon: pl.Series, spaced: np.ndarray
    ) -> None:
        """tidy: the texts with nothing but ASCII's white space put right; spaced: for which of them it is a change.

        uncommon: their uncommon characters (see stages.lib.plain).
        """
        self.due = due
        self.texts = texts
        self._tidy, self._spaced = tidy, spaced
        self._uncommon, self._special = uncommon, (uncommon != "").to_numpy()
        # The texts that changed since these were made of them.
        self._touched = np.zeros(texts.len(), bool)
        # Those of them that may have other uncommon characters; one that has fewer is only looked at in vain.
        self._stale = np.zeros(texts.len(), bool)

    def part(self, index: np.ndarray) -> "_Work":
        """These texts alone, for another round; this one has put their white space right."""
        texts = at(self.texts, index)
        part = _Work(self.due[index], texts, texts, at(self._uncommon, index), np.zeros(texts.len(), bool))
        part._stale = self._stale[index]
        return part

    def round(self, rules: dict[str, Rule]) -> dict[str, np.ndarray]:
        """Apply each rule in turn to the texts that are due; returns the indices (ascending) that it changed."""
        changed, next_due = {}, np.zeros_like(self.due)
        for number, (name, rule) in enumerate(rules.items(), 1):
            asked = np.flatnonzero(self.due >= number)
            index, new = self._with_spaces_right(rule, asked) if rule.spaces else self._applied(rule, asked)
            changed[name] = index
            if not len(index):
                continue
            self.texts = put(self.texts, index, new)
            self._touched[index] = True
            if rule.spaces:  # no character is new, and the other rules have seen texts of common ones
                index = index[self._special[index]]
            else:
                self._stale[index] |= rule.brings
                self.due[index] = len(rules)
            next_due[index] = number
        self.due = next_due
        return changed

    def _holding(self, index: np.ndarray, pattern: str) -> np.ndarray:
        """Those of the texts with an uncommon character that matches."""
        stale = index[self._stale[index]]
        if len(stale):
            # White space in the same go: hardly one of them will change again before it is asked for.
            parted = plain.sort_out(at(self.texts, stale), spaces=True)
            self._tidy = put(self._tidy, stale, parted.texts)
            self._spaced[stale] = parted.spaced
            self._uncommon = put(self._uncommon, stale, parted.uncommon)
            self._special[stale] = (parted.uncommon != "").to_numpy()
            self._touched[stale] = self._stale[stale] = False
        index = index[self._special[index]]
        return index[at(self._uncommon, index).str.contains(pattern).to_numpy()] if len(index) else index

    def _applied(self, rule: Rule, asked: np.ndarray) -> tuple[np.ndarray, pl.Series]:
        """Which of the texts asked for the rule changes, and to what."""
        if rule.uncommon:
            asked = self._holding(asked, rule.uncommon)
        if rule.find and len(asked):
            asked = asked[_where(at(self.texts, asked), rule.find(pl.col(self.texts.name)))]
        if not len(asked):
            return plain.NONE, self.texts.clear()
        before = at(self.texts, asked)
        after = rule.fix(before)
        differs = before != after
        return asked[differs.to_numpy()], after.filter(differs)

    def _with_spaces_right(self, rule: Rule, asked: np.ndarray) -> tuple[np.ndarray, pl.Series]:
        """The same for white space, most of which was put right ahead of the other rules."""
        unknown = self._touched.copy()
        unknown[self._holding(asked, _WIDE_SPACE)] = True
        unknown = unknown[asked]
        ready = asked[self._spaced[asked] & ~unknown]
        return _joined([(ready, at(self._tidy, ready)), self._applied(rule, asked[unknown])])


def _joined(parts: list[tuple[np.ndarray, pl.Series]]) -> tuple[np.ndarray, pl.Series]:
    """Indices and their texts in one, the indices ascending."""
    index = np.concatenate([part for part, _ in parts])
    order = np.argsort(index)
    return index[order], pl.concat([texts for _, texts in parts])[order]


def at(texts: pl.Series, index: np.ndarray) -> pl.Series:
    """The texts at `index` (ascending, none twice)."""
    return texts[index] if len(index) < texts.len() else texts


def put(texts: pl.Series, index: np.ndarray, new: pl.Series) -> pl.Series:
    """The texts with `new` at `index` (ascending), as another series: polars' scatter works in place."""
    if len(index) == texts.len():
        return new
    return texts.clone().scatter(index, new) if len(index) else texts
