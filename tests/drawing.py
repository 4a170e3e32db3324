"""Figures as tests look at them: drawn from tables, and read back."""

from __future__ import annotations

import pytest
from matplotlib.text import Text

from cobaye import figures, kinds
from cobaye.figures import _style
from cobaye.storage import table_names
from cobaye.tables import reading

FIGURES = figures.names()


def arguments(figure, tables, **changes):
    """Return a figure's kind, the tables that the kind says it reads, and its options."""
    kind = FIGURES[figure]
    named = kinds.constant("figures", kind, "NAMES")[figure]
    stems = kinds.constant("figures", kind, "TABLES")
    stems += kinds.constant("figures", kind, "OPTIONAL_TABLES", ())
    read = figures.named(kind, {stem: tables[stem] for stem in stems if stem in tables})
    return kind, read, kinds.options("figures", kind)(**{**named, **changes})


def render(figure, tables, **changes):
    """Return the bytes by format."""
    return figures.render(*arguments(figure, tables, **changes))


def svg(figure, tables):
    """Return the bytes of the SVG alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_METADATA", {"svg": figures._METADATA["svg"]})
        return render(figure, tables)["svg"]


def drawn(figure, tables, **changes):
    """Return the matplotlib Figure, laid out, for a look at its parts."""
    kind, read, options = arguments(figure, tables, **changes)
    with _style.house():
        result = kinds.load("figures", kind).draw(read, options)
        _style.lay_out(result)
        result.draw_without_rendering()  # warns of letters that no font has
        return result


def sketched(figure, tables):
    """Return the matplotlib Figure, laid out once: `drawn` is for places to be exact."""
    with _style.house():
        result = parts(figure, tables)
        result.draw_without_rendering()  # lays it out; warns of letters that no font has
        return result


def parts(figure, tables):
    """Return the matplotlib Figure, not laid out: for what stands in it, not where."""
    kind, read, options = arguments(figure, tables)
    with _style.house():
        return kinds.load("figures", kind).draw(read, options)


def written(figure, tables):
    """Return all that is written in a figure."""
    return texts(sketched(figure, tables))


def draw_all(study, names):
    """Draw figures from the tables of a study's folder, in this process."""
    stems = {stem: study / "tables" / table_names.file(stem) for stem in table_names.makers()}
    tables = {stem: reading.read_file(path) for stem, path in stems.items() if path.exists()}
    for name in names:
        assert written(name, tables), name


def texts(artist):
    """Return all that is written in a figure or a panel."""
    return [text.get_text() for text in artist.findobj(Text) if text.get_text()]


def lines(ax, marker):
    """Return the lines of a panel that have a marker ("None": of those without)."""
    return [line for line in ax.lines if line.get_marker() == marker]
