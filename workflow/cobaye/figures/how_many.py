"""The gain on test against the number of λ, by way of grouping classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cobaye.figures import _panels, _style

NAMES = {"how-many": {}}
TABLES = ("how-many",)
# Classifiers that were trained with some of these λ.
OPTIONAL_TABLES = ("rivals",)

# Grouping → its name, its look and its shift sideways, so that intervals do not cover each other.
_LOOKS: dict[str, tuple[str, dict[str, Any], float]] = {
    "curves": (
        "by validation curves",
        {"color": _style.INK, "marker": "o", "linestyle": _style.DASHES[0]},
        -0.06,
    ),
    "difficulty": (
        "by training loss",
        {"color": _style.COLOURS[1], "marker": "s", "linestyle": _style.DASHES[1]},
        0.06,
    ),
    "confusion": (
        "by confusions",
        {"color": _style.COLOURS[2], "marker": "^", "linestyle": _style.DASHES[3]},
        0.0,
    ),
    "superclasses": ("superclasses", {"color": _style.COLOURS[3], "marker": "*"}, 0.12),
    "separation": ("predicted: separation", {"color": _style.COLOURS[3], "marker": "D"}, -0.2),
    "margin": ("predicted: margin", {"color": _style.COLOURS[4], "marker": "P"}, 0.2),
}
_RANDOM: dict[str, Any] = {"color": _style.GREY, "linestyle": _style.DASHES[2]}
_NOISE: dict[str, Any] = {"facecolor": "none", "edgecolor": "#b9b9b9", "hatch": "/////"}
_NOISE["linewidth"] = 0
_SIZE = 4
_OPEN: dict[str, Any] = {"markerfacecolor": "white", "linestyle": "none", "zorder": 5}
# The rivals that are trained with the λ of a grouping.
_TRAINED = {
    "clustered": "curves",
    "shrunk": "curves",
    "groups": "difficulty",
    "predicted": "separation",
}
_PREDICTED = ("separation", "margin")
# Beyond the last number of groups, in powers of two.
_PREDICTED_AT = 1.2


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a panel per configuration: a line per grouping; predicted λ right of the last number."""
    table = tables["how-many"]
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), height=3.0, legend=0.5)
    trained = False
    for ax, configuration in zip(axes[:, 0], configurations, strict=False):
        rows = _panels.of(table, configuration)
        _groupings(ax, rows)
        if "rivals" in tables:
            trained |= _mark_trained(ax, _panels.of(tables["rivals"], configuration), rows)
        _dress(ax, rows)
        best = rows["best"].iloc[0]
        several = len(configurations) > 1
        _panels.title(ax, f"best λ for all classes: {best}", configuration, several)
    if configurations:
        handles = _handles(table["grouping"].unique(), trained)
        _panels.legend(fig, handles, loc="outside lower center", ncols=3, handlelength=2.6)
    return fig


def _groupings(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw the noise level, groups at random, and every grouping with its intervals."""
    of_groups = rows[~rows["grouping"].isin(_PREDICTED)]
    noise = of_groups.groupby("groups").agg({"noise_low": "min", "noise_high": "max"})
    ax.fill_between(np.log2(noise.index), noise["noise_low"], noise["noise_high"], **_NOISE)
    random = rows[rows["grouping"] == "random"]
    places = np.log2(random["groups"])
    ends = random["images_low"], random["images_high"]
    ax.fill_between(places, *ends, color=_style.GREY, alpha=0.3, linewidth=0)
    ax.plot(places, random["gain"], **_RANDOM)
    for grouping, (_, look, shift) in _LOOKS.items():
        own = rows[rows["grouping"] == grouping]
        # With one group, and with one per class, all groupings are one: drawn once.
        shared = own["groups"].isin([1, noise.index.max()]) & (grouping not in _PREDICTED)
        own = own[~shared | (grouping == "curves")]
        places = _place(own["groups"], grouping, rows) + shift
        for kind, width, alpha in (("classes", 0.8, 1.0), ("images", 2.4, 0.5)):
            ends = own[f"{kind}_low"], own[f"{kind}_high"]
            ax.vlines(places, *ends, color=look["color"], linewidth=width, alpha=alpha)
        ax.plot(places, own["gain"], markersize=_SIZE, **look)


def _place(groups: pd.Series, grouping: str, rows: pd.DataFrame) -> np.ndarray:
    """Return where numbers of groups stand; what is predicted stands right of all."""
    places = np.log2(groups.to_numpy(float))
    if grouping in _PREDICTED:
        return np.full(len(places), np.log2(rows["groups"].max()) + _PREDICTED_AT)
    return places


def _mark_trained(ax: Axes, rivals: pd.DataFrame, rows: pd.DataFrame) -> bool:
    """Mark classifiers that were trained with a λ per group; return whether there is one."""
    own = rivals[rivals["rival"].isin(list(_TRAINED)) & rivals["loss_difference"].notna()]
    for _, rival in own.iterrows():
        grouping = _TRAINED[rival["rival"]]
        _, look, shift = _LOOKS[grouping]
        place = _place(pd.Series([rival["parameters"]]), grouping, rows) + shift + 0.22
        ends = -rival["loss_classes_high"], -rival["loss_classes_low"]
        ax.vlines(place, *ends, color=look["color"], linewidth=0.8)
        mark = {"color": look["color"], "marker": look["marker"]}
        ax.plot(place, -rival["loss_difference"], markersize=_SIZE, **mark, **_OPEN)
    return len(own) > 0


def _dress(ax: Axes, rows: pd.DataFrame) -> None:
    numbers = sorted(rows.loc[rows["grouping"] == "curves", "groups"])
    places, names = [*np.log2(numbers)], [f"{number}" for number in numbers]
    if set(_PREDICTED) & set(rows["grouping"]):
        places.append(places[-1] + _PREDICTED_AT)
        names.append("predicted")
    ax.axhline(0, zorder=0.5, **_panels.BEST_LINE)
    ax.set_xticks(places, names)
    ax.set_xlim(-0.35, places[-1] + 0.55)
    ax.set_xlabel("number of groups of classes, each with its own λ")
    ax.set_ylabel("gain in test loss (nats)")


def _handles(groupings: Sequence[str], trained: bool) -> list[Line2D | Patch]:
    """Return the legend entries of what is drawn."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], label=name, markersize=_SIZE, **({"linestyle": "none"} | look))
        for grouping, (name, look, _) in _LOOKS.items()
        if grouping in groupings
    ]
    handles.append(Line2D([], [], label="groups at random", **_RANDOM))
    handles.append(Patch(label="noise alone, 95 %", **_NOISE))
    if trained:
        look = {"color": _style.INK, "marker": "o", "markersize": _SIZE}
        handles.append(Line2D([], [], label="open: one classifier, trained", **look, **_OPEN))
    return handles
