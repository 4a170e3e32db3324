"""Caching: the penultimate features of one shard of a split, batch by batch, straight to disk."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from tqdm import tqdm

from cobaye import recipes
from cobaye.errors import DataError
from cobaye.features import readers
from cobaye.models import backbones, callables
from cobaye.models.foreign_code import Place
from cobaye.storage import files, machine, manifests, sources
from cobaye.storage.jobs import Job

# Batches sent to a GPU before the first of them is waited for.
IN_FLIGHT = 2
# Image files that a processor computes at once, however many processes share a batch, so that their
# number is not seen in the features. 32 and 64 at once are no faster (benchmarks/README.md).
BLOCK = 16


def shard_rows(images: int, shard: int, shards: int) -> range:
    """Return the rows of a split that a shard holds: contiguous, sizes at most one apart."""
    return range(images * shard // shards, images * (shard + 1) // shards)


def cache_features(job: Job) -> Path:
    """Compute one shard of penultimate features; return its manifest.

    job.recipe: a plain `recipes.Caching`. Writes shard-<i>-of-<n>.npy, (rows, D) in the storage
    dtype, then its .json. Images are read and features written batch by batch, so memory does not
    grow with their number, but for what was seen of each image file (`storage.sources`). Images
    that cannot be read raise DataError with the list of all of them in this shard, or are left out
    and listed.
    """
    caching, identity = recipes.parse(recipes.Caching, job.recipe), job.identity
    prepared = job.read("prepare_backbone", {"backbone": identity["backbone"]})
    job.read("prepare_dataset", {"dataset": identity["dataset"]})
    backbone = backbones.load(identity["backbone"], job.root)
    network, reader = _opened(job, prepared.recipe, backbone)
    rows = shard_rows(reader.count, identity["shard"], identity["shards"])
    if not rows:
        raise DataError(
            f"config/datasets.yaml: {identity['dataset']}: shards: {identity['shards']} is more "
            f"than the {reader.count} images of split {identity['split']}"
        )
    target = job.path.with_suffix(".npy")
    workers = job.threads if job.threads > 1 else 0
    entry = _write_features(network, reader, rows, caching, target, job.device, workers)
    info = {
        "rows": len(rows),
        "skipped": {str(row): said for row, said in sorted(reader.unreadable.items())},
        "backbone": backbone.sha256,
        "versions": machine.versions(),
    }
    if reader.names:
        seen = {reader.names[row]: found for row, found in reader.seen.items()}
        info |= sources.write(job.path, reader.root, seen)
    return job.publish({target.name: entry}, info)


def _opened(
    job: Job, recipe: Mapping[str, Any], backbone: backbones.Backbone
) -> tuple[torch.nn.Module, readers.Reader]:
    """Return the network of a backbone, on its device, and the split's images as it sees them.

    recipe: that of `prepare_backbone`.
    """
    name, *split = (job.identity[key] for key in ("backbone", "dataset", "split"))
    if "callable" in recipe:
        network = callables.Called(Place(name, recipe, job.root), backbone.tensors)
        reader = readers.open_split(*split, network.see, job.root)
    else:
        reader = readers.open_split(*split, backbone.resize, job.root)
        model = recipes.parse(recipes.Kind, recipe["model"])
        network = backbones.Penultimate(model, backbone.tensors, reader.shape)
    return network.to(job.device), reader


def _write_features(
    network: torch.nn.Module,
    reader: readers.Reader,
    rows: range,
    caching: recipes.Caching,
    target: Path,
    device: str,
    workers: int,
) -> dict[str, Any]:
    shape = None
    with files.writing(target) as file:
        # Closed, so that an error ends the processes that decode.
        computed = contextlib.closing(_computed(network, reader, rows, caching, device, workers))
        with tqdm(total=len(rows), unit="image") as bar, computed as blocks:
            for features in blocks:
                block = features.numpy().astype(caching.storage)
                if not np.isfinite(block).all():
                    raise DataError(f"{target}: features near row {bar.n} are not finite")
                if shape is None:
                    shape = (0, block.shape[1])
                    _write_header(file, shape, block.dtype)
                file.write(block.data)
                shape = (shape[0] + len(block), shape[1])
                bar.update(len(block))
        _refuse_unreadable(reader, caching, target)
        if shape is None:
            raise DataError(f"{target}: none of its {len(rows)} images could be read")
        # The number of rows is known now; numpy's header leaves room for it.
        file.seek(0)
        _write_header(file, shape, np.dtype(caching.storage))
    return manifests.describe(target)


def _computed(
    network: torch.nn.Module,
    reader: readers.Reader,
    rows: range,
    caching: recipes.Caching,
    device: str,
    workers: int,
) -> Iterator[torch.Tensor]:
    """Yield each batch's features, float32, on the host.

    On a processor, each process that decodes files computes their features too, with one thread:
    no thread waits for another. A GPU computes while the next images are decoded. A callable's
    network stays in this process, as foreign code may hold threads of its own.
    """
    autocast = torch.autocast(
        device, getattr(torch, caching.precision), enabled=caching.precision != "float32"
    )

    def compute(batch: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), autocast:
            return network(batch.to(device, non_blocking=True)).float()

    if device == "cpu" and reader.names and isinstance(network, backbones.Penultimate):
        yield from reader.batches(rows, min(BLOCK, caching.batch_size), workers, compute)
        return
    waiting: deque[tuple[torch.Tensor, torch.cuda.Event | None]] = deque()
    with contextlib.closing(reader.batches(rows, caching.batch_size, workers)) as batches:
        for batch in batches:
            waiting.append(_to_host(compute(batch)))
            if len(waiting) > IN_FLIGHT:
                yield _arrived(*waiting.popleft())
    while waiting:
        yield _arrived(*waiting.popleft())


def _to_host(features: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """Begin to copy features to the host, and return the event after which they are there."""
    if features.device.type == "cpu":
        return features, None
    host = torch.empty(features.shape, pin_memory=True)
    host.copy_(features, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return host, event


def _arrived(host: torch.Tensor, event: torch.cuda.Event | None) -> torch.Tensor:
    if event is not None:
        event.synchronize()
    return host


def _refuse_unreadable(reader: readers.Reader, caching: recipes.Caching, target: Path) -> None:
    if reader.unreadable and not caching.skip_unreadable:
        raise DataError(
            f"{target}: {len(reader.unreadable)} images cannot be read; mend or remove them, or "
            "set skip_unreadable: true of the backbone:\n" + "\n".join(reader.unreadable.values())
        )


def _write_header(file: BinaryIO, shape: tuple[int, int], dtype: np.dtype) -> None:
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
