"""A λ for each class, chosen in three ways: the gain; and the classes that λ helps or harms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from cobaye.analyses._sweep_view import View
from cobaye.analyses._sweeps import Predictions
from cobaye.data.typical_images import typical
from cobaye.recipes import axes
from cobaye.statistics import choices, effects, reliability, shrinkage
from cobaye.statistics.sample import Sample, by_class

WAYS = ("naive", "honest", "shrunk")
_EACH = 4  # typical images of a class


def chosen(view: View) -> dict[str, np.ndarray]:
    """Return the λ of each class, (K,), by way."""
    return _chosen(view.losses["val"], view.losses["test"], view.reference)


def _chosen(val: Sample, test: Sample, reference: int) -> dict[str, np.ndarray]:
    shrunk = shrinkage.curves(val.relative_to(reference), reference)
    return {
        "naive": choices.chosen_per_class(test.means, reference),
        "honest": choices.chosen_per_class(val.means, reference),
        "shrunk": reliability.lowest(shrunk),
    }


def compromise(view: View) -> pd.DataFrame:
    """Return the gain of a λ per class over the best overall, by way, with intervals.

    What an interval speaks for stands in the column `resampled`; see `choices.procedure_errors`.
    Over another axis than λ, "other seeds" is the gain in other trainings than those chosen by.
    """
    val, test = view.losses["val"], view.losses["test"]
    draws = min(view.draws_of(val), view.draws_of(test))
    errors = choices.procedure_errors(val, test, view.reference, draws, view.rng("compromise"))
    classes = int(((val.counts > 0) & (test.counts > 0)).sum())
    rows = []
    for way, places in chosen(view).items():
        moved = int((places != view.reference).sum())
        loss = choices.gain(test, view.reference, places, view.level)
        # More right predictions are a gain; less loss is.
        right = choices.gain(view.correct["test"], view.reference, places, view.level)
        accuracy = effects.Interval(0 - right.estimate, 0 - right.high, 0 - right.low)
        images = choices.normal(loss.estimate, errors["val and test"][way], view.level)
        others = choices.students(loss.estimate, errors["classes"][way], classes, view.level)
        rows.append(_row(way, "loss", "test", moved, loss))
        rows.append(_row(way, "accuracy", "test", moved, accuracy))
        rows.append(_row(way, "loss", "val and test", moved, images))
        rows.append(_row(way, "loss", "classes", moved, others))
        if len(view.sweep.seeds) > 1:
            rows.append(_row(way, "loss", "seeds", moved, _over_seeds(view, way)))
        if view.sweep.axis != axes.DEFAULT and len(_whole_seeds(view)) > 1:
            rows.append(_row(way, "loss", "other seeds", moved, _in_other_seeds(view, way)))
    for name, null in view.nulls["test"].items():
        rows.append(_row(f"chance, {name}", "loss", "test", 0, null.gain))
    return view.frame(pd.DataFrame(rows).to_dict("list"))


def _row(way: str, measure: str, drawn: str, moved: int, gain: effects.Interval) -> dict[str, Any]:
    ends = {"gain": gain.estimate, "low": gain.low, "high": gain.high}
    named = {"choice": way, "measure": measure, "resampled": drawn, "classes_moved": moved}
    return named | {key: float(value) for key, value in ends.items()}


def _over_seeds(view: View, way: str) -> effects.Interval:
    """Return the mean gain over seeds; best λ overall and choices are of each seed alone."""
    gains = []
    splits = view.sweep.splits
    for seed in range(len(view.sweep.seeds)):
        if not splits["val"].finite[seed].all():
            continue  # its λ are not those of the other seeds
        val, test = (_of_seed(splits[name], seed, view.classes) for name in ("val", "test"))
        reference = int(reliability.lowest(val.values.mean(axis=0)))
        places = _chosen(val, test, reference)
        gains.append(choices.gain(test, reference, places[way], view.level).estimate)
    return choices.over_seeds(np.array(gains), view.level)


def _whole_seeds(view: View) -> list[int]:
    """Return the places of the seeds whose runs are all finite."""
    return np.flatnonzero(view.sweep.splits["val"].finite.all(axis=1)).tolist()


def _in_other_seeds(view: View, way: str) -> effects.Interval:
    """Return the gain of what each seed chose, in each other seed's training, over classes."""
    splits, seeds = view.sweep.splits, _whole_seeds(view)
    gains, by_classes = [], []
    for seed in seeds:
        val, own = (_of_seed(splits[name], seed, view.classes) for name in ("val", "test"))
        reference = int(reliability.lowest(val.values.mean(axis=0)))
        places = _chosen(val, own, reference)[way]
        for other in seeds:
            if other != seed:
                test = _of_seed(splits["test"], other, view.classes)
                gains.append(choices.gain(test, reference, places, view.level).estimate)
                by_classes.append(choices.class_gains(test, reference, places).means[:, 0])
    means = np.mean(by_classes, axis=0)
    known = means[np.isfinite(means)]
    error = known.std(ddof=1) / np.sqrt(len(known))
    return choices.students(np.mean(gains), error, len(known), view.level)


