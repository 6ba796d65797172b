"""The unlabelled corpus: shop talk from which a base model learns Portuguese of this kind, and to copy what it reads.

It holds searches, label lists, data sheets, questions, reviews and descriptions, of articles that are not in the
product file. No line gives a title together with its description, and none contains a description of the product file.
"""

from collections.abc import Callable, Iterable
from random import Random

from catalogue import LINE_NUMBERS, LINES, TONES
from grammar import (
    BRANDS,
    Article,
    Brands,
    agree,
    choose_some,
    draw_article,
    feature_names,
    identity,
    write_description,
    write_title,
)
from products import Catalogue

SEED = 77
LINES_IN_CORPUS = 24_000
NEW_BRAND_SHARE = 0.25  # of articles, each with a brand of its own: what teaches to copy a name never read before
MAX_LINE_CHARS = 300
PREFIX_CHARS = 24  # of a description, to find it inside a line; shorter than any description

Writer = Callable[[Random, Article], str]


def _quoted(article: Article) -> list[str]:
    parts = [article.line, article.material, article.size, article.tone, *feature_names(article)]
    return [part for part in parts if part]


def _search(rng: Random, article: Article) -> str:
    title = write_title(rng, article)
    frames = (
        f"Você buscou: {title}. Resultado: {title}.",
        f"Pedido: {title}. Enviamos: {title}.",
        f"Anúncio: {title}. Etiqueta: {title}.",
        f"No carrinho: {title}. Na nota: {title}.",
    )
    return rng.choice(frames)


def _labels(rng: Random, article: Article) -> str:
    other = draw_article(rng)
    names = [article.brand, article.product.name, other.product.name, other.brand, *_quoted(article), *_quoted(other)]
    names += [f"{rng.choice(list(LINES))} {rng.choice(LINE_NUMBERS)}"]
    some = choose_some(rng, names, rng.choice((4, 5, 6)))
    text = rng.choice((", ", " ", "; ")).join(some)
    frames = (
        f"Etiquetas: {text}. Conferência: {text}.",
        f"Itens: {text}. Repetindo: {text}.",
        f"{text}. Veja também: {text}.",
    )
    return rng.choice(frames)


def _sheet(rng: Random, article: Article) -> str:
    fields = {"Linha": article.line, "Material": article.material, "Medida": article.size}
    fields[article.family.tone_word.capitalize()] = article.tone
    named = [f"{label}: {value}" for label, value in fields.items() if value]
    named += [f"Recurso: {name}" for name in feature_names(article)]
    listed = choose_some(rng, named, None)
    values = [field.partition(": ")[2] for field in listed]
    head = f"Produto: {article.product.name}; Marca: {article.brand}"
    return f"{'; '.join([head, *listed])}. Resumo: {', '.join([article.product.name, article.brand, *values])}."


def _questions(rng: Random, article: Article) -> str:
    name = f"{article.product.gender} {article.product.name} {article.brand}"
    feature, quoted = article.features[0], feature_names(article)[0]
    purpose = agree(feature.purpose, article)
    asked = [
        f"Pergunta: {name} {feature.verb} {quoted}? Resposta: sim, {feature.verb} {quoted} para {purpose}.",
        f"Pergunta: de que marca é {article.product.gender} {article.product.name}? Resposta: da {article.brand}.",
    ]
    if article.material:
        material = article.material
        asked.append(f"Pergunta: {name} é em {material}? Resposta: sim, o material é {material}.")
    if article.size:
        lead = article.family.sizes.lead.format(article.size)
        asked.append(f"Pergunta: qual é a medida? Resposta: {name} vem {lead}, {article.family.sizes.clause}.")
    if article.tone:
        tone = f"{article.family.tone_word} {article.tone}"
        asked.append(f"Pergunta: tem na {tone}? Resposta: sim, {name} na {tone}, que {TONES[article.tone]}.")
    return rng.choice(asked)


def _review(rng: Random, article: Article) -> str:
    gender, name, brand = article.product.gender, article.product.name, article.brand
    line = f" {article.line}" if article.line else ""
    starts = (
        f"Comprei {gender} {name} {brand}{line} e gostei muito.",
        f"Recebi {gender} {name} {brand}{line} antes do prazo.",
        f"Já é {gender} segund{gender} {name} {brand}{line} que compro.",
        f"Dei {gender} {name} {brand}{line} de presente.",
    )
    opinions = [
        f"{feature.verb.capitalize()} {quoted} mesmo, ótimo para {agree(feature.purpose, article)}."
        for feature, quoted in zip(article.features, feature_names(article), strict=True)
    ]
    opinions.append(f"{gender.upper()} {name} {article.product.tail}.")
    if article.material:
        opinions.append(f"O material é {article.material} mesmo.")
    if article.tone:
        opinions.append(f"A {article.family.tone_word} {article.tone} {TONES[article.tone]}.")
    if article.size:
        opinions.append(f"{article.size} é o ideal: {article.family.sizes.clause}.")
    ends = (
        f"Recomendo {gender} {name} {brand}.",
        f"A {brand} está de parabéns.",
        f"Nota dez para a {brand}{line}.",
        f"Voltarei a comprar da {brand}.",
    )
    return " ".join([rng.choice(starts), *choose_some(rng, opinions, rng.choice((1, 2))), rng.choice(ends)])


def _brand_talk(rng: Random, article: Article) -> str:
    brand, name = article.brand, article.product.name
    frames = (
        f"Marca: {brand}. Loja oficial {brand}. Tudo da {brand} em um só lugar.",
        f"Quem procura {name} {brand} encontra {name} {brand} aqui.",
        f"{brand} ou {rng.choice(BRANDS[article.family.category])}? Fiquei com {brand}, e {brand} não decepciona.",
        f"A {brand} fabrica {name}. Assistência técnica: {brand}.",
    )
    return rng.choice(frames)


def _description(rng: Random, article: Article) -> str:
    return write_description(article, rng)


# Out of a hundred lines. Titles and lists that come twice are what made copying learnable in trials.
MIX: tuple[tuple[int, Writer], ...] = (
    (24, _search),
    (11, _labels),
    (11, _sheet),
    (11, _questions),
    (9, _review),
    (2, _brand_talk),
    (32, _description),
)


class Forbidden:
    """Finds the descriptions of the product file inside a text."""

    def __init__(self, descriptions: Iterable[str]) -> None:
        self._by_prefix: dict[str, list[str]] = {}
        for description in descriptions:
            self._by_prefix.setdefault(description[:PREFIX_CHARS], []).append(description)

    def within(self, text: str) -> bool:
        return any(
            text.startswith(description, start)
            for start in range(len(text) - PREFIX_CHARS + 1)
            for description in self._by_prefix.get(text[start : start + PREFIX_CHARS], ())
        )


def build_corpus(catalogue: Catalogue) -> list[str]:
    """Make the lines of the corpus, all distinct; the same in every run."""
    rng = Random(SEED)
    brands = Brands(rng, [*catalogue.lone_brands, *(brand for brands in BRANDS.values() for brand in brands)])
    writers = [writer for share, writer in MIX for _ in range(share)]
    forbidden = Forbidden(catalogue.descriptions)
    lines: dict[str, None] = {}
    while len(lines) < LINES_IN_CORPUS:
        article = draw_article(rng, brands.new() if rng.random() < NEW_BRAND_SHARE else None)
        line = rng.choice(writers)(rng, article)
        if len(line) <= MAX_LINE_CHARS and identity(article) not in catalogue.identities and not forbidden.within(line):
            lines[line] = None
    return list(lines)
