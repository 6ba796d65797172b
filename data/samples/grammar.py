"""The grammar of the product catalogue: an article with attributes, its title, and its description.

A description quotes every attribute exactly as the title writes it, so that copying can be learnt; each attribute
brings its own clause, so that a neighbour with other attributes is a poor answer; and wording and order are usually the
same for the same attributes, so that a learner can know most of an answer, though never all of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from catalogue import FAMILIES, LINE_NUMBERS, LINES, RARE_LINES, TONES, VOICES, Family, Feature, Product

T = TypeVar("T")

BRANDS_PER_CATEGORY = 6
BRAND_SEED = 7

# How often a sentence takes its usual wording outright; otherwise it draws from all wordings, the usual one included.
USUAL = 0.8
LINE_SHARE = 0.45
RARE_LINE_SHARE = 0.02
ATTRIBUTE_SHARE = 0.8  # of rows that name a material; likewise a size, a tone
TITLE_WORDS = range(5, 15)
DESCRIPTION_WORDS = range(25, 46)


def _syllables(text: str) -> list[str]:
    return text.split()


_STARTS = _syllables("""
    Al Ar Bel Bra Bri Ca Cor Da Del Do El Fa Fe Fi Flo Ga Gra Hel I Ju Ka La Le Li Lu Ma Me Mi Mo Na Ne No O Pa Pe Pra
    Ri Ro Sa Se Sol Ta Te Ti Tra Tro U Va Ve Vi Vol Za Ze
""")
_MIDDLES = _syllables("""
    ba be bi ca co da de di do ga la le li lo lu ma me mi mo na ne ni no pa ra re ri ro sa ta te ti va ve vi za
""")
_ENDS = _syllables("""
    bel cor dan del do fran gan la len lia lin lux ma mar max mel mon na nel nor ra rel ris ro sol tec tex ton tra
    van vel ven via vix xa zan zel zon
""")


@dataclass(frozen=True)
class Article:
    """One thing for sale. Empty text stands for an attribute that the row does not name."""

    family: Family
    product: Product
    brand: str
    line: str
    features: tuple[Feature, ...]
    material: str
    size: str  # as the title writes it, such as "20 L"
    tone: str


def choose_some(rng: Random, options: Sequence[T], count: int | None) -> list[T]:
    """`count` of the options, or all, in chance order.

    By `random()` alone, whose stream Python keeps from version to version.
    """
    keys = [rng.random() for _ in options]
    return [options[i] for i in sorted(range(len(options)), key=keys.__getitem__)[:count]]


def invent_brand(rng: Random) -> str:
    """A pronounceable brand such as `Travenor`."""
    middles = [rng.choice(_MIDDLES) for _ in range(rng.choice((0, 1, 1, 1)))]
    return "".join([rng.choice(_STARTS), *middles, rng.choice(_ENDS)])


class Brands:
    """Invents brands and never gives one twice, nor one that is an ordinary word of the catalogue."""

    def __init__(self, rng: Random, taken: Sequence[str]) -> None:
        self._rng = rng
        self._taken = {brand.lower() for brand in taken} | _WORDS

    def new(self) -> str:
        while True:
            brand = invent_brand(self._rng)
            if brand.lower() not in self._taken:
                self._taken.add(brand.lower())
                return brand


def _words_of_catalogue() -> set[str]:
    texts = [*LINES, *RARE_LINES, *TONES, *TONES.values(), *LINES.values()]
    for family in FAMILIES:
        texts += [f"{product.name} {product.tail}" for product in family.products]
        texts += [f"{feature.name} {feature.purpose}" for feature in family.features]
        texts += [*family.materials, family.sizes.lead, family.sizes.clause, *family.sizes.values]
    return {word.lower() for text in texts for word in text.split()}


_WORDS = _words_of_catalogue()


def _brands_by_category() -> dict[str, tuple[str, ...]]:
    brands = Brands(Random(BRAND_SEED), ())
    return {category: tuple(brands.new() for _ in range(BRANDS_PER_CATEGORY)) for category in VOICES}


BRANDS = _brands_by_category()


def draw_article(rng: Random, brand: str | None = None) -> Article:
    """A chance article; of one of its category's brands unless `brand` is given."""
    family = rng.choice(FAMILIES)
    feature_count = rng.choice((1, 2, 2, 2, 2))
    line = ""
    if rng.random() < LINE_SHARE:
        names = RARE_LINES if rng.random() < RARE_LINE_SHARE / LINE_SHARE else VOICES[family.category].lines
        line = f"{rng.choice(names)} {rng.choice(LINE_NUMBERS)}"
    named = [rng.random() < ATTRIBUTE_SHARE for _ in range(3)]
    return Article(
        family=family,
        product=rng.choice(family.products),
        brand=brand or rng.choice(BRANDS[family.category]),
        line=line,
        features=tuple(choose_some(rng, family.features, feature_count)),
        material=rng.choice(family.materials) if named[0] else "",
        size=family.sizes.label.format(rng.choice(family.sizes.values)) if named[1] else "",
        tone=rng.choice(family.tones) if named[2] else "",
    )


