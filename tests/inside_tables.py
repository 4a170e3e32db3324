"""Made tables of what is inside networks: nine runs, known values, for figures and indicators."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cobaye.analyses import indicators

FAMILIES = ("sgd", "wd", "layca")
LEVELS = 3
LAYERS = 15
ACCURACY = {"sgd": (0.64, 0.75, 0.84), "wd": (0.66, 0.74, 0.86), "layca": (0.65, 0.74, 0.85)}


def tables(families=FAMILIES, layers=LAYERS, seeds=(0,), *, untrained=True):
    """Return the tables of the activations and indicators of a study."""
    rng = np.random.default_rng(0)
    made = {"activations": [], "activation-histograms": [], "pair-histograms": []}
    made |= {"silhouette-sizes": [], "layer-similarity": [], "indicators": []}
    for run, accuracy in runs(families, seeds):
        for name, own in _of_run(rng, accuracy, layers).items():
            state = {} if name == "indicators" else {"state": "trained"}
            made[name].append(own.assign(**run, **state))
    if untrained and families:
        run = {**next(iter(runs(families, seeds)))[0], "state": "initial"}
        for name, own in _of_run(rng, 0.1, layers).items():
            if name != "indicators":
                made[name].append(own.assign(**run))
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in made.items()}
    joined["runs"] = pd.DataFrame([{**run, "finite": True} for run, _ in runs(families, seeds)])
    return joined | {"indicator-ranks": indicators.ranks(joined["indicators"])}


def runs(families, seeds):
    """Yield the keys of every run, and its test accuracy."""
    for family in families:
        for level in range(LEVELS):
            for seed in seeds:
                keys = {"model": "vgg", "optimizer": f"{family}-{level}", "seed": seed}
                keys["weight_decay"] = "0.002" if family == "wd" else "0"
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
