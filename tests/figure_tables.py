"""Made tables of a study: known data for every table that a figure may read."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd

from cobaye import kinds
from cobaye.analyses import _sweeps, backbones, how_many, measures
from cobaye.analyses import classes as analysis
from cobaye.figures import _class_losses, _lambda_axis
from cobaye.recipes import axes
from cobaye.tables import grid_table
from tests import inside_tables

LAMBDAS = (
    *("0", "1e-7", "1e-6", "3.162e-6", "1e-5", "3.162e-5"),
    *("1e-4", "3.162e-4", "1e-3", "3.162e-3", "1e-2"),
)
RUN = ["model", "optimizer", "weight_decay", "seed"]
PAIR = RUN[:2]


@functools.cache
def everything(
    families=("sgd",), levels=2, lambdas=("0", "2e-3"), layers=3, diverged=(), **last_layer
):
    """Return every table that a stage or an analysis can make, all of the same runs."""
    optimizers = [f"{family}-{level}" for family in families for level in range(levels)]
    last_layer = {"classes": 12, "epochs": 3, **last_layer}
    pairs = tuple(("vgg16", optimizer) for optimizer in optimizers)
    tables = study(lambdas, groups=pairs, diverged=diverged, **last_layer)
    finite = tables["runs"].loc[tables["runs"]["finite"], RUN]
    seeds = tuple(range(last_layer.get("seeds", 1)))
    inside = inside_tables.weights(families, levels, layers, len(seeds), size=12)
    inside |= inside_tables.tables(families, layers, seeds, levels=levels)
    for name, table in inside.items():
        inside[name] = table.merge(finite, on=RUN) if set(RUN) <= set(table) else table
    grid = {
        "models": {"vgg16": {"width_1": 8, "width_2": 4}},
        "optimizers": {name: {"learning_rate": 0.1**i} for i, name in enumerate(optimizers)},
        "epochs": dict.fromkeys(optimizers, sorted({1, tables["runs"]["epochs"].max()})),
    }
    grid = grid_table.table(tables, grid)
    return {
        **inside,
        **tables,
        "grid": grid,
        "derived": grid.drop_duplicates(RUN, keep="last").assign(taken="vgg16/sgd-0"),
        "derived-history": tables["history"],
        "derived-metrics": tables["metrics"],
        "samples": samples(optimizers),
        **_over_axes(tables),
    }


def _over_axes(tables):
    """The same numbers as over λ, as if they were over the other axes; a plane has one strength."""
    labels = tables["runs"]["weight_decay"].unique()
    pairs = {label: axes.pair("0.5", label) for label in labels}
    return {
        kinds.over(name, axis): table.rename(columns={"weight_decay": axis}).assign(at="0")
        for maker in kinds.names("analyses")
        for axis in kinds.constant("analyses", maker, "OVER", {})
        for name in kinds.constant("analyses", maker, "TABLES")
        for table in [tables[name].replace(pairs) if axis == axes.PLANE else tables[name]]
    }


def samples(versions, classes=3, images=2, shape=(6, 8, 3)):
    """Pictures of as many classes, raw and by each optimizer's augmentation."""
    keys = itertools.product(("", *versions), range(classes), range(images))
    table = pd.DataFrame(keys, columns=["version", "class", "place"])
    size = dict(zip(("height", "width", "channels"), shape, strict=True))
    table = table.assign(name="class " + table["class"].astype(str), image=table["place"], **size)
    rng = np.random.default_rng(0)
    return table.assign(pixels=[rng.bytes(np.prod(shape)) for _ in table.index])


