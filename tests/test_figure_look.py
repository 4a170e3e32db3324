"""What every figure looks like: its width, the sizes and places of its texts, its colours."""

from __future__ import annotations

import functools
import itertools

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text

from cobaye import figures, kinds
from cobaye.figures import _configuration_curves, _log_axis, _panels, _style
from tests.colour_vision import VIEWS, distance, seen
from tests.drawing import FIGURES, drawn, render, texts
from tests.figure_tables import everything, study

KINDS = kinds.names("figures")
# The least that a reader tells apart with certainty is about 2.3 (Mahy and others, 1994).
APART = 10


@functools.cache
def tables():
    few = study(("0", "1e-4", "1e-3", "1e-2"), classes=30, groups=(("vgg16", "sgd-0"),))
    return {**everything(), **few}


@functools.cache
def figure(kind):
    return drawn(next(iter(kinds.constant("figures", kind, "NAMES"))), tables())


def visible(made):
    """Return the texts that a reader sees: no tick beyond its axis, no axis that is off."""
    hidden = set()
    for ax in made.findobj(Axes):
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not ax.axison or not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    shown = [text for text in made.findobj(Text) if text not in hidden and text.get_visible()]
    return [text for text in shown if text.get_text().strip()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_fits_a_column_and_its_texts_can_be_read(kind):
    made = figure(kind)
    assert made.get_figwidth() == figures.FIGURE_WIDTH == 5.5
    shown = visible(made)
    assert {text.get_text() for text in shown if not 6 <= text.get_fontsize() <= 8} == set()
    room = made.bbox.padded(1)
    cut = [text.get_text() for text in shown if not _inside(text.get_window_extent(), room)]
    assert cut == []


def _inside(box, room):
    return room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_legend_names_is_told_apart_in_grey_and_by_colour_blind_readers(kind):
    """Entries differ in dashes, marker, fill, hatching or width; else in colour, however seen."""
    for legend in figure(kind).findobj(Legend):
        for first, second in itertools.combinations(legend.legend_handles, 2):
            if _shape(first) == _shape(second):
                for view in VIEWS:
                    apart = distance(_colour(first), _colour(second), view)
                    assert apart >= APART, (first.get_label(), second.get_label(), view)


def _shape(handle):
    if isinstance(handle, Line2D):
        dashes = handle._unscaled_dash_pattern if handle.get_linestyle() != "None" else None
        fill = handle.get_markerfacecolor() != "white", handle.get_marker()
        return dashes, fill, handle.get_linewidth() if dashes else handle.get_markersize()
    return "area", handle.get_hatch()


def _colour(handle):
    """Return a legend entry's colour on white."""
    colour = handle.get_color() if isinstance(handle, Line2D) else handle.get_facecolor()
    if isinstance(handle, Line2D) and handle.get_linestyle() == "None":
        colour = handle.get_markerfacecolor()
    red, green, blue, alpha = to_rgba(colour, handle.get_alpha())
    return [1 - alpha * (1 - part) for part in (red, green, blue)]


def test_colour_vision_is_simulated():
    """White and black stay; in protanopia, red is dark; grey has no colour."""
    for view in VIEWS:
        assert seen("white", view) == pytest.approx([100, 0, 0], abs=0.5)
        assert seen("black", view) == pytest.approx([0, 0, 0], abs=0.5)
    # Known: L*a*b* of pure red, and of its luminance, 0.2126.
    assert seen("red") == pytest.approx([53.24, 80.09, 67.20], abs=0.1)
    assert seen("red", "grey") == pytest.approx([53.24, 0, 0], abs=0.1)
    assert seen("red", "protanopia")[0] < 45
    assert distance("red", "green", "deuteranopia") < distance("red", "green") / 2


def test_house_colours_differ_however_they_are_seen():
    for view in VIEWS:
        for pair in itertools.combinations(_style.COLOURS, 2):
            assert distance(*map(to_rgb, pair), view) >= APART, (pair, view)


def test_a_curve_has_the_colour_of_what_its_name_begins_with():
    pairs = [("net", f"lr{rate}-batch{size}") for rate in (0.1, 0.5) for size in (16, 64)]
    looks = _configuration_curves.looks([_panels.Configuration(*pair) for pair in pairs])
    colours, dashes = ([look[key] for look in looks.values()] for key in ("color", "linestyle"))
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert dashes[0] == dashes[2] != dashes[1] == dashes[3]
    both = [_panels.Configuration(*pair) for pair in itertools.product(("a", "b"), ("sgd", "adam"))]
    looks = _configuration_curves.looks(both)
    assert looks[both[0]]["color"] == looks[both[2]]["color"] != looks[both[1]]["color"]
    assert looks[both[0]]["linestyle"] == looks[both[1]]["linestyle"]


@pytest.mark.parametrize("name", ["train-curves", "test-curves", "weight-norm", "confusion"])
def test_one_lambda_is_neither_the_best_nor_in_a_legend(name):
    one = study(("5e-4",), classes=6, epochs=4)
    made = drawn(name, one)
    assert not [text for text in texts(made) if "best" in text or "5e-4" in text]
    assert made.findobj(Legend) == []


def test_a_legend_of_many_long_names_is_no_wider_than_its_figure():
    groups = tuple(
        (f"dropout-{share}", f"rate-{rate}-batch-{size}")
        for share, rate, size in itertools.product((0, 20, 50), (0.05, 0.2, 1), (16, 64))
    )
    made = drawn("optimizer-curves", study(("1e-4",), classes=3, epochs=3, groups=groups))
    box = made.legends[0].get_window_extent()
    assert len(made.legends) == 1
    assert made.bbox.x0 <= box.x0 < box.x1 <= made.bbox.x1


def test_ticks_of_one_logarithmic_axis_have_one_notation():
    for low, high, shown in (
        (0.0004, 0.3, "0.001"),
        (1500, 16000, "5000"),
        (85, 190, "120"),
        (2e5, 4e5, "2.5·10⁵"),
        (1e-5, 9, "10⁻³"),
    ):
        with _style.house():
            made = _style.figure(2.0)
            ax = made.subplots()
            ax.set_ylim(low, high)
            _log_axis.scale(ax, high / low)
            made.draw_without_rendering()
        ticks = [text for text in visible(made) if text in ax.get_yticklabels()]
        named = [text.get_text() for text in ticks]
        assert shown in named
        assert len({bool(set("⁰¹²³⁴⁵⁶⁷⁸⁹") & set(text)) for text in named}) == 1, named


def test_lambda_is_written_in_one_way():
    """Each figure of a last layer writes λ as the config does, and no other way."""
    for name in FIGURES:
        kind = FIGURES[name]
        if "activations" in str(kinds.constant("figures", kind, "TABLES")):
            continue
        for text in texts(figure(kind)):
            assert "λ = 10" not in text
            if "λ" in text:
                assert not set("⁰¹²³⁴⁵⁶⁷⁸⁹") & set(text.replace("λ · Σ", "")), text


def test_a_wider_figure_is_wider():
    kind = FIGURES["weight-norm"]
    options = kinds.options("figures", kind)()
    given = {name: tables()[name] for name in kinds.constant("figures", kind, "TABLES")}
    wide = figures.render(kind, given, options, width=8.0)["svg"].decode()
    assert 'width="576pt"' in wide
    assert 'width="396pt"' in render("weight-norm", tables())["svg"].decode()
