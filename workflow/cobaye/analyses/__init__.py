"""Analyses of a study's finished runs, one kind per file: more tables, each with its manifest.

A kind states ``TABLES`` (table name → file), ``Options``, and computes; its rule and script are
named ``analyse_<kind>``. What all of them share is here: how tables and manifest are written.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cobaye import files, paths, table_files


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
    names = table_files.made_by(kind)
    if set(tables) != set(names):
        raise ValueError(f"analysis {kind!r} states the tables {sorted(names)}")
    folder = root / paths.TABLES.format(**told["identity"])
    made = {}
    for table, file in names.items():
        data = _encoded(tables[table], file)
        made[file] = files.describe(folder / file, files.write_bytes(folder / file, data))
    path = folder / f"{kind}.json"
    info = {"manifest": path.name}
    manifest = files.Manifest(table_files.stage(kind), **told, inputs=inputs, files=made, info=info)
    manifest.write(path)
    return path


def _encoded(table: pd.DataFrame, file: str) -> bytes:
    if file.endswith(".csv"):
        return table.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
