"""Images to show: a few typical ones of a class, small, from wherever a dataset keeps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cobaye.data import datasets, image_files
from cobaye.recipes import Data
from cobaye.storage import files, manifests, paths, sources
from cobaye.storage.arrays import ArrayFile

_SIDE = 64  # pixels, of an image that comes from a file


def typical(losses: np.ndarray, number: int) -> np.ndarray:
    """Return the places of the `number` images whose loss (N,) is nearest the median, in order."""
    away = np.abs(losses - np.median(losses)) if len(losses) else losses
    return np.argsort(away, kind="stable")[:number]


def reader(data: Data, split: str, root: Path = Path()) -> Callable[[int], np.ndarray | None]:
    """Return a function from a row of the study's data to its image.

    The image is (height, width, channels) uint8, or None where there is none to show: of features
    that came ready-made, or of a file that is no longer there.
    """
    manifest = datasets.manifest(data.dataset, root)
    folder = root / paths.DATASET.format(dataset=data.dataset)
    form = manifest.info["form"]
    if form == "features":
        return lambda row: None
    rows = _rows(data, split, manifest.info["images"][split], root)
    if form == "images":
        array = ArrayFile(manifest.check(folder, f"{split}/images.npy"))
        return lambda row: array.read(rows[row], rows[row] + 1)[0].transpose(1, 2, 0)
    index = files.read_json(manifest.check(folder, f"{split}/index.json"))
    return lambda row: _decoded(Path(index["root"], index["paths"][rows[row]]))


def _rows(data: Data, split: str, count: int, root: Path) -> np.ndarray:
    """Return the dataset's row of each row of features: images that were skipped have none."""
    rows = np.arange(count)
    if data.backbone is None:
        return rows
    identity = {"dataset": data.dataset, "backbone": data.backbone, "split": split}
    path = root / paths.split_manifest(data, split)
    skipped = manifests.read_manifest(path, "gather_features", identity).info["skipped"]
    return np.delete(rows, [int(row) for row in skipped])


def _decoded(path: Path) -> np.ndarray | None:
    """Return the central square of an image file, `_SIDE` pixels wide."""
    from PIL import ImageOps

    try:
        content, _ = sources.read(path)
        return np.asarray(ImageOps.fit(image_files.decode(content), (_SIDE, _SIDE)))
    except (OSError, image_files.Undecodable):
        return None
