"""Pairs of an augmentation's strength and λ: the mean, the classes' own, what own pairs gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from cobaye.figures import _forest, _own_gains, _panels, _style
from cobaye.recipes import axes

NAMES = {"plane": {}}
_OVER = "-over-plane"
TABLES = (
    "shrunk-curves-over-plane",
    "class-gains-over-plane",
    "class-tests-over-plane",
    "null-best-lambda-over-plane",
    "compromise-over-plane",
)
# The gain of an own strength at one λ.
OPTIONAL_TABLES = ("compromise-over-augmentation",)
_BEST = {"fill": False, "edgecolor": _style.ACCENT, "linewidth": 1.5}


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw three panels per configuration: two planes side by side, gains below."""
    configurations = _panels.configurations(tables["class-tests-over-plane"])
    if not configurations:
        return _panels.grid(0)[0]
    parts = [
        {
            name.removesuffix(_OVER): _panels.of(table, configuration)
            for name, table in tables.items()
        }
        for configuration in configurations
    ]
    gains = [_rows(of) for of in parts]
    heights = [height for rows in gains for height in (2.3, 0.55 + 0.15 * len(rows))]
    fig = _style.figure(sum(heights) + 0.3)
    drawn = fig.subfigures(len(heights), 1, height_ratios=heights)
    pairs = zip(drawn[::2], drawn[1::2], configurations, parts, gains, strict=True)
    for above, below, configuration, of, rows in pairs:
        left, right = above.subplots(1, 2)
        test = of["class-tests"].iloc[0]
        _means(left, of["shrunk-curves"], test["best"])
        _own(right, of["null-best-lambda"], test["best"])
        _gains(below.subplots(), rows)
        _panels.title(left, left.get_title("left"), configuration, len(parts) > 1)
    best = Patch(label="best pair for all classes (on val)", **_BEST)
    _panels.legend(fig, [best], loc="outside lower center")
    return fig


def _means(ax: Axes, curves: pd.DataFrame, best: str) -> None:
    """Draw the mean test loss of each pair beside the best one's."""
    means = curves[curves["split"] == "test"].groupby(axes.PLANE)["seen"].mean()
    said = [f"{mean:+.3f}".replace("-", "−") if abs(mean) >= 5e-4 else "0" for mean in means]
    _cells(ax, means, said, best)
    ax.set_title("a   mean test loss beside the best pair (nats)", loc="left")


def _own(ax: Axes, null: pd.DataFrame, best: str) -> None:
    """Draw how many classes have their lowest test loss at each pair, and by noise alone."""
    rows = null[null["split"] == "test"].set_index(axes.PLANE)
    low = rows[["low", "shape_low"]].min(axis=1)
    high = rows[["high", "shape_high"]].max(axis=1)
    said = [
        f"{count}\n({least:.0f}–{most:.0f})"
        for count, least, most in zip(rows["observed"], low, high, strict=True)
    ]
    _cells(ax, rows["observed"], said, best)
    ax.set_title(
        f"b   classes (of {int(rows['classes'].iloc[0])}) best there (by noise)", loc="left"
    )


def _cells(ax: Axes, values: pd.Series, said: Sequence[str], best: str) -> None:
    """Draw a cell per pair, grey by value, with its text; the best pair has a frame."""
    places = [axes.parts(label) for label in values.index]
    strengths, decays = (sorted({place[part] for place in places}, key=float) for part in range(2))
    grid = np.full((len(decays), len(strengths)), np.nan)
    corners = [(strengths.index(one), decays.index(other)) for one, other in places]
    for (x, y), value in zip(corners, values, strict=True):
        grid[y, x] = value
    shade = ax.imshow(grid, cmap="Greys", aspect="auto", origin="lower")
    shade.set_clim(np.nanmin(grid), np.nanmin(grid) + 2 * (np.ptp(values) or 1.0))
    for (x, y), text in zip(corners, said, strict=True):
        ax.text(x, y, text, ha="center", va="center", fontsize=6.5)
    x, y = corners[list(values.index).index(best)]
    ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, clip_on=False, zorder=3, **_BEST))
    ax.set_xticks(range(len(strengths)), strengths)
    ax.set_yticks(range(len(decays)), decays)
    ax.tick_params(length=0)
    ax.set_xlabel(axes.AXES["augmentation"].title)
    ax.set_ylabel("λ", rotation=0)
    ax.spines[:].set_visible(False)


def _rows(of: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the gains of an own pair, and of an own strength, per class, the best first."""
    parts = [_own_gains.rows(of["compromise"]).assign(of="pair")]
    if len(known := of.get("compromise-over-augmentation", ())):
        parts.append(_own_gains.rows(known).assign(of="strength"))
    return pd.concat(parts).sort_values("loss_difference", kind="stable")


def _gains(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw the change of test loss of each row."""
    _forest.draw(ax, rows, "loss", 1, -1)
    names = [row["rival"].replace("λ", row["of"], 1) for _, row in rows.iterrows()]
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel("change of test loss (nats)")
    ax.set_title("c   beside one pair", loc="left")
