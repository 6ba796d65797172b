"""The dirt of the product file: what goes wrong with rows in the wild, one function and one count for each kind."""

import html.entities
import json
from collections.abc import Callable, Sequence
from random import Random

from grammar import Article, draw_article, write_description, write_title

Row = tuple[Article, str, str]  # with its title and its description

# Rows of each kind. Once cleaned, the repairable ones are ordinary rows, save that U+FFFD hides a letter.
REPAIRABLE = {
    "entities": 150,
    "double_entities": 30,
    "tags": 120,
    "mojibake": 80,
    "white_space": 60,
    "invisible": 20,
    "emoji": 15,
    "replacement": 5,
}
UNUSABLE = {
    "empty_title": 40,
    "empty_content": 60,
    "overlong": 25,
    "too_short": 25,
    "title_as_content": 20,
}
EXACT_DUPLICATES = 150
NEAR_DUPLICATES = 120
BROKEN_LINES = 15
BLANK_LINES = 5
OVERLONG_CHARS = 4_000


def escape(text: str) -> str:
    """`text` with named HTML entities for its accented letters and a no-break space for its first space."""
    named = "".join(f"&{html.entities.codepoint2name[ord(c)]};" if ord(c) > 127 else c for c in text)
    return named.replace(" ", "&nbsp;", 1)


def _entities(rng: Random, title: str, content: str) -> tuple[str, str]:
    numbered = "".join(f"&#{ord(c)};" if ord(c) > 127 else c for c in content)
    return rng.choice(((escape(title), escape(content)), (title, escape(content)), (escape(title), numbered)))


def _double_entities(_rng: Random, title: str, content: str) -> tuple[str, str]:
    return title, escape(content).replace("&", "&amp;")


def _tags(rng: Random, title: str, content: str) -> tuple[str, str]:
    sentences = content.removesuffix(".").split(". ")
    items = "".join(f"<li>{sentence}.</li>" for sentence in sentences)
    first, rest = f"{sentences[0]}.", content[len(sentences[0]) + 2 :]
    return rng.choice(
        (
            (title, f"<p>{content}</p>"),
            (title, f"<ul>{items}</ul>"),
            (title, f"<p><b>{first}</b><br/>{rest}</p>"),
            (f"<b>{title}</b>", content.replace(". ", ".<br/>")),
            (title, f'<div class="descricao"><p>{first}</p> <p>{rest}</p></div>'),
        )
    )


def mistake_encoding(text: str) -> str:
    """`text` as it looks when its UTF-8 bytes are read as Windows-1252, or Latin-1 where that has no such character."""
    raw = text.encode()
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _mojibake(rng: Random, title: str, content: str) -> tuple[str, str]:
    return rng.choice(((mistake_encoding(title), mistake_encoding(content)), (title, mistake_encoding(content))))


def _spread(rng: Random, text: str, gaps: Sequence[str]) -> str:
    return "".join(rng.choice(gaps) if c == " " and rng.random() < 0.4 else c for c in text)


def _white_space(rng: Random, title: str, content: str) -> tuple[str, str]:
    gaps = ("  ", "   ", "\t", "\n", " \r\n ", "\u00a0", "\u00a0 ")
    return f" {_spread(rng, title, gaps[:3])}", f"{_spread(rng, content, gaps)} \n"


def _invisible(rng: Random, title: str, content: str) -> tuple[str, str]:
    sign = rng.choice(("\u200b", "\u200d", "\ufeff", "\u00ad", "\x07", "\x00", "\x1f"))
    return title.replace(" ", f"{sign} ", 1), f"{sign}{content.replace('. ', f'.{sign} ')}"


def _emoji(rng: Random, title: str, content: str) -> tuple[str, str]:
    sign = rng.choice(("🔥", "✨", "🎁", "😍", "🚚", "⭐"))
    return rng.choice(((f"{sign} {title} {sign}", content), (title, f"{content} {sign}{sign}")))


def _replacement(_rng: Random, title: str, content: str) -> tuple[str, str]:
    return title, "".join("\ufffd" if ord(c) > 127 else c for c in content)


_REPAIRABLE_DIRT: dict[str, Callable[[Random, str, str], tuple[str, str]]] = {
    "entities": _entities,
    "double_entities": _double_entities,
    "tags": _tags,
    "mojibake": _mojibake,
    "white_space": _white_space,
    "invisible": _invisible,
    "emoji": _emoji,
    "replacement": _replacement,
}


def soil(rng: Random, kind: str, title: str, content: str) -> dict[str, str]:
    """A repairable row: the same text, dirtied the way that `kind` says. Both texts need an accent."""
    title, content = _REPAIRABLE_DIRT[kind](rng, title, content)
    return {"title": title, "content": content}


def _overlong(rng: Random) -> str:
    text = ""
    while len(text) <= OVERLONG_CHARS:
        text += write_description(draw_article(rng), rng) + " "
    return text.strip()


def spoil(rng: Random, kind: str, title: str, content: str) -> dict[str, str | None]:
    """An unusable row: it has nothing to learn from, in the way that `kind` says."""
    if kind == "empty_title":
        return {"title": rng.choice(("", None, "   ")), "content": content}
    if kind == "empty_content":
        row = {"title": title, "content": rng.choice(("", None, " \n ", "<p></p>", "\u00a0", "missing"))}
        return {"title": title} if row["content"] == "missing" else row
    if kind == "overlong":
        return {"title": title, "content": _overlong(rng)}
    if kind == "too_short":
        return {"title": title, "content": rng.choice(("N/A", "-", ".", "n/d", "Ver foto"))}
    return {"title": title, "content": title}


def vary(rng: Random, row: Row) -> dict[str, str]:
    """A near-duplicate of a row: the same article, told with a few other words, signs or another order."""
    article, title, content = row
    head = f"{article.product.name} {article.brand}"
    shuffled = write_title(rng, article)
    return rng.choice(
        (
            {"title": f"{title} - Novo", "content": content},
            {"title": title.replace(head, f"{head} -", 1), "content": f"{content.removesuffix('.')}!"},
            {"title": f"{title}.", "content": f"{content} Aproveite!"},
            {"title": title.upper(), "content": content},
            {"title": shuffled, "content": f"{content} Confira."},
        )
    )


def break_line(rng: Random, row: dict[str, str]) -> str:
    """A line that is no JSON object of texts."""
    whole = json.dumps(row, ensure_ascii=False)
    return rng.choice(
        (
            whole[: len(whole) * 3 // 5],
            json.dumps(list(row.values()), ensure_ascii=False),
            json.dumps(row["content"], ensure_ascii=False),
            json.dumps({**row, "title": 4321}, ensure_ascii=False),
            str(row),
        )
    )
