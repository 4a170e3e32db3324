"""Memory and time that a job asks for, from the size of its data and from its recipe. No torch.

Estimates are generous: a job with too little is ended, one with too much only waits longer. A
training that runs out of minutes resumes. Images are counted by the dataset's manifest; before it
is there, by what the dataset's kind states.

Seconds are of one core of an AMD EPYC (family 26, model 2), bytes are peaks of resident memory.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from cobaye import kinds, recipes
from cobaye.planning import network_costs
from cobaye.planning.network_costs import FORWARD
from cobaye.recipes.study import Dataset
from cobaye.storage import paths

# Trainings and evaluations of `digits` take 548 to 749 MB, caching 598 (benchmarks/README.md), most
# of it torch; on a cluster the two Snakemakes around a script take 172 MB each.
PROCESS = 1500e6
# Imports take 3 s here; minutes are assumed where a cold network file system serves them.
START = 300.0
SLACK = 3.0  # assumed: other processors are slower, or shared
# Floating-point operations per second: benchmarks/head_training.py, 129e9 to 199e9 at one thread by
# oneDNN; 93e9 and 103e9 are torch.mm's. Assumed beside it: 0.2 ms per batch.
FLOPS, BATCH = 100e9, 2e-4
# A checkpoint, its state and a line of the journal: three writes; assumed for a network's disk.
CHECKPOINT = 1.0
PASSES = 2000  # of `exact`: at most 1,594 per λ in glyphs-exact
# Bytes per second, read and hashed. Assumed for a network's disk; hashing alone runs at 1.9e9.
READING = 100e6
HIDDEN = 1024  # units, assumed, of the one hidden layer of a non-linear network on features
# To decode and resize a photograph: 1.4 ms for a made one of 500×400.
DECODING = 0.01
SEEN = 1000  # bytes held of each image file: its name, its sha256, its times
# Bytes per row of predictions: nine columns, as arrays and as parquet; in tabulate, at most 129.
PREDICTION = 200
BLOCK = 512  # images per block of evaluation
# Image files are seen as squares.
SQUARE = (3, 224, 224)
# Assumed of a dataset that is not prepared yet and whose kind states no `sizes`: by the kind's
# form, the shape of an input and bytes per number; images as in CIFAR-10.
SHAPES = {"images": ((3, 32, 32), 1), "files": (SQUARE, 1), "features": ((512,), 4)}
UNSTATED = {"images": {"train": 50_000, "val": 10_000, "test": 10_000}, "classes": 1000}
# Penultimate features of a network that does not state them: ResNet-50's.
DIMENSIONS = 2048


class Needs(NamedTuple):
    """Memory and time of a job. megabytes: 10⁶ bytes. minutes: until it may be ended."""

    megabytes: int
    minutes: int


@dataclass(frozen=True)
class Sizes:
    """The size of a job's data.

    images: split → number of inputs. shape: of one input, as the network takes it. itemsize: bytes
    per number as stored. classes: K.
    """

    images: Mapping[str, int]
    shape: tuple[int, ...]
    itemsize: float
    classes: int

    @property
    def values(self) -> int:
        """Numbers per input."""
        return math.prod(self.shape)

    @property
    def pixels(self) -> int:
        """Pixels per input; 1 of features."""
        return math.prod(self.shape[1:])

    def bytes(self, *splits: str) -> float:
        """Bytes of these splits, as stored."""
        return sum(self.images[split] for split in splits) * self.values * self.itemsize


def of_dataset(dataset: Dataset, root: Path = Path()) -> Sizes:
    """Return the sizes of a dataset: as prepared, else as its kind states, else `UNSTATED`."""
    try:
        manifest = _read(root / paths.DATASET.format(dataset=dataset.name) / "manifest.json")
        info, itemsize = manifest["info"], 1.0
        if info["form"] == "features":
            stored = manifest["files"]["train/features.npy"]["bytes"]
            itemsize = stored / (info["images"]["train"] * math.prod(info["shape"]))
        return Sizes(info["images"], tuple(info["shape"] or SQUARE), itemsize, info["classes"])
    except UNREADABLE:
        stated = _stated(dataset.kind)
        return Sizes(**{field.name: stated[field.name] for field in fields(Sizes)})


def of_features(
    sizes: Sizes,
    data: recipes.Data,
    caching: recipes.Caching,
    model: recipes.Kind | None,
    root: Path = Path(),
) -> Sizes:
    """Return the sizes of a backbone's features of a dataset: as cached, else by the network."""
    itemsize = {"float32": 4, "float16": 2}[caching.storage]
    try:
        manifest = _read(root / paths.split_manifest(data, "train"))
        stored = sum(manifest["files"][name]["bytes"] for name in manifest["info"]["shards"])
        dimensions = round(stored / (manifest["info"]["rows"] * itemsize))
    except UNREADABLE:
        dimensions = model.options.get("features", DIMENSIONS) if model else DIMENSIONS
    return Sizes(sizes.images, (dimensions,), itemsize, sizes.classes)


def preparing(dataset: Dataset, sizes: Sizes) -> Needs:
    """Return what prepare_dataset asks for: by its kind, or arrays held twice and written."""
    stated, images = _stated(dataset.kind), sum(sizes.images.values())
    written = sizes.bytes(*sizes.images) * (stated["form"] != "files")
    held = stated["held"] * images if "held" in stated else 2 * written
    return needs(held, stated.get("seconds", 0.0) * images + written / READING)


