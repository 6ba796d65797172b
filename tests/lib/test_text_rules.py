"""What each text rule makes of a text, written out."""

import polars as pl
import pytest

from stages.lib.texts import put_right, text_rules

# rule -> texts before and after
CASES = {
    "encoding": [
        ("CafÃ© e pÃ£o", "Café e pão"),  # UTF-8 read as cp1252
        ("ma\u00c3\u00a7\u00c3\u00a3", "maçã"),
        ("It\u00e2\u20ac\u2122s", "It\u2019s"),
        ("Caf√© com p√£o", "Café com pão"),  # read as Mac Roman
        ("РџСЂРёРІРµС‚", "Привет"),  # read as cp1251
        ("NÃO É SÓ ISSO, CORAÇÃO", "NÃO É SÓ ISSO, CORAÇÃO"),
        ("à venda: ação «já»", "à venda: ação «já»"),
        ("Это русский текст", "Это русский текст"),
    ],
    "entities": [
        ("Caf&eacute; &amp; p&atilde;o", "Café & pão"),
        ("10&nbsp;cm &#8211; 2&#x20AC;", "10\u00a0cm – 2€"),
        ("caf&amp;eacute; &amp;amp; &amp;amp;amp;", "café & &"),  # doubly and trebly encoded
        ("AT&T; R&D e a&copy=2", "AT&T; R&D e a&copy=2"),
        ("a &unknown; b", "a &unknown; b"),
        ("&#0;", "\ufffd"),
    ],
    "tags": [
        ("a<br\x1f/>b", "a b"),  # a separator is white space, whatever regular expressions say
        ("<p>Um <b>copo</b> azul.</p>", " Um copo azul. "),
        ("azul<br/>verde<BR>rosa", "azul verde rosa"),
        ('<a href="x>y">z</a>, <img alt = "10 > 5" src=\'y\'>foto', "z,  foto"),
        ('<a href="x>y</a> e "aspas"', 'y e "aspas"'),  # a quote that is never closed
        ("umidade <a 50% e temperatura> 30, se x <i e y> z", "umidade <a 50% e temperatura> 30, se x <i e y> z"),
        ("Camisa <o:p></o:p>azul, <st1:city w:st='on'>Rio</st1:city>", "Camisa azul, Rio"),  # Word's
        ("<![if !supportLists]>- item<![endif]>, <!--[if mso]>x<![endif]-->y", " - item ,  y"),
        ("<![CDATA[10 < 20 e <b>olá</b>]]>", "10 < 20 e olá"),
        ('<svg viewBox="0 0 1 1"><path d="M0 0"/></svg>Ícone', "   Ícone"),
        ("<!-- nada --><style>p { x }</style>a<script>alert('<b>')</script>b", "  a b"),
        ("x<y and z>w, 3 < 5 > 2, <bryan@eai.com>", "x<y and z>w, 3 < 5 > 2, <bryan@eai.com>"),
        ("<<b>b>negrito", "negrito"),  # what removing one tag uncovers
        ("H<sub>2</sub>O", "H2O"),
    ],
    "control": [
        ("a\x00b\x07c\x7f\x80d", "abcd"),
        ("pa\u00adla\u200bvra\ufeff \u202etxet", "palavra txet"),
        ("a\tb\nc", "a\tb\nc"),  # white space is the last rule's
        ("می\u200cخواهم", "می\u200cخواهم"),  # the joiner is part of the word
    ],
    "unicode": [
        ("cafe\u0301 pa\u0303o", "café pão"),
        ("\u212b \u2126", "Å Ω"),
        ("café", "café"),
    ],
    "characters": [
        ("Bom\U0001f600 dia\u2764\ufe0f \U0001f468\u200d\U0001f4bb!", "Bom dia !"),
        ("R$ 10,50 (50%) - 30°C ½ «ação» A+B=C | €5 x²", "R$ 10,50 (50%) - 30°C ½ «ação» A+B=C | €5 x²"),
        ("日本語 Ελληνικά العربية हिन्दी", "日本語 Ελληνικά العربية हिन्दी"),
        ("a\ufffdb\ue000c", "abc"),
        ("👍🏽", ""),
    ],
    "white_space": [
        ("  um   copo\t\r\nazul \u00a0\u2003 ", "um copo azul"),
        ("a\u2028b\u0085c\x0bd", "a b c d"),
        ("um copo", "um copo"),
        (" " * 1001, ""),
    ],
}


def applied(texts: list[str], *rules: str, characters: str = "default") -> tuple[list[str], dict[str, list[int]]]:
    chosen = {name: rule for name, rule in text_rules(characters).items() if name in rules}
    fixed, changed = put_right(pl.Series("text", texts, pl.String), chosen)
    return fixed.to_list(), {name: sorted(set(index.tolist())) for name, index in changed.items()}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_puts_right_what_it_is_for_and_nothing_else(rule):
    before = [case[0] for case in CASES[rule]]
    after = [case[1] for case in CASES[rule]]
    fixed, changed = applied(before, rule)
    assert fixed == after
    assert changed == {rule: [n for n, (a, b) in enumerate(CASES[rule]) if a != b]}


def test_every_rule_has_its_cases_in_the_order_of_application():
    assert list(CASES) == list(text_rules("default"))


def test_the_strict_policy_keeps_letters_digits_commas_and_full_stops():
    before = ["Ação! 10% (R$ 5,00), fim.", "\u2615\ufe0f", "1\ufe0f\u20e3 fim", "हिन्दी"]
    after = ["Ação 10 R 5,00, fim.", "", "1 fim", "हिन्दी"]
    assert applied(before, "characters", characters="strict")[0] == after
    assert applied(["\U0001f600 \ufffd"], "characters", characters="any")[0] == ["\U0001f600 \ufffd"]


def test_what_one_rule_uncovers_the_others_put_right():
    texts = ["&lt;p&gt;Caf&Atilde;&copy;&lt;/p&gt;", "a&am\x00p;b", "&amp;lt;b&amp;gt;x&amp;lt;/b&amp;gt;", None]
    assert applied(texts, *CASES)[0] == ["Café", "a&b", "x", None]


def test_rules_that_undo_each_other_never_pass_for_clean():
    from stages.lib.texts import Rule

    always = pl.Expr.is_not_null
    swap = {
        "one": Rule(always, lambda texts: texts.str.replace("a", "b", literal=True), plain=True),
        "other": Rule(always, lambda texts: texts.str.replace("b", "a", literal=True), plain=True),
    }
    assert put_right(pl.Series("text", ["a", "c"]), swap)[0].to_list() == [None, "c"]


def test_no_character_that_normal_form_c_would_change_is_overlooked():
    """Also those that it only changes beside another one (all marks, and the letters of Hangul)."""
    import unicodedata

    from stages.lib.texts import MAYBE_NOT_NFC

    codes = [code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    found = set(pl.Series(codes).filter(pl.Series([chr(code) for code in codes]).str.contains(MAYBE_NOT_NFC)))
    changed = {code for code in codes if not unicodedata.is_normalized("NFC", chr(code))}
    marks = {code for code in codes if unicodedata.combining(chr(code))}
    assert len(changed) > 1000
    assert not (changed | marks) - found
