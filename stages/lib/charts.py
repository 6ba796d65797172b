"""The charts of the report: Vega-Lite by altair, drawn as SVG text without a browser, a font server or a network."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import altair as alt

WIDTH, HEIGHT = 340, 230  # of the whole drawing: legible at its own size on a phone
ROW = 30  # height of one line of dots
INK, QUIET, LINE = "#22282e", "#56606b", "#dfe3e8"
# Told apart by hue, by lightness and by shape (Okabe & Ito 2008, darkened to 3:1 against white).
COLOURS = {
    "tuned": "#00695c",
    "baseline": "#8a5a00",
    "copy_prompt_input": "#5b6ee1",
    "nearest": "#b0457b",
    "reference": "#56606b",
    "train": "#8a5a00",
    "validation": "#00695c",
    "rougeL": "#00695c",
    "bleu": "#5b6ee1",
}
SHAPES = {"tuned": "circle", "baseline": "square", "copy_prompt_input": "triangle-up", "nearest": "diamond"}
LOCALES = {"en": "en-US", "pt": "pt-BR"}


def svg(chart: "alt.Chart", name: str, language: str) -> str:
    """The chart as SVG that scales with its place on the page; its ids begin with `name`, so that none meet."""
    import vl_convert

    told = chart.configure(font="Helvetica, Arial, sans-serif").to_dict()
    told["autosize"] = {"type": "fit", "contains": "padding"}
    told["config"] |= {
        "view": {"stroke": None},
        "axis": {
            "labelColor": QUIET,
            "titleColor": QUIET,
            "titleFontWeight": "normal",
            "labelFontSize": 11,
            "titleFontSize": 11,
            "gridColor": LINE,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
        },
        "legend": {
            "labelColor": INK,
            "labelFontSize": 11,
            "title": None,
            "orient": "top",
            "symbolSize": 60,
            "columns": 2,
            "labelLimit": 150,
        },
    }
    drawn = vl_convert.vegalite_to_svg(told, format_locale=LOCALES[language])
    drawn = re.sub(r"\b(clip|gradient_)(\d+)\b", rf"{name}-\1\2", drawn)
    # Without a fixed size the drawing follows its figure; the view box keeps its proportions.
    return re.sub(r'(<svg[^>]*?) width="[\d.]+" height="[\d.]+"', r"\1", drawn, count=1)


def _scale(names: Sequence[str], words: Mapping[str, str], values: Mapping[str, str]) -> "alt.Scale":
    import altair as alt

    return alt.Scale(domain=[words[name] for name in names], range=[values[name] for name in names])


def lines(series: Mapping[str, Sequence[tuple[float, float]]], words: Mapping[str, str], axes: tuple[str, str]) -> Any:
    """Lines of (x, y) points, one for each series that has points; a dot marks each point of a short line."""
    import altair as alt

    there = [name for name, points in series.items() if points]
    data = [{"x": x, "y": y, "series": words[name]} for name in there for x, y in series[name]]
    short = {words[name] for name in there if len(series[name]) <= 30}
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("x:Q", title=axes[0], axis=alt.Axis(tickCount=5, grid=False)),
        y=alt.Y("y:Q", title=axes[1], axis=alt.Axis(tickCount=5), scale=alt.Scale(zero=True)),
        color=alt.Color("series:N", scale=_scale(there, words, COLOURS)),
    )
    dots = base.transform_filter(alt.FieldOneOfPredicate(field="series", oneOf=sorted(short))).mark_circle(size=26)
    return (base.mark_line(strokeWidth=2) + dots).properties(width=WIDTH, height=HEIGHT)


def curve(points: Sequence[Mapping[str, float | None]], name: str, scale: float = 1.0) -> list[tuple[float, float]]:
    """The points (step, value / scale) of one column of the training curves, where it was measured."""
    return [(row["step"], row[name] / scale) for row in points if row[name] is not None]


def histogram(
    values: Mapping[str, np.ndarray], words: Mapping[str, str], axes: tuple[str, str], edges: np.ndarray
) -> Any:
    """How many rows fall between each two `edges`, one stepped line per series; what lies beyond counts as the last."""
    import altair as alt

    data = []
    for name, numbers in values.items():
        counts, _ = np.histogram(np.clip(numbers, edges[0], edges[-1]), bins=edges)
        steps = zip(edges, [*counts, counts[-1]], strict=True)
        data += [{"x": round(float(edge), 4), "y": int(count), "series": words[name]} for edge, count in steps]
    return (
        alt.Chart(alt.Data(values=data))
        .mark_area(interpolate="step-after", fillOpacity=0.12, line={"strokeWidth": 1.8})
        .encode(
            x=alt.X("x:Q", title=axes[0], axis=alt.Axis(tickCount=6, grid=False)),
            y=alt.Y("y:Q", title=axes[1], stack=None, axis=alt.Axis(tickCount=4)),
            color=alt.Color("series:N", scale=_scale(list(values), words, COLOURS)),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )


def levels(values: Mapping[str, Mapping[str, float]], words: Mapping[str, str]) -> Any:
    """A dot for each system and metric, from 0 to 1: metric -> system -> value."""
    import altair as alt

    systems = list(next(iter(values.values())))
    data = [
        {"metric": words[metric], "system": words[system], "value": value}
        for metric, row in values.items()
        for system, value in row.items()
    ]
    return (
        alt.Chart(alt.Data(values=data))
        .mark_point(filled=True, size=75, opacity=0.92)
        .encode(
            x=alt.X("value:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5)),
            y=alt.Y(
                "metric:N",
                title=None,
                sort=[words[name] for name in values],
                # A mark at nought is as wide as its half to the left.
                axis=alt.Axis(labelColor=INK, grid=True, labelPadding=12),
            ),
            color=alt.Color("system:N", scale=_scale(systems, words, COLOURS), legend=alt.Legend(columns=1)),
            shape=alt.Shape("system:N", scale=_scale(systems, words, SHAPES)),
        )
        .properties(width=WIDTH, height=110 + ROW * len(values))
    )


def intervals(rows: Sequence[Mapping[str, Any]], colour: str, axis: str) -> Any:
    """A dot and its interval for each row {label, delta, low, high}, with a line at no difference."""
    import altair as alt

    base = alt.Chart(alt.Data(values=[dict(row) for row in rows])).encode(
        y=alt.Y(
            "label:N", title=None, sort=[row["label"] for row in rows], axis=alt.Axis(labelColor=INK, labelLimit=220)
        ),
    )
    spans = base.mark_rule(strokeWidth=3, color=colour, opacity=0.45).encode(
        x=alt.X("low:Q", title=axis, axis=alt.Axis(tickCount=4), scale=alt.Scale(zero=True)),
        x2="high:Q",
    )
    dots = base.mark_circle(size=70, color=colour, opacity=1).encode(x="delta:Q")
    zero = alt.Chart(alt.Data(values=[{"x": 0}])).mark_rule(color=INK).encode(x="x:Q")
    return (zero + spans + dots).properties(width=WIDTH, height=40 + ROW * len(rows))