def caching(
    caching: recipes.Caching, model: recipes.Kind | None, sizes: Sizes, shards: int, threads: int
) -> Needs:
    """Return what cache_features asks for: one batch at a time, and SEEN bytes per image file.

    From two threads on, as many processes share it (600 MB each: benchmarks/caching_memory.py).
    """
    rows = max(sizes.images.values()) / shards
    each = network_costs.seconds(model, sizes.pixels) * FORWARD + DECODING * (sizes.shape == SQUARE)
    at_once = max(caching.batch_size, threads * 16)  # `caching.BLOCK`
    held = at_once * network_costs.held(model, sizes.pixels, forward=True)
    held += (threads > 1) * threads * 600e6 + (sizes.shape == SQUARE) * rows * SEEN
    return needs(held, rows * each / math.sqrt(threads))


def training(
    model: recipes.Kind, optimizer: recipes.Optimizer, sizes: Sizes, threads: int
) -> Needs:
    """Return what train asks for: train and val held in memory, and the time of its epochs.

    The linear engine and whitening hold images as float32 beside the bytes. The linear engine holds
    about six copies of θ, whitening six matrices in float64.
    """
    rows, exact = sizes.images["train"], optimizer.batch_size is None
    batch = rows if exact else min(optimizer.batch_size, rows)
    held = sizes.bytes("train", "val") + (300 if exact else 6) * 4 * sizes.values * sizes.classes
    held += exact * 4 * min(rows * sizes.classes, 2**28)  # shares (`full_batch.KEPT`)
    whitening = optimizer.normalize == "zca"  # an eigendecomposition
    if sizes.itemsize == 1 and (_is_linear(model) or whitening):
        held += 4 * rows * sizes.values
    held += whitening * 6 * 8 * sizes.values**2
    held += (not _is_linear(model)) * batch * network_costs.held(model, sizes.pixels)
    epoch = rows * _seconds(model, sizes) + rows / batch * BATCH
    seconds = (PASSES if exact else optimizer.epochs) * epoch / math.sqrt(threads)
    seconds += optimizer.epochs * CHECKPOINT
    seconds += 20 * whitening * sizes.values**3 / FLOPS
    return needs(held, seconds + sizes.bytes("train", "val") / READING)


def evaluating(model: recipes.Kind, train_epochs: str, epochs: int, sizes: Sizes) -> Needs:
    """Return what evaluate asks for: all splits held, each checkpoint on each, block by block.

    train_epochs: of the train split, "every" checkpoint or the "last". epochs: how many checkpoints
    there are beside that of the initial weights.
    """
    splits = tuple(sizes.images)
    images = sum(sizes.images.values())
    held = sizes.bytes(*splits) + images * PREDICTION
    forward = network_costs.held(model, sizes.pixels, forward=True)
    held += BLOCK * (forward + 32 * sizes.classes) + temperature(sizes)
    # classes.parquet: a row of about 100 bytes per epoch, split and class.
    held += (epochs + 1) * 3 * sizes.classes * 100
    each = images if train_epochs == "every" else images - sizes.images["train"]
    forwards = sizes.images["train"] + (epochs + 1) * each
    seconds = forwards * _seconds(model, sizes) * FORWARD
    return needs(held, seconds + epochs * CHECKPOINT + sizes.bytes(*splits) / READING)


def temperature(sizes: Sizes) -> float:
    """Return the bytes that the fit of a temperature holds: val's logits twice, float64 blocks."""
    return (2 * 4 * sizes.images["val"] + 4 * 8 * 1024) * sizes.classes


def reading(sizes: Sizes, *splits: str) -> Needs:
    """Return what a job asks for that only reads and hashes these splits."""
    return needs(0, sizes.bytes(*splits) / READING)


def tabulating(runs: int, sizes: Sizes) -> Needs:
    """Return what tabulate asks for: the predictions of every run, and two tables of them."""
    rows = runs * sum(sizes.images.values())
    return needs(rows * PREDICTION, rows * PREDICTION / READING)


def _seconds(model: recipes.Kind, sizes: Sizes) -> float:
    """Return the seconds of one image in training, forward and back, on one core."""
    if _is_linear(model):
        return 4 * sizes.values * sizes.classes / FLOPS
    if len(sizes.shape) == 1:
        return 6 * HIDDEN * (sizes.values + sizes.classes) / FLOPS
    return network_costs.seconds(model, sizes.pixels)


def needs(held: float, seconds: float) -> Needs:
    """Return what a job asks for that holds `held` bytes and takes `seconds` on one core."""
    megabytes = math.ceil((PROCESS + 1.2 * held) / 100e6) * 100
    return Needs(megabytes, math.ceil((START + SLACK * seconds) / 300) * 5)


# A job that only draws, or copies one file.
LIGHT = needs(0, 0)


def _is_linear(model: recipes.Kind) -> bool:
    """Tell whether a network is linear in its inputs, so that the linear engine trains it."""
    return kinds.constant("networks", model.kind, "ENGINE") == "linear"


def _stated(kind: recipes.Kind) -> dict[str, Any]:
    """Return what a dataset's kind states in `sizes` (see `data.datasets`), the rest assumed."""
    form = kinds.constant("datasets", kind.kind, "FORM", "images")
    shape, itemsize = SHAPES[form]
    options = recipes.parse(kinds.options("datasets", kind.kind), kind.options)
    sizes = options.sizes() if hasattr(options, "sizes") else {}
    return {"form": form, "shape": shape, "itemsize": itemsize, **UNSTATED, **sizes}


# What a missing or damaged manifest raises; the job that reads it reports the damage.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, ArithmeticError)


def _read(path: Path) -> dict[str, Any]:
    return _parsed(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    return json.loads(path.read_bytes())
