"""Analyses that look inside each run: one job per run and state, then one that joins their tables.

Such a kind of `analyses` states ``STATES``, which of `paths.STATES` it looks at, ``SPLIT``, what
it reads of the data (None: nothing), ``COLUMNS``, those of each of its ``TABLES``, in a text, and
``measure(run, options)``, from an `inside.Inside` to these tables (one may be empty, without
columns). Adding a run so measures that run alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from cobaye import kinds, recipes
from cobaye.data import splits
from cobaye.inside.opened_run import Inside
from cobaye.storage import files, manifests, paths, table_names
from cobaye.tables import reading, writing

RUN = tuple(reading.KEYS)


def measure(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    expected: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Look inside one run; return the manifest.

    identity: of the run, with "analysis" and "state". recipe: {"options", "data", "model", "loss"}.
    expected: the fingerprint that the config gives the training; another one raises StaleFile.
    A run that diverged has empty tables.
    """
    kind, of_run = identity["analysis"], {k: identity[k] for k in ("study", *RUN)}
    folder = root / paths.RUN.format(**of_run)
    trained = manifests.read_manifest(folder / "train.json", "train", of_run)
    manifests.require_fresh(folder / "train.json", trained, expected)
    manifests.require_inputs(folder / "train.json", trained, root)
    name = kinds.constant("analyses", kind, "SPLIT")
    data = recipes.parse(recipes.Data, recipe["data"])
    split = splits.load(data, name, root, memory) if name else None
    model = recipes.parse(recipes.Kind, recipe["model"])
    run = Inside(folder, trained, model, recipe["loss"], identity["state"], split, device)
    options = recipes.parse(kinds.options("analyses", kind), recipe["options"])
    finite = trained.info["finite"] or run.state == "initial"
    found = kinds.load("analyses", kind).measure(run, options) if finite else {}
    inputs = {f"{paths.RUN.format(**of_run)}/train.json": files.sha256(folder / "train.json")}
    inputs |= split.manifest if split else {}
    return _write(root / paths.MEASURE.format(**identity), identity, recipe, code, inputs, found)


def _write(
    folder: Path,
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    inputs: dict[str, str],
    found: Mapping[str, pd.DataFrame],
) -> Path:
    columns, made = kinds.constant("analyses", identity["analysis"], "COLUMNS"), {}
    if found and set(found) != set(columns):
        raise ValueError(f"analysis {identity['analysis']!r} states the tables {sorted(columns)}")
    for name, expected in columns.items():
        frame = found.get(name, pd.DataFrame())
        if len(frame) and list(frame.columns) != expected.split():
            raise ValueError(f"the table {name!r} has the columns {list(frame.columns)}")
        table = pa.Table.from_pandas(frame, preserve_index=False)
        file = folder / f"{name}.parquet"
        made[file.name] = reading.write_table(file, table)
    path = folder / "manifest.json"
    stage, info = f"measure_{identity['analysis']}", {"manifest": path.name}
    manifests.Manifest(stage, identity, recipe, code, inputs, made, info).write(path)
    return path


def join(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    expected: Mapping[str, str],
    root: Path = Path(),
) -> Path:
    """Join the tables of all runs of a study; return the manifest.

    identity: {"study", "analysis"}. recipe: {"measured"}, what was looked at: identities of runs
    with "state", in the order of the config. expected: folder → fingerprint of what was measured.
    Where a kind looks at several states, its tables have the column "state".
    """
    kind, study = identity["analysis"], {"study": identity["study"]}
    several = len(kinds.constant("analyses", kind, "STATES")) > 1
    columns = (*RUN, "state") if several else RUN
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in table_names.made_by(kind)}
    inputs: dict[str, str] = {}
    for run in recipe["measured"]:
        own = {**identity, **run}
        path = root / (place := paths.MEASURE.format(**own)) / "manifest.json"
        manifest = manifests.read_manifest(path, f"measure_{kind}", own)
        manifests.require_fresh(path, manifest, expected[place])
        manifests.require_inputs(path, manifest, root)
        inputs[f"{place}/manifest.json"] = files.sha256(path)
        for name, found in parts.items():
            table = reading.read_file(manifest.check(path.parent, f"{name}.parquet"))
            if len(table):
                for at, column in enumerate(columns):
                    table.insert(at, column, run[column])
                found.append(table)
    told = {"identity": study, "recipe": recipe, "code": code}
    own = kinds.constant("analyses", kind, "COLUMNS")
    joined = {name: _joined(found, [*columns, *own[name].split()]) for name, found in parts.items()}
    return writing.write(kind, told, inputs, joined, root)


def _joined(found: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Return tables one below the other; of none, an empty one."""
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
