"""One curve per (model, optimizer), all in one panel: names, looks, and the λ of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _curves, _lambdas, _panels, _style

# A loss that goes so many times higher than the usual one's does not stretch the axis.
_FAR = 5.0


def names(groups: Sequence[_panels.Group]) -> dict[_panels.Group, str]:
    """Return what tells each pair from the others: its model, its optimizer, or both."""
    models, optimizers = ({group[part] for group in groups} for part in (0, 1))
    if len(models) == 1:
        return {group: group.optimizer for group in groups}
    if len(optimizers) == 1:
        return {group: group.model for group in groups}
    return {group: f"{group.model} · {group.optimizer}" for group in groups}


def weight_decay(tables: Mapping[str, pd.DataFrame], group: _panels.Group) -> str:
    """Return the λ that a pair is shown at: the best overall; its smallest if no run is finite."""
    own = _lambdas.order(_panels.of(tables["runs"], group)["weight_decay"])
    return _panels.best(tables, group) or own[0]


def at_its_best(
    table: pd.DataFrame, tables: Mapping[str, pd.DataFrame], group: _panels.Group
) -> pd.DataFrame:
    """Return the rows of a pair's runs at the λ that it is shown at."""
    mine, label = _panels.of(table, group), weight_decay(tables, group)
    return mine[[_lambdas.same(own, label) for own in mine["weight_decay"].astype(str)]]


def curves(
    table: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    groups: Sequence[_panels.Group],
    quantity: _curves.Quantity,
) -> dict[_panels.Group, _curves.Curve]:
    """Return each pair's curve of a column of ``table`` (a row per run and epoch)."""
    found = {}
    for group in groups:
        mine, label = at_its_best(table, tables, group), weight_decay(tables, group)
        bad = {seed for own, seed in _panels.diverged(tables, group) if _lambdas.same(own, label)}
        wide = mine.pivot(index="epoch", columns="seed", values=quantity.column)
        found[group] = _curves.curve(wide, bad, quantity.factor)
    return found


def draw(
    ax: Axes, found: Mapping[_panels.Group, _curves.Curve], quantity: _curves.Quantity
) -> None:
    """Draw the curves of a panel, with the range over seeds; a cross ends one that diverged.

    Losses far above the others' run along the upper edge.
    """
    shown = list(found.values())
    if quantity.column == "loss":
        highest = [one.high.max(initial=0) for one in shown if one.whole]
        far = _FAR * np.median(highest) if highest else np.inf
        shown = [one for one in shown if one.high.max(initial=0) <= far]
    bottom, top = _curves.limits(shown, quantity.log)
    ax.set(xlabel="epoch", ylabel=quantity.title, ylim=(bottom, top))
    if quantity.log:
        _curves.log_scale(ax, top / bottom)
    ax.xaxis.get_major_locator().set_params(integer=True)
    for index, one in enumerate(found.values()):
        style = _style.category(index)
        mean, low, high = (np.clip(part, bottom, top) for part in (one.mean, one.low, one.high))
        marker = "o" if len(mean) == 1 else None
        ax.plot(one.epochs, mean, marker=marker, markersize=3.5, **style)
        if np.any(high > low):
            ax.fill_between(one.epochs, low, high, color=style["color"], alpha=0.15, linewidth=0)
        for epoch, value in one.ends:
            place = min(max(value, bottom), top)
            cross = {"color": style["color"], "clip_on": False, "zorder": 4}
            ax.plot([epoch], [place], **cross, **_panels.DIVERGED)


def legend(
    fig: Figure,
    tables: Mapping[str, pd.DataFrame],
    accuracies: Mapping[_panels.Group, _curves.Curve],
    split: str,
) -> None:
    """Name the curves, each with where its accuracy on a split ends, its λ where λ varies.

    Of runs that diverged it says why they ended.
    """
    varies = tables["runs"]["weight_decay"].nunique() > 1
    handles = []
    for index, (group, name) in enumerate(names(list(accuracies)).items()):
        label, one = name, accuracies[group]
        if one.whole and len(one.mean):
            label += f": {one.mean[-1]:.1f} %"
        if varies:
            label += f", λ = {weight_decay(tables, group)}"
        runs = at_its_best(tables["runs"], tables, group)
        reasons = runs.loc[~runs["finite"].astype(bool), "stopped"]
        if len(reasons):
            of = f" ({len(reasons)} of {len(runs)} seeds)" if len(runs) > 1 else ""
            label += f"\n× {reasons.iloc[0]}{of}"
        handles.append(Line2D([], [], label=label, **_style.category(index)))
    _panels.legend(fig, handles, title=f"accuracy on {split} at the end")
