"""Datasets: images or features with integer labels and class names; one kind per file.

In: a kind's options, and files or an archive. Out: arrays or an index, as plain files, made once.

A kind is a file here: ``FORM`` ("images" unless it says "features" or "files"), ``Options``,
``problems(options)`` (obstacles, as sentences), ``prepare(options, progress)`` and, if it reads
files, ``sources(options)`` (their paths; a folder stands for the names in it, and
``Prepared.read`` for the contents of those that were read).

One whose files can be downloaded has the option ``download``, whether they may be,
``fetch(options)``, which downloads those that are missing if they may be, and refuses damaged ones,
and ``to_fetch(options)``, the bytes that it would write.

``Options`` may have a method ``sizes()``, by which jobs ask for memory and time before the data are
prepared. It returns a dict with some of ``images`` (split → how many, at most), ``shape`` (of one
input), ``itemsize`` (bytes per number), ``classes``, and, per image of all splits, ``seconds`` to
prepare it and bytes ``held`` meanwhile (default: twice the arrays). The rest defaults to
`planning.resources.UNSTATED`: 70,000 images of 32×32, or features of 512 numbers.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cobaye import kinds, recipes
from cobaye.data.datasets import _long_tail
from cobaye.data.datasets._data import ImageFiles, Prepared, check, form_of, shape_of
from cobaye.errors import DataError
from cobaye.storage import files, manifests, paths, staleness
from cobaye.storage import sources as source_files
from cobaye.storage.arrays import ArrayFile, SelectedRows, load_array, save_array
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import Manifest
from cobaye.storage.paths import SPLITS

__all__ = [
    "ArrayFile",
    "ImageFiles",
    "Prepared",
    "SelectedRows",
    "check",
    "fetch_dataset",
    "load_array",
    "prepare_dataset",
    "publish",
    "save_array",
    "write",
]

# The file of a split's inputs, by the form of the dataset.
INPUTS = {"images": "images.npy", "features": "features.npy", "files": "index.json"}


def fetch_dataset(job: Job) -> Path:
    """See that a dataset's files are there, by downloading those that are missing.

    job.recipe: its kind and options. Returns a manifest, which covers none of these files. Raises
    DataError for those that are damaged or missing, where they may not or cannot be downloaded.
    """
    kind, name = recipes.parse(recipes.Kind, job.recipe), job.identity["dataset"]
    try:
        kinds.load("datasets", kind.kind).fetch(_options(kind))
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    return job.publish({})


def _options(kind: recipes.Kind) -> Any:
    return recipes.parse(kinds.options("datasets", kind.kind), kind.options)


def prepare_dataset(job: Job) -> Path:
    """Prepare a dataset; return its manifest.

    job.recipe: a plain `recipes.Source`. Raises DataError for options that cannot be met and for
    data that contradict themselves; nothing is written then.
    """
    kind, name = recipes.parse(recipes.Source, job.recipe), job.identity["dataset"]
    module = kinds.load("datasets", kind.kind)
    options = _options(kind)
    if problems := module.problems(options):
        raise DataError("\n".join(f"{name}: {problem}" for problem in problems))
    try:
        with tqdm(desc=name, delay=1.0) as bar:
            prepared = module.prepare(options, lambda done, total: _show(bar, done, total))
        if kind.long_tail:
            prepared = _long_tail.thinned(prepared, kind.long_tail)
        sources = module.sources(options) if hasattr(module, "sources") else []
        return publish(job, prepared, sources)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def publish(job: Job, prepared: Prepared, sources: Iterable[str] = ()) -> Path:
    """Write a dataset and its manifest, whose path is returned.

    sources: the files that it was made from; a folder stands for the names in it. Raises DataError
    as `check` does; nothing is written then.
    """
    made = write(prepared, job.folder)
    info = {
        "form": form_of(prepared.splits["train"][0]),
        "classes": len(prepared.classes),
        "shape": shape_of(prepared.splits["train"][0]),
        "images": {split: len(prepared.splits[split][1]) for split in SPLITS},
        **prepared.info,
    }
    if prepared.read is not None:
        info |= source_files.write(job.path, *prepared.read)
    job.inputs |= {source: _content_sha256(source) for source in sources}
    return job.publish(made, info)


def _content_sha256(source: str) -> str:
    return (staleness.listing_sha256 if os.path.isdir(source) else files.sha256)(source)


def _show(bar: tqdm, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


def manifest(dataset: str, root: Path = Path()) -> Manifest:
    """Return a prepared dataset's manifest, checked."""
    path = root / paths.DATASET.format(dataset=dataset) / "manifest.json"
    return manifests.read_manifest(path, "prepare_dataset", {"dataset": dataset})


def write(prepared: Prepared, folder: Path) -> dict[str, dict[str, Any]]:
    """Write classes.json and each split's inputs and labels.npy; return manifest entries.

    Everything is checked before, and written beside its place and moved there at the end. A
    manifest that stands is removed first: it would vouch for files that are no longer there.
    """
    check(prepared)
    target = folder / "prepared"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (target.name, *SPLITS):
        files.remove_temporaries(folder / name)
    staged = target.with_name(f"{files.TEMPORARY}{os.getpid()}-{target.name}")
    try:
        entries = {
            f"{split}/{name}": entry
            for split in SPLITS
            for name, entry in _write_split(*prepared.splits[split], staged / split).items()
        }
        (folder / "manifest.json").unlink(missing_ok=True)
        for split in SPLITS:
            files.publish_directory(staged / split, folder / split)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    path = folder / "classes.json"
    entries["classes.json"] = manifests.describe(path, files.write_json(path, prepared.classes))
    return entries


def _write_split(inputs: Any, labels: np.ndarray, folder: Path) -> dict[str, dict[str, Any]]:
    name = INPUTS[form_of(inputs)]
    if isinstance(inputs, ImageFiles):
        index = {"root": inputs.root, "paths": inputs.paths}
        written = {name: files.write_json(folder / name, index)}
    else:
        written = {name: save_array(folder / name, inputs)}
    written["labels.npy"] = save_array(folder / "labels.npy", labels.astype(np.int64))
    return {name: manifests.describe(folder / name, sha256) for name, sha256 in written.items()}


def names(dataset: str, root: Path = Path()) -> list[str]:
    """Return the names of a prepared dataset's classes, in label order, checked."""
    folder = root / paths.DATASET.format(dataset=dataset)
    return class_names(manifest(dataset, root).check(folder, "classes.json"))


def class_names(path: Path | str) -> list[str]:
    """Return the names in a dataset's classes.json, in label order."""
    return [entry["name"] for entry in files.read_json(path)]
