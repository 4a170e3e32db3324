"""Effects of λ on classes before and after classes that are taken for each other count as one.

Nothing is trained again: the probability of merged classes is the sum of theirs. So a merged loss
is that of a classifier which still has to tell the members apart and is no longer judged by it.
Pairs are found on val at the best single λ, and judged on test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from cobaye.analyses import _rival_runs
from cobaye.data import datasets
from cobaye.data.splits import Split
from cobaye.errors import DataError, nearest
from cobaye.models.scoring import BLOCK, scores
from cobaye.randomness import derived_seed
from cobaye.recipes import draws
from cobaye.statistics import choices, effects, merging, reliability, shrinkage
from cobaye.statistics.sample import Sample, by_class
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import training_recipe

READS_TABLES = ("best-lambda", "metrics")
READS_RUNS = ("checkpoints",)
SPLITS = ("val", "test")
NETWORKS = ("linear", "perceptron")
LOSS = "cross-entropy"
TABLES = {"ambiguity": "ambiguity.csv", "ambiguity-classes": "ambiguity-classes.csv"}
LABELLINGS = ("as labelled", "merged")


@dataclass(frozen=True)
class Options(draws.Draws):
    """Which classes are merged, and the draws."""

    #: Two classes are merged if this share of their validation images, or more, is taken for the
    #: other of the two. Links chain. Above 1, none is merged by this.
    share: float = 0.2
    #: Names of classes that are merged whatever their images, as lists of two or more.
    merge: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if not self.share > 0:
            raise ValueError(f"share: {self.share}: above 0")
        if any(len(set(names)) < 2 for names in self.merge):
            raise ValueError("merge: lists of two or more different names")


@torch.no_grad()
def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the effects between classes, and those on each class, before and after."""
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for each in _rival_runs.configurations(job, SPLITS, options.seed):
        run = next(iter(each.path.runs.values()))
        dataset = training_recipe(run.trained)["data"]["dataset"]
        job.read("prepare_dataset", {"dataset": dataset})
        names = datasets.names(dataset, job.root)
        group, rates = _groups(each, names, options)
        found = _scored(each, group)
        rng = np.random.default_rng(
            derived_seed("/".join(["analyse_ambiguity", *each.group.values()]), options.seed)
        )
        tables = {
            "ambiguity": _between(each, found, group, options, rng),
            "ambiguity-classes": _by_class(each, found, group, rates, names, options),
        }
        for name, table in tables.items():
            parts[name].append(pd.DataFrame([each.group] * len(table)).join(table))
    return {name: _rival_runs.joined(tables) for name, tables in parts.items()}


