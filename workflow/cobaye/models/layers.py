"""A study's models, layer by layer, and the tensors of their training.

Nothing is computed: networks are built on torch's ``meta`` device, which has shapes only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from cobaye import recipes
from cobaye.models import networks, starts
from cobaye.storage import paths, table_names
from cobaye.storage.jobs import Job
from cobaye.tables import writing

# Modules that only hold others or do nothing are not layers.
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.Identity)


@dataclass(frozen=True)
class Described:
    """A model of a study. batch_size: of its first optimizer."""

    network: recipes.Kind
    loss: recipes.Loss
    train_only: tuple[str, ...]
    precision: recipes.Precision
    batch_size: int


@dataclass(frozen=True)
class _Data:
    """shape: of one input. dtype: as stored. counts: split → images."""

    shape: tuple[int, ...]
    dtype: str
    classes: int
    counts: dict[str, int]


def describe_models(job: Job) -> Path:
    """Write layers.csv and tensors.csv of a study's models, and their page; return their manifest.

    job.recipe: {"data": a plain `recipes.Data`, "models": name → a plain `Described`}.
    """
    data = _read(recipes.parse(recipes.Data, job.recipe["data"]), job)
    models = {name: recipes.parse(Described, each) for name, each in job.recipe["models"].items()}
    made = {}
    for name, table in zip(table_names.DESCRIPTIONS, (layers, tensors), strict=True):
        frames = [
            pd.DataFrame(table(model, data)).assign(model=label) for label, model in models.items()
        ]
        frame = pd.concat(frames, ignore_index=True)
        frame.insert(0, "model", frame.pop("model"))
        made[Path(name).stem] = frame
    return job.publish(writing.write_with_page(job, "layers", made))


def layers(model: Described, data: _Data) -> list[dict[str, Any]]:
    """Return a row per call of a layer on one image, in order, and one of their sums.

    number; layer: its name; kind; output: its size for one image; parameters: its own number of
    them, at its first call; trained: how many of these learn.
    """
    network = _build(model, data)
    rows: list[dict[str, Any]] = []
    counted: set[str] = set()

    def record(name: str, module: nn.Module, output: torch.Tensor) -> None:
        parameters = [] if name in counted else list(module.parameters(recurse=False))
        counted.add(name)
        rows.append(
            {
                "number": len(rows) + 1,
                "layer": name,
                "kind": type(module).__name__,
                "output": _size(output.shape[1:]),
                "parameters": sum(p.numel() for p in parameters),
                "trained": sum(p.numel() for p in parameters if p.requires_grad),
            }
        )

    for name, module in network.named_modules():
        if name not in ("", "body") and not isinstance(module, CONTAINERS):
            module.register_forward_hook(
                lambda module, _, output, name=name: record(name, module, output)
            )
    network.eval()(torch.zeros(1, *data.shape, device="meta"))
    sums = {key: sum(row[key] for row in rows) for key in ("parameters", "trained")}
    empty = {"number": len(rows) + 1, "kind": "", "output": ""}
    return [*rows, {"layer": "total", **empty, **sums}]


def tensors(model: Described, data: _Data) -> list[dict[str, str]]:
    """Return a row per tensor: the splits, the parameters and buffers, and those of one batch."""
    batch, classes, real = model.batch_size, data.classes, model.precision
    flat = _flat(model, data)
    rows = []
    for split in paths.SPLITS:
        count = data.counts[split]
        rows.append((f"{split}.inputs", (count, *data.shape), data.dtype, f"{split} split"))
        rows += [(f"{split}.inputs.flatten(1)", (count, *flat), data.dtype, _FLAT)] * bool(flat)
        rows.append((f"{split}.labels", (count,), "int64", f"{split} split, its classes"))
    trained = dict(_build(model, data).named_parameters())
    for name, tensor in _build(model, data).state_dict().items():
        learns = name in trained and trained[name].requires_grad
        what = ("learns" if learns else "frozen") if name in trained else "a buffer"
        kind = real if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
        rows.append((name, tuple(tensor.shape), kind, what))
    rows += [
        *[("head.bias.expand(1, -1).sum(0)", (classes,), real, _SUM)] * ("head.bias" in trained),
        ("batch.inputs", (batch, *data.shape), real, "a batch, normalised"),
        *[("batch.inputs.flatten(1)", (batch, *flat), real, _FLAT)] * bool(flat),
        ("batch.outputs", (batch, classes), real, "what the network makes of it"),
        ("batch.outputs.argmax(1)", (batch,), "int64", "the predicted classes"),
        *_targets(model.loss, batch, classes, real),
        ("batch.losses", (batch,), real, f"{model.loss} of each image"),
    ]
    return [
        {"tensor": name, "shape": _size(shape) or "1", "dtype": dtype, "what": what}
        for name, shape, dtype, what in rows
    ]


def _targets(loss: str, batch: int, classes: int, real: str) -> list[tuple[str, tuple, str, str]]:
    """Return the rows of a batch's targets, and of the gradient of its loss by the outputs."""
    if loss == "cross-entropy":
        targets = [("batch.labels", (batch,), "int64", "their classes")]
        slope = "softmax(outputs) - onehot(labels)"
    else:
        targets = [("batch.targets", (batch, classes), real, "their classes, one-hot")]
        targets += [("batch.targets.argmax(1)", (batch,), "int64", "their classes")]
        slope = "outputs - targets"
        if loss == "softmax-squared-error":
            slope = "p * (p - targets - sum(p * (p - targets))), p = softmax(outputs)"
    return [
        *targets,
        ("batch.gradient", (batch, classes), real, f"{slope}, over the batch size"),
        ("batch.gradient.sum(0)", (classes,), real, "the gradient of head.bias"),
    ]


_FLAT = "as the first layer reads them"
_SUM = "the bias as a matrix of one row, summed over rows"


def _flat(model: Described, data: _Data) -> tuple[int, ...]:
    """Return the shape of an image as a vector, for networks that begin with an affine layer."""
    modules = _build(model, data).modules()
    first = next(each for each in modules if list(each.parameters(recurse=False)))
    whole = math.prod(data.shape)
    reads_vectors = isinstance(first, nn.Linear) and first.in_features == whole
    return (whole,) if reads_vectors and len(data.shape) > 1 else ()


def _build(model: Described, data: _Data) -> nn.Module:
    with torch.device("meta"):
        network = networks.build(model.network, data.shape, data.classes)
    if model.train_only:
        starts.freeze(network, model.train_only)
    return network


def _read(data: recipes.Data, job: Job) -> _Data:
    """Return the shape, dtype and counts of what a study learns from."""
    if data.backbone is None:
        manifest = job.read("prepare_dataset", {"dataset": data.dataset})
        name, counts = f"train/{manifest.info['form']}.npy", manifest.info["images"]
    else:
        features = {
            split: job.read("gather_features", {**vars(data), "split": split})
            for split in paths.SPLITS
        }
        manifest = features["train"]
        name = manifest.info["shards"][0]
        counts = {split: each.info["rows"] for split, each in features.items()}
    folder = (job.root / paths.split_manifest(data, "train")).parent
    header = np.load(folder / name, mmap_mode="r", allow_pickle=False)
    return _Data(header.shape[1:], str(header.dtype), manifest.info["classes"], counts)


def _size(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape))
