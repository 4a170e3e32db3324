"""The best accuracy to expect of a random search over part of a grid (S3, section 2.2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _panels, _style

NAMES = {"random-search": {}}
TABLES = ("grid",)


@dataclass(frozen=True)
class Options:
    """None."""


def best_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, 5 % and 95 % quantile of the largest of n values drawn without replacement.

    values: (N,). Returns three (N,), for n = 1 … N. Exact: the chance that the largest of n is
    among the k smallest values is C(k, n) / C(N, n).
    """
    values, total = np.sort(values), len(values)
    chance = np.ones(total)  # over k = 1 … N, for n = 0
    k = np.arange(1, total + 1)
    mean, low, high = (np.empty(total) for _ in range(3))
    for n in range(total):
        chance = chance * np.clip(k - n, 0, None) / (total - n)
        mean[n] = np.diff(chance, prepend=0.0) @ values
        low[n], high[n] = (values[np.searchsorted(chance, q - 1e-12)] for q in (0.05, 0.95))
    return mean, low, high


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the accuracy on val of the best of n trials, and that of the whole grid."""
    table = tables["grid"]
    fig, axes = _panels.grid(int(len(table) > 0), 1, 2.5)
    if table.empty:
        return fig
    ax = axes[0, 0]
    accuracy = 100 * table["val_accuracy"].where(table["finite"].astype(bool), 0.0).to_numpy(float)
    mean, low, high = best_of(accuracy)
    n = np.arange(1, len(accuracy) + 1)
    ax.fill_between(
        n,
        low,
        high,
        color=_style.GREY,
        alpha=0.3,
        linewidth=0,
        label="best found: 5 % to 95 % of searches",
    )
    ax.plot(n, mean, color=_style.INK, label="best found: mean over searches")
    ax.axhline(accuracy.max(), label="whole grid", **_panels.BASELINE_LINE)
    ax.set_xscale("log")
    ax.set_xticks(ticks := [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500) if t <= len(n)], ticks)
    ax.minorticks_off()
    ax.set(xlabel="trials drawn at random", ylabel="accuracy on val (%)")
    _panels.legend(ax, ax.get_legend_handles_labels()[0], loc="lower right", bbox_to_anchor=(1, 0))
    enough = int(np.argmax(mean >= accuracy.max() - 1)) + 1
    drawn = "1 trial" if enough == 1 else f"{enough} trials"
    said = f"on average, {drawn} drawn at random come within 1 point of the best of {len(n)}"
    _panels.title(ax, said)
    return fig
