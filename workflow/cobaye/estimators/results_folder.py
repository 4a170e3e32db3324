"""`read`: the results of a finished study, as DataFrames and arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cobaye.errors import DataError, nearest
from cobaye.storage import checkpoints, manifests, paths, table_names
from cobaye.tables import reading


def read(folder: Path | str) -> Results:
    """Return the results of a study, such as ``read("results/glyphs")``.

    Raises DataError where there are none.
    """
    folder = Path(folder)
    if not (folder / "tables" / f"{table_names.TABULATE}.json").is_file():
        raise DataError(
            f"{folder}: no tables there: name the results of a finished study, such as "
            f"results/glyphs, or make them with: snakemake --cores all {folder.name}"
        )
    return Results(folder)


class Tables(Mapping[str, pd.DataFrame]):
    """The tables of a study, by name; each is read, and checked against its manifest, when used."""

    def __init__(self, folder: Path):
        self._folder, self._read = folder / "tables", {}

    @cached_property
    def _names(self) -> list[str]:
        return [
            table
            for table in table_names.makers()
            if (self._folder / table_names.manifest(table)).is_file()
        ]

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._names:
            raise KeyError(f"no table {name!r}: {nearest(name, self._names)}")
        if name not in self._read:
            maker = table_names.makers()[name]
            identity = {"study": self._folder.parent.name, "maker": maker}
            path = self._folder / table_names.manifest(name)
            manifest = manifests.read_manifest(path, table_names.stage(maker), identity)
            self._read[name] = reading.read(self._folder, name, manifest)
        return self._read[name].copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Results:
    """The results of one study.

    Attributes
    ----------
    folder : where they lie. study : its name.
    tables : name → DataFrame, such as ``tables["best-lambda"]``.
    """

    def __init__(self, folder: Path):
        self.folder, self.study = folder, folder.resolve().name
        self.tables = Tables(folder.resolve())

    @property
    def runs(self) -> pd.DataFrame:
        """The runs: model, optimizer, weight_decay, seed, epochs, stopped, finite, loss_name."""
        return self.tables["runs"]

    @cached_property
    def checkpoints(self) -> pd.DataFrame:
        """The checkpoints: model, optimizer, weight_decay, seed, epoch and path, a row for each.

        Runs that take their λ from tables are among them, such as "per-class-shrunk".
        """
        rows = [
            {
                **run,
                "epoch": epoch,
                "path": self._run(run) / "checkpoints" / paths.checkpoint(epoch),
            }
            for run in sorted(self._finished(), key=lambda run: tuple(run.values()))
            for epoch in manifests.kept_epochs(self._trained(run))
        ]
        return pd.DataFrame(rows, columns=[*reading.KEYS, "epoch", "path"])

    def _finished(self) -> Iterator[dict[str, Any]]:
        for path in self.folder.glob("runs/*/*/wd-*/seed-*/train.json"):
            *_, model, optimizer, decay, seed, _ = path.parts
            values = (model, optimizer, decay.removeprefix("wd-"), int(seed.removeprefix("seed-")))
            yield dict(zip(reading.KEYS, values, strict=True))

    def weights(self, **chosen: Any) -> dict[str, np.ndarray]:
        """Return the tensors of one checkpoint by name, once its bytes are checked.

        chosen : columns of `checkpoints`, as in ``weights(weight_decay="1e-3", seed=0)``. Without
        an epoch, it is the one that stands for the run. Raises DataError unless these name one run.
        """
        rows = self.checkpoints
        if unknown := set(chosen) - set(rows.columns):
            raise DataError(f"no column {unknown.pop()!r}: known: {', '.join(rows.columns)}")
        for column, value in chosen.items():
            rows = rows[rows[column] == value]
        if "epoch" not in chosen:
            runs = rows[reading.KEYS].drop_duplicates()
            epochs = [self._reported_epoch(run) for run in runs.to_dict("records")]
            rows = rows.merge(runs.assign(epoch=epochs))
        if len(rows) != 1:
            raise DataError(f"{chosen}: {len(rows)} checkpoints, not one: see `checkpoints`")
        row = rows.iloc[0]
        run, name = row[reading.KEYS].to_dict(), f"checkpoints/{Path(row['path']).name}"
        tensors = checkpoints.load(self._trained(run).check(self._run(run), name))
        return {key: tensor.numpy() for key, tensor in tensors.items()}

    def _run(self, run: Mapping[str, Any]) -> Path:
        within = Path(paths.RUN.format(study="", **run)).relative_to("results")
        return self.folder / within

    def _reported_epoch(self, run: Mapping[str, Any]) -> int:
        identity, path = {"study": self.study, **run}, self._run(run) / "evaluate.json"
        evaluated = manifests.read_manifest(path, "evaluate", identity)
        return manifests.reported_epoch(self._trained(run), evaluated)

    def _trained(self, run: Mapping[str, Any]) -> manifests.Manifest:
        identity = {"study": self.study, **run}
        return manifests.read_manifest(self._run(run) / "train.json", "train", identity)
