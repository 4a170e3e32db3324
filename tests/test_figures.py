"""Synthetic studies through every figure."""

import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from cobaye import figures, kinds
from cobaye.errors import ConfigError
from cobaye.figures import _curves, _lambdas, _style, best_lambda, confusion, three_classes

LAMBDAS = (
    *("0", "1e-7", "1e-6", "3.162e-6", "1e-5", "3.162e-5"),
    *("1e-4", "3.162e-4", "1e-3", "3.162e-3", "1e-2"),
)
RUN = ["model", "optimizer", "weight_decay", "seed"]


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
    return tables | _choices(tables, rng)


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


def _choices(tables, rng):
    classes = tables["classes"].merge(tables["runs"], on=RUN)
    best, per_class, confused = [], [], []
    for group, rows in classes[classes["finite"]].groupby(["model", "optimizer"], sort=False):
        labels = _lambdas.order(rows["weight_decay"])
        val, test = (
            _lambdas.class_losses(rows[rows["split"] == split], labels) for split in ("val", "test")
        )
        names = rows.drop_duplicates("class").set_index("class")["name"]
        overall = _lambdas.lowest(val.mean().to_frame().T).iloc[0]
        best.append((*group, overall, val[overall].mean(), test[overall].mean(), 0.7, np.nan))
        for number, own in _lambdas.lowest(val).items():
            mine, other = test.at[number, own], test.at[number, overall]
            per_class.append((*group, number, names[number], own, mine, other, other - mine))
        for number in names.index:
            confused.append((*group, overall, number, number, 30))
            for step in rng.integers(-6, 7, 8):
                other = int(np.clip(number + step, 0, len(names) - 1))
                confused.append((*group, overall, number, other, int(rng.integers(1, 6))))
    pair = ["model", "optimizer"]
    return {
        "best-lambda": pd.DataFrame(
            best,
            columns=[*pair, "weight_decay", "val_loss", "test_loss", "test_accuracy", "test_top5"],
        ),
        "best-lambda-per-class": pd.DataFrame(
            per_class,
            columns=[
                *(*pair, "class", "name", "weight_decay"),
                *("test_loss", "overall_test_loss", "paid"),
            ],
        ),
        "confusion": pd.DataFrame(
            confused, columns=[*pair, "weight_decay", "label", "predicted", "n"]
        ),
    }
