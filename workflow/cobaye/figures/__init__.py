"""Figures, one kind per file: small tables in; SVG, PDF and PNG out, the same bytes every time.

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
from cobaye.storage import files, manifests, paths

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
        for kind in kinds.names("figures")
        for figure in kinds.constant("figures", kind, "NAMES", {})
    }


def render(kind: str, tables: Mapping[str, pd.DataFrame], options: Any) -> dict[str, bytes]:
    """Draw one figure and return it as bytes by format: ``svg``, ``pdf`` and ``png``.

    ``kind`` is one of ``names().values()``; ``tables`` holds, by stem, those that the kind names in
    ``TABLES``; ``options`` is an instance of the kind's ``Options``.
    """
    from cobaye.figures import _style  # kinds are named, in the Snakefile, without matplotlib

    with _style.house():
        figure = kinds.load("figures", kind).draw(tables, options)
        _style.lay_out(figure)
        return {suffix: _encode(figure, suffix) for suffix in _METADATA}


def _encode(figure: Any, suffix: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, metadata=_METADATA[suffix])
    return buffer.getvalue()


def plot(identity: dict[str, Any], recipe: dict[str, Any], code: str, root: Path = Path()) -> Path:
    """Draw one figure of a study from its tables; return its manifest.

    identity: {"study", "figure"}. recipe: the figure's kind and options, and the tables it reads.
    Writes .svg, .pdf, .png.
    """
    from cobaye.tables import reading

    frames, inputs = reading.read_all(identity["study"], recipe["tables"], root)
    options = recipes.parse(kinds.options("figures", recipe["kind"]), recipe["options"])
    base = root / paths.FIGURES.format(**identity) / identity["figure"]
    entries = {}
    for suffix, data in render(recipe["kind"], frames, options).items():
        path = base.with_name(f"{base.name}.{suffix}")
        entries[path.name] = manifests.describe(path, files.write_bytes(path, data))
    manifest = base.with_name(f"{base.name}.json")
    manifests.Manifest("plot", identity, recipe, code, inputs, entries).write(manifest)
    return manifest
