"""Great Expectations' Data Docs as one page that needs no network and has the same bytes for the same results."""

import re
from html import escape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
# Scripts, styles and pictures come from other hosts (icons too: STYLE puts words in their place); the bar, the filters
# at the side and the footer lead to what is not there.
DROPPED = {
    "script",
    "style",
    "link",
    "img",
    "iframe",
    "object",
    "embed",
    "footer",
    "form",
    "label",
    "input",
    "button",
    "head",
}
DROPPED_CLASSES = {"navbar", "btn-group", "ge-breadcrumbs", "sticky"}
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{8}T\d{6}\.\d{6}Z|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+\d\d:\d\d|Z)?")

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { margin-top: 3rem; border-bottom: 2px solid var(--line); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top; }
.card { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem; margin: .6rem 0; }
.text-success { color: #2a8540; } .text-danger { color: #d43a3a; }
i.text-success::before { content: "✓ met"; } i.text-danger::before { content: "✗ not met"; }
i.text-warning::before { content: "! an exception"; } i { font-style: normal; white-space: nowrap; }
.badge { border: 1px solid var(--line); padding: 0 .3rem; }
"""


def page(results: list["ExpectationSuiteValidationResult"]) -> str:
    """Great Expectations' own rendering of the results, one part for each suite, with the style inside."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    parts = []
    for result in results:
        rendered = ValidationResultsPageRenderer(run_info_at_end=True).render(result)
        parts.append(f"<h2>{escape(result.suite_name)}</h2>\n{offline(DefaultJinjaPageView().render(rendered))}")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}<title>Expectations</title><style>{STYLE}</style></head>\n'
        f"<body>\n<h1>What was expected of the data, and what was found</h1>\n{''.join(parts)}</body>\n</html>\n"
    )


def offline(html: str) -> str:
    """The body without anything that loads, runs or differs from run to run; blank lines closed up."""
    filtered = _Offline()
    filtered.feed(html)
    filtered.close()
    text = TIME.sub("(not kept)", "".join(filtered.kept))
    numbers: dict[str, str] = {}
    text = UUID.sub(lambda found: numbers.setdefault(found[0], f"id-{len(numbers) + 1}"), text)
    return re.sub(r"\n\s*\n+", "\n", text)


class _Offline(HTMLParser):
    """Copies elements and texts, leaving out what is dropped together with all that is inside."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.kept: list[str] = []
        self._open: list[tuple[str, bool]] = []

    @property
    def _dropping(self) -> bool:
        return any(dropped for _, dropped in self._open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = set((dict(attrs).get("class") or "").split())
        dropped = tag in DROPPED or bool(classes & DROPPED_CLASSES)
        if tag not in VOID:
            self._open.append((tag, dropped))
        if dropped or self._dropping or tag in ("html", "body"):
            return
        kept = "".join(f' {name}="{escape(value or "")}"' for name, value in attrs if _harmless(name, value or ""))
        self.kept.append(f"<{tag}{kept}>")

    def handle_endtag(self, tag: str) -> None:
        names = [name for name, _ in self._open]
        if tag not in names:
            return
        dropping = self._dropping
        while self._open.pop()[0] != tag:
            pass
        if not dropping and tag not in ("html", "body"):
            self.kept.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self.kept.append(escape(data, quote=False))


def _harmless(name: str, value: str) -> bool:
    """Classes, ids, table spans and links within the page; no handler, no address, no style that could load."""
    return name in ("class", "id", "colspan", "rowspan", "aria-label") or (name == "href" and value.startswith("#"))