@functools.cache
def study(
    lambdas=LAMBDAS,
    classes=200,
    epochs=12,
    groups=(("linear", "sgd"),),
    seeds=1,
    diverged=(),
    names=None,
):
    """Return the tables of a study that over-fits at small λ and under-fits at large λ."""
    rng = np.random.default_rng(0)
    names = names or [f"class {number}" for number in range(classes)]
    hard = rng.gamma(3, 0.35, classes)
    optimum = rng.normal(-3.2, 0.9, classes)
    tables = {name: [] for name in ("history", "metrics", "classes", "runs")}
    for number, (group, label) in enumerate(itertools.product(groups, lambdas)):
        shift = 0.3 * (number // len(lambdas))
        for seed in range(seeds):
            run = (*group, label, seed)
            bad = label in diverged
            strength = np.log10(max(float(label), 1e-8))
            _run(tables, run, strength + shift, rng, names, hard, optimum, epochs, bad)
    columns = {
        "history": "epoch loss penalty objective accuracy learning_rate weight_l1 weight_l2",
        "metrics": "epoch split loss accuracy top5",
        "classes": "split class name n loss accuracy",
        "runs": "epochs stopped finite",
    }
    tables = {
        name: pd.DataFrame(tables[name], columns=[*RUN, *columns[name].split()]) for name in columns
    }
    none = pd.DataFrame(columns=["split", "loss", "accuracy", "top5"])
    tables["baseline"] = none
    tables |= _choices(tables, rng)
    return tables | _analysed(tables, groups, lambdas, seeds, names, diverged)


def _analysed(tables, groups, lambdas, seeds, names, diverged):
    """What analyses make of four images per class and split, about as hard."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(len(names)), 4)
    finite = [label for label in lambdas if label not in diverged]
    sweeps = []
    for group in groups if finite else ():
        splits = {}
        for split in ("train", "val", "test"):
            rows = tables["classes"]
            rows = rows[(rows["split"] == split) & (rows["model"] == group[0])]
            means = rows.groupby(["weight_decay", "class"])["loss"].mean().unstack()
            means = means.loc[finite].to_numpy()[:, labels]
            loss = np.stack([means * np.exp(rng.normal(0, 0.3, labels.shape))] * seeds)
            wrong = rng.random(loss.shape) < 0.4
            predicted = np.where(wrong, (labels + 1) % len(names), labels)
            more = {
                "scaled_loss": 0.9 * loss,
                "brier": np.minimum(2 * wrong + rng.uniform(0, 0.2, loss.shape), 2),
                "confidence": rng.uniform(0.4, 1, loss.shape),
                "scaled_confidence": rng.uniform(0.3, 0.9, loss.shape),
            }
            splits[split] = _sweeps.Predictions(labels, loss.astype(np.float32), predicted, more)
        sweeps.append(_sweeps.Sweep(group, finite, list(range(seeds)), splits))
    pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    options = analysis.Options(draws=100, splits=20)
    temperatures = {
        (*group, label, seed): 2.0 - 0.1 * place
        for group in groups
        for place, label in enumerate(lambdas)
        for seed in range(seeds)
    }
    tables = analysis.tables(sweeps, names, options, lambda row: pixels if row % 3 else None)
    near = {each.group: rng.lognormal(size=len(names)) for each in sweeps}
    # The same runs on two backbones, the second by other images.
    twice = [
        _sweeps.Sweep((f"{each.group[0]}@{name}", each.group[1]), *_shuffled(each, order))
        for each in sweeps
        for name, order in (("net-0", slice(None)), ("net-1", rng.permutation(4)))
    ]
    return {
        **tables,
        **backbones.tables(twice, names, backbones.Options(halvings=1)),
        **measures.tables(sweeps, names, measures.Options(draws=100), temperatures),
        **how_many.tables(sweeps, names, how_many.Options(draws=100, halvings=2), near),
    }


def _shuffled(sweep, order):
    """The labels, seeds and splits of a sweep, the four images of each class in another order."""
    splits = {}
    for name, each in sweep.splits.items():
        shape = (*each.loss.shape[:2], -1, 4)
        loss = each.loss.reshape(shape)[..., order].reshape(each.loss.shape)
        splits[name] = _sweeps.Predictions(each.labels, loss, each.predicted)
    return sweep.labels, sweep.seeds, splits


def _run(tables, run, strength, rng, names, hard, optimum, epochs, bad):
    last = min(3, epochs) if bad else epochs
    tables["runs"].append((*run, last, "diverged at epoch 3" if bad else "all epochs", not bad))
    keep = 1 / (1 + np.exp(2.2 * (strength + 1.5)))  # how much of the fit λ leaves
    fit = keep * (1 - np.exp(-np.arange(epochs + 1) / (3 + 12 * keep)))
    noise = rng.normal(0, 0.01, epochs + 1)
    train = 5.3 * (1 - fit) ** 1.6 + 0.02 + np.abs(noise)
    over = 1.3 * np.clip(-2.6 - strength, 0, None) / 4.8 * np.linspace(0, 1, epochs + 1)
    test = 5.3 * (1 - 0.85 * fit) ** 1.6 + over + noise
    norm = 8e3 * (0.2 + keep * np.arange(epochs + 1) ** 0.5 * 10 ** (-0.15 * (strength + 4)))
    for epoch in range(last + 1):
        loss = np.nan if bad and epoch == last else train[epoch] * (1e6 if bad and epoch > 1 else 1)
        penalty = 10.0 ** (strength - 3) * norm[epoch]
        first = epoch == 0
        accuracy = np.nan if first else fit[epoch] * 0.97
        values = (loss, penalty, loss + penalty)
        values = (np.nan,) * 3 if first else values
        tables["history"].append(
            (*run, epoch, *values, accuracy, 0.1, norm[epoch], norm[epoch] ** 0.5)
        )
        for split in ("val", "test"):
            loss = np.inf if bad and epoch == last else test[epoch]
            tables["metrics"].append((*run, epoch, split, loss, 0.7 * fit[epoch], 0.9 * fit[epoch]))
    for split in ("train", "val", "test"):
        own = (optimum if split != "train" else optimum - 2.5) + rng.normal(0, 0.25, len(names))
        loss = hard * (0.4 if split == "train" else 1) * (1 + 0.12 * (strength - own) ** 2)
        loss = loss + 3.4 * np.clip(strength + 3.0, 0, None) ** 1.5
        for number, name in enumerate(names):
            value = np.nan if bad else loss[number]
            tables["classes"].append((*run, split, number, name, 50, value, np.exp(-value)))


def _gaps(runs, rng):
    finite = runs[runs["finite"]]
    table = finite.assign(exact="exact", bound=1e-9)[[*RUN, "exact", "bound"]]
    strength = finite["weight_decay"].astype(float).to_numpy()
    return table.assign(
        objective=0.5,
        optimum=0.4,
        objective_gap=0.1 / (1 + 1e4 * strength) * rng.uniform(0.8, 1.2, len(table)),
        test_loss=1.0,
        optimum_test_loss=1.1,
        test_loss_gap=rng.normal(-0.1, 0.01, len(table)),
        test_disagreement=rng.uniform(0, 0.2, len(table)),
        shrinkage=strength * 3000,
    )


def _choices(tables, rng):
    classes = tables["classes"].merge(tables["runs"], on=RUN)
    best, per_class, confused, names = [], [], [], {}
    for group, rows in classes[classes["finite"]].groupby(PAIR, sort=False):
        labels = _lambda_axis.order(rows["weight_decay"])
        val, test = (
            _class_losses.class_losses(rows[rows["split"] == split], labels)
            for split in ("val", "test")
        )
        names = rows.drop_duplicates("class").set_index("class")["name"]
        overall = _class_losses.lowest(val.mean().to_frame().T).iloc[0]
        best.append((*group, overall, val[overall].mean(), test[overall].mean(), 0.7, np.nan))
        for number, own in _class_losses.lowest(val).items():
            mine, other = test.at[number, own], test.at[number, overall]
            per_class.append((*group, number, names[number], own, mine, other, other - mine))
        for number in names.index:
            confused.append((*group, overall, number, number, 30))
            for step in rng.integers(-6, 7, 8):
                other = int(np.clip(number + step, 0, len(names) - 1))
                confused.append((*group, overall, number, other, int(rng.integers(1, 6))))
    return {
        "best-lambda": pd.DataFrame(
            best,
            columns=[*PAIR, "weight_decay", "val_loss", "test_loss", "test_accuracy", "test_top5"],
        ),
        "best-lambda-per-class": pd.DataFrame(
            per_class,
            columns=[
                *(*PAIR, "class", "name", "weight_decay"),
                *("test_loss", "overall_test_loss", "paid"),
            ],
        ),
        "confusion": pd.DataFrame(
            confused, columns=[*PAIR, "weight_decay", "label", "predicted", "n"]
        ),
        "optimality-gap": _gaps(tables["runs"], rng),
        **_per_class(best, names, rng),
    }


def _per_class(best, names, rng):
    """A λ for each class, chosen in three ways; no run of the second stayed finite."""
    lambdas, judged = [], []
    for model, optimizer, label, *_ in best:
        group = {"model": model, "optimizer": optimizer, "best": label}
        for way in ("val", "shrunk", "hypergradient", "refit"):
            for number, name in names.items():
                chosen = 0.0 if number % 3 == 0 else 10 ** rng.normal(-3, 0.5)
                chosen = 1e-3 if way == "refit" else chosen
                own = {"class": number, "name": name, "weight_decay": chosen, "choice": way}
                like = {"n_train": 50, "accuracy": rng.random(), "weight_norm": rng.random()}
                lambdas.append({**group, **own, **like})
        judged += [{**group, **row} for row in _rivals()]
    columns = ["model", "optimizer", "best", "choice", "class", "name", "weight_decay"]
    columns += ["n_train", "accuracy", "weight_norm"]
    judged_columns = ["model", "optimizer", "best", *_rivals()[0]]
    tail = pd.DataFrame(judged, columns=judged_columns)
    return {
        "long-tail": pd.concat([tail.assign(group=group) for group in ("all", "many", "few")]),
        "per-class-lambda": pd.DataFrame(lambdas, columns=columns),
        "rivals": pd.DataFrame(judged, columns=judged_columns),
    }


def _rivals():
    """Rivals of one λ: rival, difference in test loss, whether it is told apart."""
    given = [("one", np.nan, True), ("val", 0.01, False), ("shrunk", np.nan, True)]
    given += [("hypergradient", 0.02, True), ("temperature", -0.05, True), ("mix", 0.9, True)]
    rows = []
    for rival, change, known in given:
        row = {"rival": rival, "verdict": "beats one λ" if known else "not known to differ"}
        for measure, factor in (("loss", 1), ("accuracy", -0.1), ("tenth", -0.2)):
            mean, one = factor * change, {"loss": 1.0, "accuracy": 0.7, "tenth": 0.3}[measure]
            row[measure] = one + (0 if rival == "one" else mean)
            row[f"{measure}_difference"] = mean
            for end, reach in (("low", -0.02), ("high", 0.02)):
                row[f"{measure}_{end}"] = mean + abs(factor) * reach
                row[f"{measure}_classes_{end}"] = mean + 2 * abs(factor) * reach
        rows.append(row)
    return rows
