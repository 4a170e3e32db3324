"""The classes that λ helps most and harms most: their shrunk curves, and typical images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _lambda_axis, _panels, _style

NAMES = {"helped-harmed": {}}
TABLES = ("helped-harmed", "shrunk-curves", "typical-images")

_CURVE: dict[str, Any] = {"color": "#0b62a4", "marker": "o", "markersize": 2.5, "linewidth": 1.2}
_SEEN: dict[str, Any] = {"color": _style.GREY, "linestyle": (0, (2, 1.4)), "linewidth": 0.9}
_PICTURE = (0.2, 0.26)  # width and height of an image, in those of a panel


@dataclass(frozen=True)
class Options:
    """How many classes."""

    #: Classes at each end; `shown` of them (an option of the analysis `classes`) have images.
    classes: int = 4

    def __post_init__(self):
        if not 1 <= self.classes <= 8:
            raise ValueError(f"classes: {self.classes} is not in 1 to 8")


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw two rows of panels per configuration: the most helped, the most harmed."""
    ranked = tables["helped-harmed"]
    configurations = _panels.configurations(ranked)
    columns = options.classes
    fig, axes = _panels.grid(2 * len(configurations), columns, 1.95, legend=0.45)
    for number, configuration in enumerate(configurations):
        classes = _panels.of(ranked, configuration).sort_values("rank", kind="stable")
        half = min(columns, max(1, len(classes) // 2))
        ends = classes.head(half), classes.tail(half).iloc[::-1]
        heads = (f"{configuration.model} · {configuration.optimizer}\n", "")
        for row, shown, head in zip(axes[2 * number : 2 * number + 2], ends, heads, strict=True):
            _row(row, shown, tables, configuration, head if len(configurations) > 1 else "")
        for ax, end in zip(axes[2 * number : 2 * number + 2, 0], _ends(*ends), strict=True):
            ax.set_ylabel(f"{end}\nchange of test loss (nats)")
    if configurations:
        handles = [
            Line2D([], [], label="as measured", **_SEEN),
            Line2D([], [], label="shrunk, with its 95 % band", **_CURVE),
            _panels.best_handle(),
        ]
        against = ", ".join(ranked["against"].astype(str).unique())
        said = f"titles: change from λ = {against} to the best, and P that it has this sign"
        _panels.legend(fig, handles, title=said, loc="outside lower center", ncols=3)
    return fig


def _ends(helped: pd.DataFrame, harmed: pd.DataFrame) -> tuple[str, str]:
    """Return the names of the two rows, which say whether their classes are helped or harmed."""
    first = "helped most" if (helped["change"] < 0).all() else "harmed least"
    last = "harmed most" if (harmed["change"] > 0).all() else "helped least"
    return first, last


def _row(
    row: np.ndarray,
    classes: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    configuration: _panels.Configuration,
    head: str,
) -> None:
    """Draw a panel per class; head: the first line over the first panel."""
    curves = _panels.of(tables["shrunk-curves"], configuration)
    curves = curves[curves["split"] == "test"]
    images = _panels.of(tables["typical-images"], configuration)
    limits = _limits(curves[curves["class"].isin(classes["class"])])
    for ax in row[len(classes) :]:
        ax.set_axis_off()
    for ax, (_, one) in zip(row, classes.iterrows(), strict=False):
        curve = curves[curves["class"] == one["class"]]
        axis = _lambda_axis.LambdaAxis(tuple(curve["weight_decay"]))
        _curve(ax, axis, curve)
        ax.set_ylim(limits)
        if ax is not row[0]:
            ax.tick_params(labelleft=False)
        _panels.mark_best(ax, axis.place(one["best"]))
        axis.dress(ax)
        name = _style.class_name(one["name"], one["class"], limit=18)
        change = f"{one['change']:+.2g}, {_probability(one)}"
        own_images = images[images["class"] == one["class"]].sort_values("place")
        # Above the pictures, if there are any.
        above = 1.04 + (_PICTURE[1] + 0.04) * bool(len(own_images))
        text = f"{head if ax is row[0] else ''}“{name}”\n{change}".replace("-", "−")
        ax.set_title(text, loc="left", fontsize=7, y=above, pad=2)
        _pictures(ax, own_images)


def _limits(curves: pd.DataFrame) -> tuple[float, float]:
    """Return the limits of a row's y axes, one scale for all its classes."""
    values = curves[["low", "high", "seen"]].to_numpy(float)
    low, high = np.nanmin(values, initial=0), np.nanmax(values, initial=0)
    pad = 0.06 * (high - low) or 0.05
    return low - pad, high + pad


def _probability(one: pd.Series) -> str:
    """Return the probability, in words, that the change has the sign shown."""
    value = one["helped"] if one["change"] < 0 else one["harmed"]
    return "P > 0.999" if value > 0.999 else f"P = {value:.3f}"


def _curve(ax: Axes, axis: _lambda_axis.LambdaAxis, curve: pd.DataFrame) -> None:
    places = axis.positions()
    ax.fill_between(
        places, curve["low"], curve["high"], color=_CURVE["color"], alpha=0.18, linewidth=0
    )
    ax.plot(places, curve["seen"], **_SEEN)
    ax.plot(places, curve["shrunk"], **_CURVE)
    ax.axhline(0, color=_style.GREY, linewidth=0.6)


def _pictures(ax: Axes, images: pd.DataFrame) -> None:
    """Put a row of images above a panel; classes without any leave no room.

    Grey images are shown up to their brightest pixel: those of digits end at 16, not at 255.
    """
    top = max((max(pixels) for pixels in images["pixels"]), default=255)
    for place, (_, one) in enumerate(images.iterrows()):
        shape = int(one["height"]), int(one["width"]), int(one["channels"])
        pixels = np.frombuffer(one["pixels"], dtype=np.uint8).reshape(shape)
        inset = ax.inset_axes((place * (_PICTURE[0] + 0.04), 1.04, *_PICTURE))
        grey = shape[2] == 1
        inset.imshow(
            pixels[:, :, 0] if grey else pixels[:, :, :3],
            cmap="gray" if grey else None,
            vmin=0,
            vmax=top if grey else 255,
            interpolation="nearest",
        )
        inset.set_axis_off()
