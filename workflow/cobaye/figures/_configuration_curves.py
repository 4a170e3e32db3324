"""One curve per configuration, all in one panel: names, looks, and the λ of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _epoch_curves, _lambda_axis, _panels, _style
from cobaye.tables import reported_epoch

# A loss so many times higher than the median curve's highest does not stretch the axis.
_FAR = 5.0


def names(configurations: Sequence[_panels.Configuration]) -> dict[_panels.Configuration, str]:
    """Return configuration → name: the model, the optimizer, or both, whichever differ."""
    models, optimizers = (
        {configuration[part] for configuration in configurations} for part in (0, 1)
    )
    if len(models) == 1:
        return {configuration: configuration.optimizer for configuration in configurations}
    if len(optimizers) == 1:
        return {configuration: configuration.model for configuration in configurations}
    return {
        configuration: f"{configuration.model} · {configuration.optimizer}"
        for configuration in configurations
    }


def looks(
    configurations: Sequence[_panels.Configuration],
) -> dict[_panels.Configuration, dict[str, Any]]:
    """Return configuration → colour, dashes and width, keyed to what the names say.

    Where models and optimizers both vary, an optimizer has a colour and a model its dashes. Else a
    name's first part has a colour and the rest its dashes, if all names are of two parts or more:
    those of ``lr0.5-batch16`` and ``lr0.5-batch64`` have one colour.
    """
    by_name = names(configurations)
    pairs = {one: (one.optimizer, one.model) for one in configurations}
    if len({model for _, model in pairs.values()}) == 1:
        split = {one: name.partition("-")[::2] for one, name in by_name.items()}
        whole = all(rest for _, rest in split.values())
        pairs = split if whole else {one: (name, "") for one, name in by_name.items()}
    elif len({optimizer for optimizer, _ in pairs.values()}) == 1:
        pairs = {one: (one.model, "") for one in configurations}
    colours, dashes = (list(dict.fromkeys(parts)) for parts in zip(*pairs.values(), strict=True))
    return {
        one: _style.category(
            colours.index(first), dashes.index(rest) if len(dashes) > 1 else colours.index(first)
        )
        for one, (first, rest) in pairs.items()
    }


def weight_decay(tables: Mapping[str, pd.DataFrame], configuration: _panels.Configuration) -> str:
    """Return the λ shown for a configuration: the best overall, or the smallest if all diverged."""
    labels = _lambda_axis.order(_panels.of(tables["runs"], configuration)["weight_decay"])
    return _panels.best(tables, configuration) or labels[0]


def at_its_best(
    table: pd.DataFrame, tables: Mapping[str, pd.DataFrame], configuration: _panels.Configuration
) -> pd.DataFrame:
    """Return the rows of a configuration's runs at the λ of `weight_decay`."""
    rows, label = _panels.of(table, configuration), weight_decay(tables, configuration)
    return rows[[_lambda_axis.same(other, label) for other in rows["weight_decay"].astype(str)]]


def curves(
    table: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    configurations: Sequence[_panels.Configuration],
    quantity: _epoch_curves.Quantity,
) -> dict[_panels.Configuration, _epoch_curves.Curve]:
    """Return each configuration's curve of a column of ``table`` (a row per run and epoch)."""
    by_configuration = {}
    for configuration in configurations:
        rows, label = at_its_best(table, tables, configuration), weight_decay(tables, configuration)
        bad = {
            seed
            for other, seed in _panels.diverged(tables, configuration)
            if _lambda_axis.same(other, label)
        }
        wide = rows.pivot(index="epoch", columns="seed", values=quantity.column)
        one = _epoch_curves.curve(wide, bad, quantity.factor)
        if "epoch" in tables["runs"]:
            chosen = reported_epoch.rows(rows[~rows["seed"].isin(bad)], tables["runs"])
            values = chosen[quantity.column] * quantity.factor
            one = replace(one, reported=tuple(zip(chosen["epoch"], values, strict=True)))
        by_configuration[configuration] = one
    return by_configuration


def draw(
    ax: Axes,
    by_configuration: Mapping[_panels.Configuration, _epoch_curves.Curve],
    quantity: _epoch_curves.Quantity,
) -> None:
    """Draw the curves of a panel, with the range over seeds; a cross ends one that diverged.

    Losses far above the others' run along the upper edge.
    """
    shown = list(by_configuration.values())
    if quantity.column == "loss":
        highest = [one.high.max(initial=0) for one in shown if one.whole]
        far = _FAR * np.median(highest) if highest else np.inf
        shown = [one for one in shown if one.high.max(initial=0) <= far]
    _epoch_curves.frame(ax, quantity, *_epoch_curves.limits(shown, quantity.log))
    shapes = looks(list(by_configuration))
    for configuration, one in by_configuration.items():
        _epoch_curves.plot(ax, one, shapes[configuration])


def legend(
    fig: Figure,
    tables: Mapping[str, pd.DataFrame],
    accuracies: Mapping[_panels.Configuration, _epoch_curves.Curve],
    split: str,
) -> None:
    """Add the legend: each curve's name, its last accuracy on a split, its λ where λ varies.

    Where the study chooses the epoch, the accuracy there comes first. Where runs diverged, it says
    why they ended.
    """
    varies = tables["runs"]["weight_decay"].nunique() > 1
    handles = []
    shapes = looks(list(accuracies))
    for configuration, name in names(list(accuracies)).items():
        label, one = name, accuracies[configuration]
        if one.whole and len(one.mean):
            end = f"{one.mean[-1]:.1f} %"
            there = [value for _, value in one.reported]
            label += f": {np.mean(there):.1f} % ({end})" if there else f": {end}"
        if varies:
            label += f", λ = {weight_decay(tables, configuration)}"
        runs = at_its_best(tables["runs"], tables, configuration)
        reasons = runs.loc[~runs["finite"].astype(bool), "stopped"]
        if len(reasons):
            share = f" ({len(reasons)} of {len(runs)} seeds)" if len(runs) > 1 else ""
            label += f"\n× {reasons.iloc[0]}{share}"
        handles.append(Line2D([], [], label=label, **shapes[configuration]))
    when, chosen = "at the end", any(one.reported for one in accuracies.values())
    if chosen:
        name = reported_epoch.words(tables["runs"])
        when = f"at {name} (at the end)"
        handles.append(Line2D([], [], label=name, color=_style.GREY, **_epoch_curves.REPORTED))
    below = {"loc": "outside lower center", "ncols": 3 if len(handles) > 4 and not chosen else 2}
    _panels.legend(fig, handles, title=f"accuracy on {split} {when}", **below)
