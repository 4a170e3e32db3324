"""Made tables of what is inside networks: nine runs, known values."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import torch

from cobaye.analyses import indicators
from cobaye.inside import rotations

RUN = ["model", "optimizer", "weight_decay", "seed"]
FAMILIES = ("sgd", "wd", "layca")
LEVELS = 3
LAYERS = 15
EPOCHS = 6
ACCURACY = {"sgd": (0.64, 0.75, 0.84), "wd": (0.66, 0.74, 0.86), "layca": (0.65, 0.74, 0.85)}


def tables(families=FAMILIES, layers=LAYERS, seeds=(0,), *, untrained=True, levels=LEVELS):
    """Return the tables of the activations and indicators of a study."""
    rng = np.random.default_rng(0)
    made = {"activations": [], "activation-histograms": [], "pair-histograms": []}
    made |= {"silhouette-sizes": [], "layer-similarity": [], "indicators": []}
    for run, accuracy in runs(families, seeds, levels):
        for name, own in _of_run(rng, accuracy, layers).items():
            state = {} if name == "indicators" else {"state": "trained"}
            made[name].append(own.assign(**run, **state))
    if untrained and families:
        run = {**next(iter(runs(families, seeds, levels)))[0], "state": "initial"}
        for name, own in _of_run(rng, 0.1, layers).items():
            if name != "indicators":
                made[name].append(own.assign(**run))
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in made.items()}
    joined["runs"] = pd.DataFrame(
        [{**run, "finite": True} for run, _ in runs(families, seeds, levels)]
    )
    return joined | {"indicator-ranks": indicators.ranks(joined["indicators"])}


def runs(families, seeds, levels=LEVELS):
    """Yield the keys of every run, and its test accuracy."""
    for family in families:
        for level in range(levels):
            for seed in seeds:
                keys = {"model": "vgg16", "optimizer": f"{family}-{level}", "seed": seed}
                keys["weight_decay"] = "2e-3" if family == "wd" else "0"
                yield keys, ACCURACY[family][level] + 0.01 * seed


def _of_run(rng, accuracy, layers):
    numbers = np.arange(1, layers + 1)
    depth = numbers / layers
    return {
        "activations": _activations(rng, numbers, depth, accuracy),
        "activation-histograms": _histograms(rng, numbers, 0, 2),
        "pair-histograms": _histograms(rng, numbers, 0, 1),
        "silhouette-sizes": _sizes(numbers, accuracy),
        "layer-similarity": _similarity(numbers, accuracy),
        "indicators": _indicators(numbers, depth, accuracy),
    }


def _activations(rng, numbers, depth, accuracy):
    off = np.where(accuracy < 0.5, 0.3 * depth, 0.05 * depth)
    information = 0.02 + accuracy * np.maximum(depth - 0.4, 0) + off**2
    columns = {
        "zeros": 0.65 + 0.1 * depth,
        "off": off,
        "on": 0 * depth,
        "never_active": off,
        "always_active": 0.1 - 0.1 * depth,
        "pairs_off": off**2,
        "pairs_on": 0.1 * off,
        "pairs_mixed": 0 * depth,
        "pair_information": information,
        "pair_information_below_one": information - off**2,
        "label_information": 0.3 * accuracy * depth**3,
        "silhouette_euclidean": 0.05 - 0.1 * accuracy * depth,
        "silhouette_euclidean_neurons": 20 - (depth > 0.8) * 3,
        "silhouette_cosine": np.where(numbers == 7, np.nan, 0.2 * (depth - 0.5)),
        "silhouette_cosine_neurons": np.where(numbers == 7, 0, 20 - (depth > 0.8) * 5),
        "active_around_euclidean_neurons": 20 - (depth > 0.8) * 3,
        "active_around_cosine_neurons": 20 - (depth > 0.8) * 3,
        "active_around_euclidean": 0.5 + 0.3 * accuracy * depth,
        "active_around_cosine": 0.5 + 0.4 * accuracy * depth,
    }
    noise = {
        name: values if name.endswith("neurons") else values + 0.002 * rng.random()
        for name, values in columns.items()
    }
    names = [f"layer{number}" for number in numbers]
    return pd.DataFrame({"layer": numbers, "name": names, "neurons": 100, "images": 50, **noise})


def _histograms(rng, numbers, low, high):
    edges = np.linspace(low, high, 31)
    rows = {
        "layer": np.repeat(numbers, 30),
        "lower": np.tile(edges[:-1], len(numbers)),
        "upper": np.tile(edges[1:], len(numbers)),
        "count": rng.geometric(0.05, 30 * len(numbers)) * (np.arange(30 * len(numbers)) % 30 < 20),
    }
    return pd.DataFrame(rows)


def _sizes(numbers, accuracy):
    ends = [*numbers[:3], *numbers[-3:]]
    rows = [
        {
            "layer": layer,
            "distance": distance,
            "share": share,
            "silhouette": accuracy * share * layer / 20,
            "deviation": 0.01,
            "neurons": 20,
        }
        for layer in dict.fromkeys(ends)
        for distance in ("euclidean", "cosine")
        for share in np.linspace(0.005, 0.5, 20)
    ]
    return pd.DataFrame(rows)


def _similarity(numbers, accuracy):
    rows = [
        {
            "layer": one,
            "other": other,
            "svcca": 1 - 0.05 * abs(one - other),
            "svcca_null": 0.2,
            "pair_information": accuracy / (1 + abs(one - other)) / 10,
        }
        for one in numbers
        for other in numbers
    ]
    return pd.DataFrame(rows)


def _indicators(numbers, depth, accuracy):
    rows = []
    everything = (*indicators.OF_WEIGHTS, *indicators.OF_ACTIVATIONS)
    for place, name in enumerate(everything):
        values = (accuracy - 0.7) * (depth - 0.5) * (-1) ** place + 0.1 * depth
        whole = {"indicator": name, "layer": "all", "value": values.mean()}
        rows.append(whole)
        rows += [
            {"indicator": name, "layer": str(number), "value": value}
            for number, value in zip(numbers, values, strict=True)
        ]
    for how in ("random", "magnitude"):
        rows.append({"indicator": f"pruned_{how}", "layer": "all", "value": accuracy / 2})
    return pd.DataFrame(rows).assign(test_accuracy=accuracy)


@functools.cache
def weights(families=FAMILIES, levels=LEVELS, layers=LAYERS, seeds=1, diverged=(), size=40):
    """Return tables in which level l of family f turns layers by more the higher l and f are."""
    rows = {name: [] for name in ("rotation", "history", "metrics", "runs", "pruning")}
    parts = []
    for f, family in enumerate(families):
        for level in range(levels):
            for seed in range(seeds):
                run = ("vgg16", f"{family}-{level}", "2e-3" if f == 1 else "0", seed)
                bad = (family, level) in diverged
                rows["runs"].append((*run, EPOCHS, "diverged" if bad else "all epochs", not bad))
                _training(rows, run, 0.15 * level + 0.02 * f)
                if not bad:
                    parts += _weights(rows["rotation"], run, f, level, layers, size)
                    _pruning(rows["pruning"], run, f, level)
    columns = {
        "rotation": "epoch layer name kind parameters cosine_distance norm norm_ratio projection "
        "near_zero near_own_zero opposed",
        "history": "epoch accuracy learning_rate",
        "metrics": "epoch split accuracy",
        "runs": "epochs stopped finite",
        "pruning": "how fraction repeat accuracy loss",
    }
    made = {name: pd.DataFrame(rows[name], columns=[*RUN, *columns[name].split()]) for name in rows}
    empty = pd.DataFrame(columns=[*RUN, "quantity", "layer", "name", "lower", "upper", "count"])
    made["weight-histograms"] = pd.concat(parts, ignore_index=True) if parts else empty
    return made


def _training(rows, run, better):
    for epoch in range(EPOCHS + 1):
        reached = (0.55 + better) * (1 - np.exp(-epoch / 2)) + 0.01 * run[3]
        rate = np.nan if epoch == 0 else 10 ** (better * 5 - 3) * 0.2 ** (epoch // 3)
        rows["history"].append((*run, epoch, np.nan if epoch == 0 else min(reached + 0.1, 1), rate))
        rows["metrics"].append((*run, epoch, "val", reached))


def _weights(rows, run, f, level, layers, size):
    """The layers of one network: w₀, kept less and less, and as much of other directions."""
    parts = []
    for layer in range(1, layers + 1):
        generator = torch.Generator().manual_seed(layer + 100 * run[3])
        before = torch.empty(size, size // 2)
        torch.nn.init.xavier_uniform_(before, generator=generator)
        other = before.std() * torch.randn(before.shape, generator=generator)
        for epoch in range(EPOCHS + 1):
            turn = (0.05, 0.15, 1)[level % 3] * (1 - 0.02 * layer) * epoch / EPOCHS
            kept = (1, 1 - turn * (0.4 + 0.03 * layer), (1 - turn**2) ** 0.5)[f % 3]
            now = kept * before + (1.5, 0.4 - 0.02 * layer, 1)[f % 3] * turn * other
            told = (*run, epoch, layer, f"conv{layer}", "conv", before.numel())
            rows.append((*told, *rotations.rotation(before, now, 0.1).values()))
        table = rotations.histograms(before, now)
        table[[*RUN, "layer", "name"]] = *run, layer, f"conv{layer}"
        parts.append(table)
    return parts


def _pruning(rows, run, f, level):
    rng = np.random.default_rng(run[3])
    for fraction in np.arange(10) / 10:
        for how, repeats in (("random", 5), ("magnitude", 1)):
            for repeat in range(repeats):
                bent = 8 - 2 * level if how == "random" else 2 - 0.6 * f
                reached = 0.1 + (0.55 + 0.1 * level) * (1 - fraction) ** bent
                noise = rng.normal(0, 0.02) * (how == "random") * (fraction > 0)
                rows.append((*run, how, fraction, repeat, max(reached + noise, 0.1), 1.0))
