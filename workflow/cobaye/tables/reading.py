"""A table of a study: read, checked against its manifest, and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cobaye import kinds
from cobaye.errors import CorruptFile
from cobaye.storage import manifests, paths, table_names
from cobaye.storage.jobs import Job

# The names of a run within a study, and of a configuration, which has runs of several λ and seeds.
KEYS = ["model", "optimizer", "weight_decay", "seed"]
CONFIGURATION = ["model", "optimizer"]
MEASURES = ["split", "loss", "accuracy", "top5"]

# Columns of λ labels or names, read as text: "1e-3" is no number, and a class may be named "NA".
_TEXT = (
    *("model", "optimizer", "weight_decay", "name", "best", "against", "own", "naive", "honest"),
    *("first", "second", "worst", "best_on_val", "at"),
)
# Text in this table alone: in shrunk-curves, `shrunk` is a number of nats.
_TEXT_OF = {
    "class-gains": ("shrunk",),
    "transfer": ("chosen_on", "judged_on", "best_chosen_on", "best_judged_on"),
    "variance-shares": ("reference",),
}


def of_configuration(table: pd.DataFrame, row: Mapping[str, Any] | pd.Series) -> pd.DataFrame:
    """Return the rows of a table that are of the model and optimizer of a row."""
    return table[(table["model"] == row["model"]) & (table["optimizer"] == row["optimizer"])]


def read(folder: Path, table: str, manifest: manifests.Manifest) -> pd.DataFrame:
    """Return one table of a study, checked against the manifest."""
    path = manifest.check(folder, table_names.file(table))
    return read_file(path)


def read_file(path: Path) -> pd.DataFrame:
    """Return the table in a checked file; anything else raises CorruptFile."""
    if path.suffix == ".parquet":
        return read_checked(pd.read_parquet, path)
    # Only an empty field is missing: a class may be named "NA".
    stem, axis = kinds.without_axis(path.stem), kinds.axis(path.stem)
    own = (*_TEXT_OF.get(stem, ()), *((axis,) if axis else ()))
    text = dict.fromkeys((*_TEXT, *own), str)
    return read_checked(pd.read_csv, path, dtype=text, keep_default_na=False, na_values=[""])


def read_checked(reader: Callable[..., pd.DataFrame], path: Path, **options: Any) -> pd.DataFrame:
    """Return the table in a file; anything else raises CorruptFile."""
    try:
        return reader(path, **options)
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptFile(f"{path}: expected a table ({path.suffix}), found {reason}") from None


def read_tables(job: Job, tables: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Return tables of a job's study, by name, of any maker."""
    study, frames, known = job.identity["study"], {}, {}
    for table in tables:
        maker = table_names.makers()[table]
        if maker not in known:
            known[maker] = job.read(table_names.stage(maker), {"study": study, "maker": maker})
        frames[table] = read(job.root / paths.TABLES.format(study=study), table, known[maker])
    return frames


def read_chosen(job: Job, way: str) -> pd.DataFrame:
    """Return the λ of each class that a way chose: model, optimizer, class, name, weight_decay."""
    identity = {"study": job.identity["study"], "way": way}
    manifest = job.read("choose_weight_decay", identity)
    path = job.root / paths.CHOSEN.format(**identity)
    return read_file(manifest.check(path.parent, path.name))
