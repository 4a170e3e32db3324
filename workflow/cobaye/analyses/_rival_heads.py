"""Classifiers beside the one of the best single λ: each a linear head, chosen on val.

Every rival is a weight W (K, D) and a bias b (K,) on the inputs of the study's models. Those made
here take no training: they scale, stitch or mix the heads that the study's runs left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cobaye.analyses import _refitted
from cobaye.data.splits import Split
from cobaye.models.scoring import BLOCK, Forward
from cobaye.models.temperature import fit_temperature
from cobaye.storage import checkpoints, paths
from cobaye.storage.finished_runs import Finished
from cobaye.tables import reading

# A checkpoint: "head.weight", "head.bias", and constants of normalisation on images.
Head = Mapping[str, Tensor]
# Numbers of logits that `mix` keeps: 0.4 GB.
KEPT = 100_000_000


@dataclass(frozen=True)
class Rival:
    """A classifier per seed. chosen: on val, in words. parameters: how many numbers that fixed.

    val_judges: whether val had a part in choosing only, not in training.
    """

    name: str
    chosen: str
    parameters: int
    heads: Mapping[int, Head]
    val_judges: bool = True


@dataclass(frozen=True)
class LambdaPath:
    """The finite runs of one configuration, and what chooses among them.

    runs: λ and seed → run. best: the best single λ. metrics: of val, a row per run and epoch. seed:
    of folds.
    """

    runs: Mapping[tuple[str, int], Finished]
    best: str
    metrics: pd.DataFrame
    val: Split
    forward: Forward
    seed: int = 0
    _heads: dict[tuple[str, int], Head] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The λ that have a finite run, rising."""
        return sorted({label for label, _ in self.runs}, key=float)

    def seeds(self, *labels: str) -> list[int]:
        """Return the seeds whose runs are finite at all of these λ."""
        every = sorted({seed for _, seed in self.runs})
        return [seed for seed in every if all((label, seed) in self.runs for label in labels)]

    def head(self, label: str, seed: int) -> Head:
        """Return a run's head at the epoch that stands for it."""
        key = label, seed
        if key not in self._heads:
            self._heads[key] = load_head(self.runs[key])
        return self._heads[key]

    def logits(self, head: Head) -> Tensor:
        """Return the logits of val, (N, K) float32."""
        return torch.cat([block[:, 0] for block in self.scores([head])])

    def scores(self, heads: Sequence[Head]) -> Iterator[Tensor]:
        """Yield the logits of val by several heads, (B, M, K) float32, by blocks of images."""
        for rows in self.val.inputs.split(BLOCK):
            yield torch.stack([self.forward.load(dict(head))(rows) for head in heads], 1)


def load_head(run: Finished, epoch: int | None = None) -> Head:
    """Return a run's checkpoint after an epoch; None: the one that stands for the run."""
    name = paths.checkpoint(run.epoch if epoch is None else epoch)
    return checkpoints.load(run.trained.check(run.folder, f"checkpoints/{name}"))


def untrained(path: LambdaPath) -> list[Rival]:
    """Return the rivals that need no training, the best single λ first.

    Those are left out that would be another one: with one λ, or with one epoch, as at an optimum
    or where a study keeps the last checkpoint alone.
    """
    rivals = [one(path), temperature(path), bias(path)]
    if len(path.labels) > 1:
        rivals += [joint(path), mix(path)]
    if path.metrics.loc[path.metrics["epoch"] > 0, "epoch"].nunique() > 1:
        rivals += [stop(path), stop_per_class(path)]
    return rivals


def one(path: LambdaPath) -> Rival:
    """Return the classifier of the best single λ."""
    heads = {seed: path.head(path.best, seed) for seed in path.seeds(path.best)}
    return Rival("one", f"λ = {path.best}", 1, heads)


def temperature(path: LambdaPath) -> Rival:
    """Return the best single λ at a temperature (Guo et al. 2017)."""
    heads, fitted = {}, []
    for seed, head in one(path).heads.items():
        fitted.append(fit_temperature(path.logits(head), path.val.labels))
        heads[seed] = affine(head, 1 / fitted[-1])
    return Rival("temperature", f"T = {_mean(fitted)}", 2, heads)


def bias(path: LambdaPath) -> Rival:
    """Return the best single λ at a temperature, with a bias per class: see `_refitted.bias`."""
    heads, found = {}, []
    for seed, head in one(path).heads.items():
        found.append(_refitted.bias(path.logits(head), path.val.labels, path.seed))
        heads[seed] = affine(head, found[-1].weight, found[-1].bias)
    spread = _mean([each.deviation for each in found])
    chosen = f"T = {_mean([1 / each.weight for each in found])}, prior of b: s.d. {spread} nats"
    return Rival("bias", chosen, path.val.classes + 3, heads)


def joint(path: LambdaPath) -> Rival:
    """Return the λ whose validation loss is lowest at a temperature of its own."""
    return searched(path, "joint")


