"""Caching: the penultimate features of one shard of a split, batch by batch, straight to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from cobaye import backbones, datasets, files, paths, provenance, recipes
from cobaye.errors import DataError


def shard_rows(images: int, shard: int, shards: int) -> range:
    """Return the rows of a split that a shard holds: contiguous, sizes at most one apart."""
    return range(images * shard // shards, images * (shard + 1) // shards)


def cache_shard(
    caching: recipes.Caching,
    model: recipes.Kind,
    identity: dict[str, Any],
    code: str,
    device: str = "cpu",
    root: Path = Path(),
) -> Path:
    """Compute one shard of penultimate features; return its manifest.

    Writes shard-<i>-of-<n>.npy, (rows, D) in the storage dtype, then its .json. Images are read and
    features written batch by batch, so memory does not grow with their number.
    """
    dataset, split = identity["dataset"], identity["split"]
    source = root / paths.DATASET.format(dataset=dataset)
    prepared = datasets.manifest(dataset, root)
    images = datasets.ArrayFile(prepared.check(source, f"{split}/images.npy"))
    rows = shard_rows(images.shape[0], identity["shard"], identity["shards"])
    tensors, backbone = backbones.load(identity["backbone"], root)
    network = backbones.Penultimate(model, tensors, images.shape[1:]).to(device)
    labels = {key: paths.shard_label(identity[key]) for key in ("shard", "shards")}
    base = root / paths.SHARD.format(**{**identity, **labels})
    target = base.with_name(base.name + ".npy")
    entry = _write_features(network, images, rows, caching, target, device)
    manifest = files.Manifest(
        stage="cache_features",
        identity=identity,
        recipe=recipes.plain(caching),
        code=code,
        inputs={
            f"{paths.DATASET.format(dataset=dataset)}/manifest.json": files.sha256(
                source / "manifest.json"
            ),
            f"{paths.BACKBONE.format(**identity)}.json": files.sha256(
                root / f"{paths.BACKBONE.format(**identity)}.json"
            ),
        },
        files={target.name: entry},
        info={
            "rows": len(rows),
            "backbone": backbone.files[f"{identity['backbone']}.safetensors"]["sha256"],
            "versions": provenance.versions(),
            "manifest": base.name + ".json",
        },
    )
    path = base.with_name(base.name + ".json")
    manifest.write(path)
    return path


def _write_features(
    network: torch.nn.Module,
    images: datasets.ArrayFile,
    rows: range,
    caching: recipes.Caching,
    target: Path,
    device: str,
) -> dict[str, Any]:
    autocast = torch.autocast(device, torch.bfloat16, enabled=caching.precision == "bfloat16")
    header_written = False
    with files.writing(target) as file, torch.inference_mode(), autocast:
        bar = tqdm(total=len(rows), unit="image", mininterval=1.0)
        for start in range(rows.start, rows.stop, caching.batch_size):
            batch = images.read(start, min(start + caching.batch_size, rows.stop))
            found = network(torch.from_numpy(batch).to(device))
            block = found.float().cpu().numpy().astype(caching.storage, copy=False)
            if not np.isfinite(block).all():
                raise DataError(f"{target}: features of images from {start} on are not finite")
            if not header_written:
                _write_header(file, (len(rows), block.shape[1]), block.dtype)
                header_written = True
            file.write(np.ascontiguousarray(block).data)
            bar.update(len(batch))
        bar.close()
    return files.describe(target)


def _write_header(file: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
