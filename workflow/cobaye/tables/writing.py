"""The tables of an analysis, written with their manifest."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cobaye.storage import files, manifests, table_names
from cobaye.storage.jobs import Job


def write_tables(job: Job, tables: Mapping[str, pd.DataFrame]) -> Path:
    """Write the tables of an analysis, exactly those that it states; return their manifest."""
    kind = job.identity["maker"]
    names = table_names.made_by(kind)
    if set(tables) != set(names):
        raise ValueError(f"analysis {kind!r} states the tables {sorted(names)}")
    entries = {}
    for table, file in names.items():
        path = job.folder / file
        data = _encoded(tables[table], file)
        entries[file] = manifests.describe(path, files.write_bytes(path, data))
    return job.publish(entries)


def _encoded(table: pd.DataFrame, file: str) -> bytes:
    if file.endswith(".csv"):
        return table.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