def _of_seed(split: Predictions, seed: int, classes: int) -> Sample:
    return by_class(split.loss[seed], split.labels, classes)


def class_gains(view: View) -> pd.DataFrame:
    """Return each class's λ by way, and the gain on test with its interval."""
    labels = np.array([*view.sweep.labels], dtype=object)
    columns: dict[str, Any] = {
        "class": np.arange(view.classes),
        "name": view.names,
        "n_val": view.losses["val"].counts,
        "n_test": view.losses["test"].counts,
    }
    for way, places in chosen(view).items():
        gains = choices.class_gains(view.losses["test"], view.reference, places)
        interval = effects.class_means(gains, view.level)
        columns[way] = labels[places]
        columns[f"{way}_gain"] = interval.estimate[:, 0]
        columns[f"{way}_low"], columns[f"{way}_high"] = interval.low[:, 0], interval.high[:, 0]
    return view.frame(columns)


def shrunk_curves(view: View) -> pd.DataFrame:
    """Return each class's curve of differences on val and on test, as seen and as shrunk."""
    tables = []
    for split, shrunk in view.shrunk.items():
        interval = shrunk.interval(view.level)
        table = view.by_class_and_lambda(
            {
                "seen": view.differences[split].means,
                "shrunk": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "better": shrunk.better(),
            }
        )
        table.insert(table.columns.get_loc("class"), "split", split)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def against(view: View, label: str) -> int:
    """Return the place of the λ that the best overall is compared with: `label`, or the smallest.

    Where that is the best overall itself: the largest.
    """
    matches = [place for place, other in enumerate(view.sweep.labels) if label and other == label]
    place = matches[0] if matches else 0
    return place if place != view.reference else len(view.sweep.labels) - 1


def helped_harmed(view: View, label: str) -> pd.DataFrame:
    """Return each class's change from another λ to the best overall, on test, shrunk and ranked.

    `surely`: "helped", "harmed" or "neither", sure for the whole list at the level of the analysis
    (`Shrunk.sure`). `own_surely`: whether the class is better off at its own lowest point, sure for
    all λ and classes.
    """
    shrunk, other = view.shrunk["test"], against(view, label)
    change, deviations = -shrunk.means[:, other], shrunk.deviations[:, other]
    harmed = shrunk.better()[:, other]
    worse, better = shrunk.sure(np.array([other]), view.level)
    lowest, rows = shrunk.chosen(), np.arange(view.classes)
    elsewhere = shrunk.sure(np.arange(len(view.sweep.labels)), view.level)[0][rows, lowest]
    order = np.argsort(change, kind="stable")
    rank = np.empty(view.classes, dtype=int)
    rank[order] = rows + 1
    return view.frame(
        {
            "rank": rank,
            "class": rows,
            "name": view.names,
            "against": view.sweep.labels[other],
            "best": view.best,
            "change": change,
            "sd": deviations,
            "helped": 1 - harmed,
            "harmed": harmed,
            "surely": np.select([better[:, 0], worse[:, 0]], ["helped", "harmed"], "neither"),
            "own": np.array(view.sweep.labels, dtype=object)[lowest],
            "own_gain": -shrunk.means[rows, lowest],
            "own_better": shrunk.better()[rows, lowest],
            "own_surely": elsewhere,
        }
    ).sort_values("rank", ignore_index=True)


def typical_images(
    view: View,
    table: pd.DataFrame,
    number: int,
    image: Callable[[int], np.ndarray | None],
) -> pd.DataFrame:
    """Return images of the `number` most helped and most harmed classes: nearest the median loss.

    pixels: uint8, height × width × channels, rows first.
    """
    test = view.sweep.splits["test"]
    losses = test.mean_loss()[view.reference]
    ends = table["class"].tolist()
    rows = []
    for label in dict.fromkeys([*ends[:number], *ends[-number:]] if number else []):
        images = np.flatnonzero(test.labels == label)
        for place, row in enumerate(images[typical(losses[images], _EACH)].tolist()):
            pixels = image(row)
            if pixels is not None:
                shape = dict(zip(("height", "width", "channels"), pixels.shape, strict=True))
                content = {"class": label, "place": place, "image": row, **shape}
                rows.append({**content, "pixels": pixels.tobytes()})
    names = ["class", "place", "image", "height", "width", "channels", "pixels"]
    return view.frame(pd.DataFrame(rows, columns=names).to_dict("list"))
