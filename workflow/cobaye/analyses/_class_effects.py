"""The effects of λ on each class, and whether classes differ in them, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cobaye.analyses._sweep_view import View
from cobaye.statistics import choices, effects, reliability, worst


def class_effects(view: View) -> pd.DataFrame:
    """Return, per class and λ, the difference from the best λ overall on test, with intervals.

    The p-values ask whether the class differs from the mean class, not from 0.
    """
    losses = view.differences["test"]
    loss = effects.class_means(losses, view.level)
    p = effects.class_p_values(losses)
    fdr, holm = effects.adjusted(p)
    shares = view.correct["test"].relative_to(view.reference)
    accuracy = effects.class_shares(shares, view.level)
    width = len(view.sweep.labels)
    return view.by_class_and_lambda(
        {
            "n": np.repeat(losses.counts[:, None], width, axis=1),
            "loss": loss.estimate,
            "loss_low": loss.low,
            "loss_high": loss.high,
            "p": p,
            "p_bh": fdr,
            "p_holm": holm,
            "accuracy": accuracy.estimate,
            "accuracy_low": accuracy.low,
            "accuracy_high": accuracy.high,
        }
    )


def inference(view: View) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the statistics on test per λ, and those over all λ (one row)."""
    sample, losses = view.losses["test"], view.differences["test"]
    between = effects.between_classes(losses, view.draws, view.rng("between"), view.level)
    test = effects.common_curve_test(losses, view.draws_of(losses), view.rng("common curve"))
    halves = reliability.split_half(
        sample, view.reference, view.splits, view.rng("halves"), view.level
    )
    fdr, holm = effects.adjusted(effects.class_p_values(losses))
    per_lambda = view.frame(
        {
            view.sweep.axis: view.sweep.labels,
            "best": view.best,
            **_mean_rise(view),
            **_spread("between", between.variance),
            "between_variance": between.variance.estimate,
            "between_sd_least": np.sqrt(np.maximum(between.least, 0)),
            "noise_sd": np.sqrt(between.noise),
            "p": test.p,
            "correlation": halves.correlation.estimate,
            "reliability": halves.stepped_up.estimate,
            "reliability_low": halves.stepped_up.low,
            "reliability_high": halves.stepped_up.high,
            "classes_bh": (fdr <= 1 - view.level).sum(axis=0),
            "classes_holm": (holm <= 1 - view.level).sum(axis=0),
        }
    )
    return per_lambda, _overall(view, between, test, halves)


def _mean_rise(view: View) -> dict[str, list[float]]:
    """Return, per λ, the rise of the mean test loss over that at the best λ, with its interval."""
    gains = [
        choices.gain(view.losses["test"], view.reference, np.full(view.classes, place), view.level)
        for place in range(len(view.sweep.labels))
    ]
    # A gain is a fall; a difference is a rise.
    return {
        "mean": [0 - one.estimate for one in gains],
        "mean_low": [0 - one.high for one in gains],
        "mean_high": [0 - one.low for one in gains],
    }


def _overall(
    view: View,
    between: effects.Between,
    test: effects.CommonCurve,
    halves: reliability.Reliability,
) -> pd.DataFrame:
    return view.frame(
        {
            "best": [view.best],
            "classes": [between.classes],
            "images": [len(view.differences["test"].values)],
            "seeds": [len(view.sweep.seeds)],
            "draws": [view.draws],
            "level": [view.level],
            "p_between": [between.p],
            "p": [test.overall],
            "agreement": [float(halves.agreement.estimate)],
            "agreement_by_chance": [halves.expected],
            "kappa": [float(halves.kappa.estimate)],
            "kappa_low": [float(halves.kappa.low)],
            "kappa_high": [float(halves.kappa.high)],
        }
    )


def _spread(name: str, variance: effects.Interval) -> dict[str, np.ndarray]:
    """Return a variance with its interval as a standard deviation; below 0 it is 0."""
    ends = {"sd": variance.estimate, "sd_low": variance.low, "sd_high": variance.high}
    return {f"{name}_{end}": np.sqrt(np.maximum(value, 0)) for end, value in ends.items()}


def null_counts(view: View) -> pd.DataFrame:
    """Return, per split and λ, how many classes are best there, and how many by noise alone."""
    tables = []
    for split, nulls in view.nulls.items():
        curve, shape = nulls["one curve"], nulls["one shape"]
        columns = {
            "split": split,
            view.sweep.axis: view.sweep.labels,
            "classes": curve.classes,
            "observed": curve.observed,
            "expected": curve.expected.estimate,
            "low": curve.expected.low,
            "high": curve.expected.high,
            "shape_expected": shape.expected.estimate,
            "shape_low": shape.expected.low,
            "shape_high": shape.expected.high,
            "draws": view.draws,
        }
        tables.append(view.frame(columns))
    return pd.concat(tables, ignore_index=True)


def worst_classes(view: View) -> pd.DataFrame:
    """Return, per λ, the accuracy on test of the classes worst off, chosen on test or on val."""
    judge = view.correct["test"]
    tenth = -(-view.classes // 10)
    sizes = {"lowest": 1, "tenth": tenth, "worst 10": 10, "worst 100": 100}
    tables = []
    for split in ("test", "val"):
        chooser = view.correct[split].means
        for measure, number in sizes.items():
            mean, members = worst.worst_mean(chooser, judge, number, view.level)
            first = members[:, 0] if members.shape[1] else np.full(len(view.sweep.labels), -1)
            columns = {
                view.sweep.axis: view.sweep.labels,
                "chosen_on": split,
                "measure": measure,
                "classes": members.shape[1],
                "accuracy": mean.estimate,
                "low": mean.low,
                "high": mean.high,
                "worst": [view.names[one] if one >= 0 else "" for one in first],
            }
            tables.append(view.frame(columns))
    return pd.concat(tables, ignore_index=True)


def worst_pairs(view: View) -> pd.DataFrame:
    """Return, per λ, the two classes most taken for each other on test, all seeds together."""
    test = view.sweep.splits["test"]
    rows = []
    for place, label in enumerate(view.sweep.labels):
        finite = test.finite[:, place]
        predicted = test.predicted[finite, place].ravel()
        labels = np.tile(test.labels, int(finite.sum()))
        pair = worst.worst_pair(labels, predicted, view.classes)
        first, second = (view.names[pair.first], view.names[pair.second]) if pair else ("", "")
        rate = pair.rate if pair else 0.0
        rows.append({view.sweep.axis: label, "first": first, "second": second, "rate": rate})
    return view.frame(pd.DataFrame(rows).to_dict("list"))
