"""Figures, one kind per file.

In: tables of a study. Out: SVG, PDF and PNG, the same bytes every time.

A kind states ``NAMES`` (the figures it draws, with the options that each starts from), ``TABLES``
(those it reads; ``OPTIONAL_TABLES``: if the study makes them), ``Options`` and
``draw(tables, options)``. Modules whose names begin with an underscore are no kinds: they hold what
kinds share.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cobaye import kinds, recipes
from cobaye.recipes.study import FIGURE_WIDTH
from cobaye.storage import files, manifests
from cobaye.storage.jobs import Job

if TYPE_CHECKING:
    import pandas as pd

# Neither date nor version: the same tables must give the same bytes.
_METADATA = {
    "svg": {"Date": None, "Creator": "cobaye"},
    "pdf": {"CreationDate": None, "Creator": "cobaye", "Producer": None},
    "png": {"Software": "cobaye"},
}


def names() -> dict[str, str]:
    """Return the kind of every figure: figure name → kind name. No kind is imported."""
    return {
        figure: kind
        for kind in kinds.with_variants("figures")
        for figure in kinds.constant("figures", kind, "NAMES")
    }


def named(kind: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return tables under the names that `draw` knows: over the axis of a variant, those of λ."""
    bare = kinds.axis(kind) is not None
    return {kinds.without_axis(name) if bare else name: each for name, each in tables.items()}


def render(
    kind: str, tables: Mapping[str, pd.DataFrame], options: Any, width: float = FIGURE_WIDTH
) -> dict[str, bytes]:
    """Draw one figure and return it as bytes by format: ``svg``, ``pdf`` and ``png``.

    ``kind`` is one of ``names().values()``; ``tables`` holds, by stem, those that the kind names in
    ``TABLES``, over any axis; ``options`` is an instance of the kind's ``Options``; ``width`` is in
    inches.
    """
    from cobaye.figures import _style  # kinds are named, in the Snakefile, without matplotlib

    with _style.house(width):
        figure = kinds.load("figures", kind).draw(named(kind, tables), options)
        _style.lay_out(figure)
        return {suffix: _encode(figure, suffix) for suffix in _METADATA}


def _encode(figure: Any, suffix: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, metadata=_METADATA[suffix])
    return buffer.getvalue()


def plot(job: Job) -> Path:
    """Draw one figure of a study from its tables; return its manifest.

    job.identity: {"study", "figure"}. job.recipe: the figure's kind, options and width, and the
    tables it reads. Writes .svg, .pdf, .png.
    """
    from cobaye.tables import reading

    recipe, entries = job.recipe, {}
    tables = reading.read_tables(job, recipe["tables"])
    options = recipes.parse(kinds.options("figures", recipe["kind"]), recipe["options"])
    for suffix, data in render(recipe["kind"], tables, options, recipe["width"]).items():
        path = job.path.with_name(f"{job.identity['figure']}.{suffix}")
        entries[path.name] = manifests.describe(path, files.write_bytes(path, data))
    return job.publish(entries)