def searched(
    path: LambdaPath,
    name: str,
    symbol: str = "",
    values: Sequence[float] = (0.0,),
    change: Callable[[Head, float], Head] = lambda head, _: head,
) -> Rival:
    """Return the λ and the value whose validation loss is lowest at a temperature of their own.

    values: of what the symbol stands for, by which `change` makes another head of each. Of equals,
    the larger λ, then the first value.
    """
    found: list[tuple[float, str, float, dict[int, float]]] = []
    for label in reversed(path.labels):
        for value in values:
            losses, fitted = [], {}
            for seed in path.seeds(label):
                logits = path.logits(change(path.head(label, seed), value))
                fitted[seed] = fit_temperature(logits, path.val.labels)
                losses.append(_refitted.loss(logits, path.val.labels, 1 / fitted[seed]))
            found.append((float(np.mean(losses)), label, value, fitted))
    _, label, value, fitted = min(found, key=lambda each: each[0])
    heads = {
        seed: affine(change(path.head(label, seed), value), 1 / heat)
        for seed, heat in fitted.items()
    }
    own = f", {symbol} = {value:.3g}" if symbol else ""
    words = f"λ = {label}{own}, T = {_mean(fitted.values())}"
    return Rival(name, words, 3 if symbol else 2, heads)


def mix(path: LambdaPath) -> Rival:
    """Return the linear mix of the heads of all λ that suits val: see `_refitted.mix`."""
    heads, found = {}, []
    centre = [float(label == path.best) for label in path.labels]
    for seed in path.seeds(*path.labels):
        members = [path.head(label, seed) for label in path.labels]
        scores = functools.partial(path.scores, members)
        found.append(_refitted.mix(scores, path.val.labels, centre, KEPT))
        heads[seed] = _mixed(members, found[-1])
    total = _mean([weights.sum().item() for weights in found])
    return Rival("mix", f"{len(centre)} weights, sum {total}", len(centre), heads)


def stop(path: LambdaPath) -> Rival:
    """Return the λ and the epoch whose validation loss is lowest; ties go to the larger λ."""
    trained = path.metrics[(path.metrics["epoch"] > 0) & np.isfinite(path.metrics["loss"])]
    means = trained.groupby(["weight_decay", "epoch"], as_index=False)["loss"].agg(
        ["mean", "count"]
    )
    # An epoch that some seeds do not have is not compared.
    means = means[means["count"] == means["weight_decay"].map(lambda x: len(path.seeds(x)))]
    means = means.assign(value=means["weight_decay"].astype(float))
    first = means.sort_values(["mean", "value", "epoch"], ascending=[True, False, True]).iloc[0]
    label, epoch = first["weight_decay"], int(first["epoch"])
    heads = {seed: load_head(path.runs[label, seed], epoch) for seed in path.seeds(label)}
    return Rival("stop", f"λ = {label}, epoch {epoch}", 2, heads)


def stop_per_class(path: LambdaPath) -> Rival:
    """Return the best single λ, each class's row from the epoch of its lowest validation loss."""
    heads, chosen = {}, []
    for seed in path.seeds(path.best):
        run = path.runs[path.best, seed]
        epochs = _own_epochs(run, path.val.classes)
        chosen += epochs
        by_epoch = {epoch: load_head(run, epoch) for epoch in set(epochs)}
        heads[seed] = stitched([by_epoch[epoch] for epoch in epochs])
    words = f"λ = {path.best}, epochs {min(chosen)} to {max(chosen)}"
    return Rival("stop-per-class", words, path.val.classes + 1, heads)


def _own_epochs(run: Finished, classes: int) -> list[int]:
    """Return each class's epoch of lowest val loss, the first of equals; the last without one."""
    file = run.evaluated.check(run.folder, "classes.parquet")
    table = reading.read_file(file)
    val = table[(table["split"] == "val") & (table["epoch"] > 0)].dropna(subset="loss")
    lowest = val.sort_values(["loss", "epoch"]).drop_duplicates("class").set_index("class")["epoch"]
    return [int(lowest.get(number, run.trained.info["epochs"])) for number in range(classes)]


def affine(head: Head, weight: float, bias: Tensor | float = 0.0) -> Head:
    """Return the head whose logits are weight · z + bias."""
    return {
        **head,
        "head.weight": weight * head["head.weight"].double(),
        "head.bias": weight * head["head.bias"].double() + bias,
    }


def stitched(heads: Sequence[Head]) -> Head:
    """Return the head whose row c is that of heads[c]."""
    parts = {
        name: torch.stack([head[name][number] for number, head in enumerate(heads)])
        for name in ("head.weight", "head.bias")
    }
    return {**heads[0], **parts}


def _mixed(heads: Sequence[Head], weights: Tensor) -> Head:
    parts = {
        name: sum(w * head[name].double() for w, head in zip(weights, heads, strict=True))
        for name in ("head.weight", "head.bias")
    }
    return {**heads[0], **parts}


def _mean(values: Sequence[float]) -> str:
    """Return the mean over seeds, for people."""
    return f"{np.mean(list(values)):.3g}"
