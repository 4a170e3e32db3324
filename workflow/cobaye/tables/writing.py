"""Tables written: CSV, parquet, and those of an analysis with their manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cobaye.storage import files, manifests, table_names
from cobaye.storage.jobs import Job
from cobaye.tables import html_page


def write(path: Path, table: pd.DataFrame) -> dict[str, Any]:
    """Write a table in the format of its file's name; return its manifest entry."""
    if path.suffix == ".csv":
        return write_csv(path, table)
    return write_parquet(path, pa.Table.from_pandas(table, preserve_index=False))


def write_csv(path: Path, table: pd.DataFrame) -> dict[str, Any]:
    """Write a table as CSV, whole or not at all; return its manifest entry."""
    data = table.to_csv(index=False, lineterminator="\n").encode()
    return manifests.describe(path, files.write_bytes(path, data))


def write_parquet(path: Path, table: pa.Table) -> dict[str, Any]:
    """Write a table as parquet, whole or not at all; return its manifest entry."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return manifests.describe(path, files.write_bytes(path, sink.getvalue().to_pybytes()))


def write_with_page(
    job: Job, name: str, tables: Mapping[str, pd.DataFrame]
) -> dict[str, dict[str, Any]]:
    """Write tables as CSV into a job's folder, and a page of all; return their manifest entries."""
    entries = {f"{t}.csv": write_csv(job.folder / f"{t}.csv", tables[t]) for t in tables}
    path = job.folder / f"{name}.html"
    data = html_page.page(f"{job.identity['study']}: {name}", tables).encode()
    return {**entries, path.name: manifests.describe(path, files.write_bytes(path, data))}


def write_tables(job: Job, tables: Mapping[str, pd.DataFrame]) -> Path:
    """Write the tables of a maker, exactly those that it states, and their page.

    Returns their manifest. Large tables (parquet) are not on the page.
    """
    maker = job.identity["maker"]
    names = table_names.made_by(maker)
    if set(tables) != set(names):
        raise ValueError(f"{maker!r} states the tables {sorted(names)}, and made {sorted(tables)}")
    shown = {name: tables[name] for name, file in names.items() if file == f"{name}.csv"}
    entries = {
        file: write(job.folder / file, tables[name])
        for name, file in names.items()
        if name not in shown
    }
    return job.publish(entries | write_with_page(job, maker, shown))
