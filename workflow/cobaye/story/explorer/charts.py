"""The charts of the explorer: Vega specifications, and the library that draws them.

Altair states them in Vega-Lite; they are compiled here, so that the browser need not.
"""

from __future__ import annotations

import functools
from typing import Any

import altair as alt
import vl_convert

INK, ACCENT, GREY, BLUE = "#1a1a1a", "#b5311f", "#8a8a8a", "#0b62a4"
# What became of a class: its word, colour and shape, which differ in grey too.
SIGNS = {
    "surely helped": (BLUE, "triangle-up"),
    "not sure": ("#a0a0a0", "circle"),
    "surely harmed": (ACCENT, "triangle-down"),
}
# Lines of the loss: their colour, dashes and width.
LINES: dict[str, tuple[str, list[int], float]] = {
    "test": (BLUE, [1, 0], 2.4),
    "val": (INK, [6, 3], 1.3),
    "train": (INK, [1.5, 2.5], 1.3),
    "all classes, test": ("#9a9a9a", [1, 0], 1.3),
}
# What the page sets of the scatter: the fields of both axes, and the number of the chosen class.
_ASKED: dict[str, Any] = {"x_field": "loss", "y_field": "effect", "chosen": -1}
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_AXIS = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
_AXIS |= {"gridColor": "#ececec", "domainColor": "#777", "tickColor": "#777", "labelColor": INK}


@functools.cache
def library() -> str:
    """Return Vega as one script that needs no network; it sets `vegaEmbed` of the page's window."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def specifications() -> dict[str, dict[str, Any]]:
    """Return the Vega specification of each chart, by the element that holds it."""
    charts = {"losses": _losses(), "curve": _curve(), "scatter": _scatter()}
    return {name: _compiled(chart) for name, chart in charts.items()}


def _compiled(chart: alt.LayerChart) -> dict[str, Any]:
    room = {"left": 4, "right": 16, "top": 6, "bottom": 4}  # labels reach beyond their axis
    chart = chart.properties(width="container", height="container", padding=room)
    fit = alt.AutoSizeParams(type="fit", contains="padding", resize=True)
    chart = chart.configure(font=_FONT, autosize=fit)
    chart = chart.configure_axis(**_AXIS).configure_view(stroke=None)
    return vl_convert.vegalite_to_vega(chart.to_dict(context={"pre_transform": False}))


def _over_lambda() -> alt.X:
    """Return the axis of λ; the page gives its ticks and their labels as parameters."""
    axis = alt.Axis(
        values=alt.ExprRef("ticks"),
        labelExpr="labels[indexof(ticks, datum.value)]",
        labelOverlap="greedy",
        grid=False,
    )
    scale = alt.Scale(zero=False, nice=False, padding=6)
    return alt.X("place:Q", title="weight decay λ", axis=axis, scale=scale)


def _parameters() -> list[alt.Parameter]:
    return [alt.param(name=name, value=[]) for name in ("ticks", "labels")]


def _best_rule() -> alt.Chart:
    """Return the line at the best λ."""
    return (
        alt.Chart(alt.NamedData("best_lambda"))
        .mark_rule(color=ACCENT, strokeDash=[3, 3], strokeWidth=1.2)
        .encode(x="place:Q")
    )


def _losses() -> alt.LayerChart:
    names = list(LINES)
    colours, dashes, widths = zip(*LINES.values(), strict=True)
    lines = (
        alt.Chart(alt.NamedData("losses"))
        .mark_line(interpolate="linear")
        .encode(
            x=_over_lambda(),
            y=alt.Y("loss:Q", title="mean loss", scale=alt.Scale(zero=True)),
            color=_scale(alt.Color, names, colours),
            strokeDash=_scale(alt.StrokeDash, names, dashes),
            strokeWidth=_scale(alt.StrokeWidth, names, widths),
        )
    )
    points = (
        lines.transform_filter("datum.of == 'test'")
        .mark_point(filled=True, size=34, opacity=1, color=BLUE)
        .encode(
            strokeDash=alt.value([1, 0]),
            strokeWidth=alt.value(0),
            tooltip=[alt.Tooltip("lambda:N", title="λ"), _number("loss", "test loss", ".3f")],
        )
    )
    return alt.layer(_best_rule(), lines, points).add_params(*_parameters())


def _scale(channel: Any, names: list[str], values: tuple[Any, ...]) -> Any:
    scale = alt.Scale(domain=names, range=list(values))
    return channel("of:N", scale=scale, legend=None)


def _number(field: str, title: str, form: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title, format=form)


def _curve() -> alt.LayerChart:
    data = alt.Chart(alt.NamedData("curve"))
    title = "difference in test loss"
    zero = alt.Chart(alt.NamedData("zero")).mark_rule(color=GREY).encode(y="place:Q")
    band = data.mark_area(color=BLUE, opacity=0.2).encode(
        x=_over_lambda(), y=alt.Y("shrunk_low:Q", title=title), y2="shrunk_high:Q"
    )
    ends = [
        data.mark_line(color=GREY, strokeWidth=1, strokeDash=[1.5, 2.5]).encode(
            x=_over_lambda(), y=alt.Y(f"{end}:Q", title=title)
        )
        for end in ("raw_low", "raw_high")
    ]
    raw = data.mark_line(color=INK, strokeDash=[6, 3], strokeWidth=1.3).encode(
        x=_over_lambda(), y=alt.Y("raw:Q", title=title)
    )
    shrunk = data.mark_line(color=BLUE, strokeWidth=2.4).encode(
        x=_over_lambda(), y=alt.Y("shrunk:Q", title=title)
    )
    shown = [alt.Tooltip("lambda:N", title="λ"), _number("shrunk", "shrunk", "+.3f")]
    shown += [_number(f"shrunk_{end}", f"  {end} end", "+.3f") for end in ("low", "high")]
    shown += [_number("raw", "raw", "+.3f")]
    points = shrunk.mark_point(filled=True, size=34, opacity=1, color=BLUE).encode(tooltip=shown)
    layers = (zero, _best_rule(), band, *ends, raw, shrunk, points)
    return alt.layer(*layers).add_params(*_parameters())


def _scatter() -> alt.LayerChart:
    names, (colours, shapes) = list(SIGNS), map(list, zip(*SIGNS.values(), strict=True))
    asked = [alt.param(name=name, value=value) for name, value in _ASKED.items()]
    base = (
        alt.Chart(alt.NamedData("classes"))
        .transform_calculate(x="datum[x_field]", y="datum[y_field]")
        .transform_filter("isValid(datum.x) && isValid(datum.y)")
        .encode(
            x=alt.X("x:Q", title=None, scale=alt.Scale(zero=False, padding=10)),
            y=alt.Y("y:Q", title=None, scale=alt.Scale(zero=False, padding=10)),
        )
    )
    dots = base.mark_point(filled=True, size=46, cursor="pointer").encode(
        color=alt.Color("sign:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        shape=alt.Shape("sign:N", scale=alt.Scale(domain=names, range=shapes), legend=None),
        opacity=alt.condition("datum.found", alt.value(0.85), alt.value(0.12)),
        tooltip=[
            alt.Tooltip("name:N", title="class"),
            _number("accuracy", "accuracy (%)", ".1f"),
            _number("loss", "loss", ".3f"),
        ],
    )
    chosen = base.transform_filter("datum.k == chosen")
    ring = chosen.mark_point(size=210, color=INK, strokeWidth=2.2, opacity=1)
    label = chosen.mark_text(dy=-16, fontSize=13, fontWeight="bold", limit=180).encode(
        text="name:N"
    )
    return alt.layer(dots, ring, label).add_params(*asked)
