"""Analyses that look inside each run: one job per run and state, then one that joins their tables.

Such a kind of `analyses` states ``STATES`` (some of `paths.STATES`), ``SPLIT`` (the split that it
reads, or None), ``COLUMNS`` (table name → its columns, in a text) and ``inspect(run, options)``,
from an `opened_run.Inside` to the tables by name (one may be empty, without columns). So a run that
is added to a study is inspected alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from cobaye import kinds, recipes
from cobaye.data import splits
from cobaye.inside.opened_run import Inside
from cobaye.storage import paths, table_names
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import trained_model
from cobaye.tables import reading, writing

RUN = tuple(reading.KEYS)


def inspect_run(job: Job) -> Path:
    """Look inside one run; return the manifest.

    job.identity: of the run, with "analysis" and "state". job.recipe: {"options", "data"}. A run
    that diverged has empty tables.
    """
    kind, run = job.identity["analysis"], {key: job.identity[key] for key in ("study", *RUN)}
    trained = job.read("train", run)
    name = kinds.constant("analyses", kind, "SPLIT")
    data = recipes.parse(recipes.Data, job.recipe["data"])
    split = splits.load_for(job, data, [name])[name] if name else None
    folder, state = job.root / paths.RUN.format(**run), job.identity["state"]
    opened = Inside(folder, trained, *trained_model(trained), state, split, job.device)
    options = recipes.parse(kinds.options("analyses", kind), job.recipe["options"])
    finite = trained.info["finite"] or state == "initial"
    tables = kinds.load("analyses", kind).inspect(opened, options) if finite else {}
    return _write(job, tables)


def _write(job: Job, tables: Mapping[str, pd.DataFrame]) -> Path:
    kind = job.identity["analysis"]
    columns, entries = kinds.constant("analyses", kind, "COLUMNS"), {}
    if tables and set(tables) != set(columns):
        raise ValueError(f"analysis {kind!r} states the tables {sorted(columns)}")
    for name, expected in columns.items():
        frame = tables.get(name, pd.DataFrame())
        if len(frame) and list(frame.columns) != expected.split():
            raise ValueError(f"the table {name!r} has the columns {list(frame.columns)}")
        file = job.folder / f"{name}.parquet"
        table = pa.Table.from_pandas(frame, preserve_index=False)
        entries[file.name] = writing.write_parquet(file, table)
    return job.publish(entries)


def join(job: Job) -> dict[str, pd.DataFrame]:
    """Return the tables of all runs of a study, joined.

    job.identity: {"study", "maker": the analysis}. job.recipe: {"inspected": identities of runs
    with "state", in the order of the config}. Where a kind looks at several states, its tables have
    the column "state".
    """
    kind = job.identity["maker"]
    several = len(kinds.constant("analyses", kind, "STATES")) > 1
    columns = (*RUN, "state") if several else RUN
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in table_names.made_by(kind)}
    for run in job.recipe["inspected"]:
        identity = {"study": job.identity["study"], "analysis": kind, **run}
        manifest = job.read("inspect_run", identity)
        folder = job.root / paths.INSIDE.format(**identity)
        for name, tables in parts.items():
            table = reading.read_file(manifest.check(folder, f"{name}.parquet"))
            if len(table):
                for at, column in enumerate(columns):
                    table.insert(at, column, run[column])
                tables.append(table)
    stated = kinds.constant("analyses", kind, "COLUMNS")
    return {
        name: _joined(tables, [*columns, *stated[name].split()]) for name, tables in parts.items()
    }


def _joined(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Return the tables one below the other; an empty one if there are none."""
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
