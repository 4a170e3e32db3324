"""Files of ready-made features, in every format that is read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

COUNTS = {"train": 40, "val": 10, "test": 20}
SUFFIXES = ["npy", "npz", "safetensors", "parquet"]


def features_of(part, dtype=np.float32):
    generator = np.random.default_rng(len(part))
    return generator.standard_normal((COUNTS[part], 6)).astype(dtype)


def labels_of(part):
    return np.arange(COUNTS[part]) % 5


def save(path, features, labels):
    """Write one part; return the options that name its labels."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, features)
        np.save(path.with_name(f"{path.stem}-labels.npy"), labels)
        return {"labels": {path.stem: str(path.with_name(f"{path.stem}-labels.npy"))}}
    if path.suffix == ".npz":
        np.savez_compressed(path, features=features, labels=labels)
    elif path.suffix == ".safetensors":
        save_file({"features": features, "labels": labels}, path)
    else:
        table = pa.table({"labels": labels, "features": list(features)})
        pq.write_table(table, path, row_group_size=7)
    return {}


def options_of(folder, suffix, **changed):
    """Write all parts in one format; return the options for them."""
    options = {"parts": {}, "labels": {}}
    for part in COUNTS:
        path = folder / f"{part}.{suffix}"
        named = save(path, changed.get(part, features_of(part)), labels_of(part))
        options["parts"][part] = str(path)
        options["labels"] |= named.get("labels", {})
    return options


def written(root):
    folder = root / "resources"
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []
