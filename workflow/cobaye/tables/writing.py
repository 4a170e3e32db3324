"""The tables of an analysis, written with their manifest."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cobaye.storage import files, manifests, paths, table_names


def write(
    kind: str,
    told: Mapping[str, Any],
    inputs: dict[str, str],
    tables: Mapping[str, pd.DataFrame],
    root: Path = Path(),
) -> Path:
    """Write an analysis's tables, all that it states and no other; return their manifest.

    told: identity {"study"}, recipe and code, as the plan gives them. inputs: path → sha256 of the
    manifests that were read.
    """
    names = table_names.made_by(kind)
    if set(tables) != set(names):
        raise ValueError(f"analysis {kind!r} states the tables {sorted(names)}")
    folder = root / paths.TABLES.format(**told["identity"])
    made = {}
    for table, file in names.items():
        data = _encoded(tables[table], file)
        made[file] = manifests.describe(folder / file, files.write_bytes(folder / file, data))
    path = folder / f"{kind}.json"
    info = {"manifest": path.name}
    manifest = manifests.Manifest(
        table_names.stage(kind), **told, inputs=inputs, files=made, info=info
    )
    manifest.write(path)
    return path


def _encoded(table: pd.DataFrame, file: str) -> bytes:
    if file.endswith(".csv"):
        return table.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