def agree(text: str, article: Article) -> str:
    """`text` with its `@` as the gender ending of the article's product."""
    return text.replace("@", article.product.gender)


def feature_names(article: Article) -> list[str]:
    """The features as titles write them."""
    return [agree(feature.name, article) for feature in article.features]


def identity(article: Article) -> str:
    """What the article is, whatever the wording and order of its title."""
    parts = [article.product.name, article.brand, article.line, article.material, article.size, article.tone]
    return " | ".join([*parts, *sorted(feature_names(article))])


def write_title(rng: Random, article: Article) -> str:
    """A title: product, brand, line, then the other attributes in one of three orders."""
    head = [article.product.name, article.brand, article.line]
    material, size, tone = article.material, article.size, article.tone
    features = feature_names(article)
    tails = ([*features, material, size, tone], [*features, size, material, tone], [material, *features, tone, size])
    return " ".join(part for part in [*head, *rng.choice(tails)] if part)


def _tail(article: Article) -> str:
    return LINES.get(article.line.rpartition(" ")[0], article.product.tail)


def _opening(article: Article) -> tuple[str, ...]:
    gender, name, brand = article.product.gender, article.product.name, article.brand
    line = f" {article.line}" if article.line else ""
    return (
        f"{gender.upper()} {name} {brand}{line} {_tail(article)}.",
        f"Conheça {gender} {name} {brand}{line}, que {_tail(article)}.",
        f"Da {brand}, {gender} {name}{line} {_tail(article)}.",
    )


def _features(article: Article) -> tuple[str, ...]:
    names = feature_names(article)
    purposes = [agree(feature.purpose, article) for feature in article.features]
    said = [f"{feature.verb} {name}" for feature, name in zip(article.features, names, strict=True)]
    pairs = list(zip(said, names, purposes, strict=True))
    return (
        _sentence(" e ".join(f"{verb} para {purpose}" for verb, _, purpose in pairs)),
        f"{'Destaque' if len(pairs) == 1 else 'Destaques'}: {'; '.join(f'{name}, para {p}' for _, name, p in pairs)}.",
    )


def _material(article: Article) -> tuple[str, ...]:
    return f"{agree(article.family.made, article)} {article.material}.", f"O material é {article.material}."


def _size(article: Article) -> tuple[str, ...]:
    sizes = article.family.sizes
    lead = sizes.lead.format(article.size)
    return _sentence(f"{lead}, {sizes.clause}"), _sentence(f"{sizes.clause}, {lead}")


def _tone(article: Article) -> tuple[str, ...]:
    word, clause = article.family.tone_word, TONES[article.tone]
    return f"A {word} {article.tone} {clause}.", f"Na {word} {article.tone}, {clause}."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


_SENTENCES: dict[str, Callable[[Article], tuple[str, ...]]] = {
    "O": _opening,
    "F": _features,
    "M": _material,
    "S": _size,
    "T": _tone,
}


def write_description(article: Article, rng: Random | None) -> str:
    """A description in the order of the article's category, backwards if the article names a line.

    Without `rng`, every sentence has its usual wording. Two orders in a category are what makes the nearest training
    row a poor answer: with one order its ROUGE-L was 0.66, with two 0.53.
    """
    voice = VOICES[article.family.category]
    usual = dict(zip("OFMST", voice.phrasing, strict=True))
    named = {"O": True, "F": True, "M": article.material, "S": article.size, "T": article.tone}
    sentences = []
    for kind in reversed(voice.order) if article.line else voice.order:
        if named[kind]:
            wordings = _SENTENCES[kind](article)
            as_usual = rng is None or rng.random() < USUAL
            sentences.append(wordings[usual[kind]] if as_usual else rng.choice(wordings))
    return " ".join(sentences)


def fits(title: str, description: str) -> bool:
    """Whether a title and a description have the length that the catalogue wants."""
    return len(title.split()) in TITLE_WORDS and len(description.split()) in DESCRIPTION_WORDS