def _groups(
    each: _rival_runs.Configuration, names: list[str], options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's group (K,), and the rates of pairs on val at the best single λ."""
    path, val = each.path, each.loaded["val"]
    heads = [path.head(each.best, seed) for seed in path.seeds(each.best)]
    predicted = np.concatenate([path.logits(head).argmax(1).cpu().numpy() for head in heads])
    labels = np.tile(val.labels.numpy(), len(heads))
    rates = merging.pair_rates(labels, predicted, val.classes)
    linked = rates >= options.share
    for listed in options.merge:
        places = [_place(name, names) for name in listed]
        linked[places[0], places[1:]] = True
    return merging.groups(linked), rates


def _place(name: str, names: list[str]) -> int:
    if name not in names:
        raise DataError(f"analyses.ambiguity.merge: no class {name!r}: {nearest(name, names)}")
    return names.index(name)


Found = Mapping[tuple[str, str, str], Sample]


def _scored(
    each: _rival_runs.Configuration, group: np.ndarray
) -> dict[tuple[str, str, str], Sample]:
    """Return (state, split, measure) → values by image, a column per λ, means over seeds."""
    found = {}
    for split, data in each.loaded.items():
        for state, merged in zip(LABELLINGS, (np.arange(len(group)), group), strict=True):
            columns = [_means(each.path, label, data, merged) for label in each.path.labels]
            for place, measure in enumerate(("loss", "accuracy")):
                values = np.array([column[place] for column in columns])
                found[state, split, measure] = by_class(values, data.labels.numpy(), data.classes)
    return found


def _means(path, label: str, data: Split, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's loss and correctness at a λ, (N,), means over seeds."""
    place = torch.from_numpy(group)
    found = []
    for seed in path.seeds(label):
        logits = path.forward.load(dict(path.head(label, seed)))
        blocks = (merged(logits(rows).cpu(), place) for rows in data.inputs.split(BLOCK))
        scored = scores(blocks, place[data.labels])
        found.append((scored.loss.astype(np.float64), scored.rank == 0))
    loss, correct = zip(*found, strict=True)
    return np.mean(loss, axis=0), np.mean(correct, axis=0)


def merged(logits: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Return logits of groups, (N, G): the logarithm of the sum of the members' exponentials."""
    count = int(group.max()) + 1
    top = logits.amax(1, keepdim=True)
    sums = torch.zeros(len(logits), count, dtype=torch.float64)
    sums.index_add_(1, group, (logits - top).double().exp())
    return sums.log() + top


def _between(
    each: _rival_runs.Configuration,
    found: Found,
    group: np.ndarray,
    options: Options,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return scores and the effect between classes by λ, of all classes and of those never merged.

    left: the share of the variance between classes that is left once classes are merged.
    """
    labels, reference = each.path.labels, each.path.labels.index(each.best)
    alone = np.bincount(group)[group] == 1
    rows = []
    for of, chosen in (("all", np.ones(len(group), bool)), ("never merged", alone)):
        if chosen.sum() < 2:
            continue
        apart = [found[state, "test", "loss"].selected(chosen) for state in LABELLINGS]
        apart = [sample.relative_to(reference) for sample in apart]
        left = merging.share_left(*apart, options.draws, rng, options.level)
        for state, sample in zip(LABELLINGS, apart, strict=True):
            between = effects.between_classes(sample, options.draws, rng, options.level)
            columns = {"weight_decay": labels, "of": of, "state": state, "classes": chosen.sum()}
            for measure in ("loss", "accuracy"):
                scored = found[state, "test", measure].selected(chosen)
                columns[measure] = scored.values.mean(axis=0)
            for end in ("estimate", "low", "high"):
                variance = getattr(between.variance, end)
                columns[f"between_{end}"] = np.sqrt(np.maximum(variance, 0))
            if state == LABELLINGS[1]:
                columns |= {
                    f"left_{end}": getattr(left, end) for end in ("estimate", "low", "high")
                }
            columns |= _gain(found, state, chosen, labels, options.level)
            rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True)


def _gain(
    found: Found, state: str, chosen: np.ndarray, labels: list[str], level: float
) -> dict[str, Any]:
    """Return the best single λ of a labelling, and what a λ per class gains on test beside it.

    Both are chosen on val, the latter from shrunk curves. The gain is read off the runs of single
    λ; its interval takes the choices as given.
    """
    val, test = (found[state, split, "loss"].selected(chosen) for split in SPLITS)
    best = int(reliability.lowest(val.values.mean(axis=0)))
    shrunk = shrinkage.curves(val.relative_to(best), best)
    gain = choices.gain(test, best, reliability.lowest(shrunk), level)
    ends = {"gain": gain.estimate, "gain_low": gain.low, "gain_high": gain.high}
    return {"best": labels[best]} | {name: float(value) for name, value in ends.items()}


def _by_class(
    each: _rival_runs.Configuration,
    found: Found,
    group: np.ndarray,
    rates: np.ndarray,
    names: list[str],
    options: Options,
) -> pd.DataFrame:
    """Return each class's difference from the best single λ on test, by λ, before and after."""
    labels, reference = each.path.labels, each.path.labels.index(each.best)
    count, partners = len(group), [np.flatnonzero(group == own) for own in group]
    others = [
        ", ".join(names[other] for other in partner if other != own)
        for own, partner in enumerate(partners)
    ]
    columns = {
        "class": np.repeat(np.arange(count), len(labels)),
        "name": np.repeat(np.array(names, dtype=object), len(labels)),
        "merged_with": np.repeat(np.array(others, dtype=object), len(labels)),
        "nearest": np.repeat(np.array(names, dtype=object)[rates.argmax(1)], len(labels)),
        "rate": np.repeat(rates.max(1), len(labels)),
        "weight_decay": np.tile(np.array(labels, dtype=object), count),
    }
    for state, prefix in zip(LABELLINGS, ("before", "after"), strict=True):
        sample = found[state, "test", "loss"]
        interval = effects.class_means(sample.relative_to(reference), options.level)
        for end in ("estimate", "low", "high"):
            columns[f"{prefix}_{end}"] = getattr(interval, end).ravel()
        columns[f"{prefix}_loss"] = sample.means.ravel()
        columns[f"{prefix}_accuracy"] = found[state, "test", "accuracy"].means.ravel()
    return pd.DataFrame(columns).assign(best=each.best)
