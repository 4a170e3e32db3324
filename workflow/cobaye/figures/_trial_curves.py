"""The losses of one trial of a grid against epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _grid_words, _panels, _style

TRAIN = {"color": _style.GREY, "linestyle": (0, (4, 1.5))}
VAL = {"color": _style.INK}
LOWEST = {"marker": "o", "markersize": 4.5, "color": _style.ACCENT, "linestyle": "none"}


def panel(
    ax: Axes,
    row: pd.Series,
    history: pd.DataFrame,
    metrics: pd.DataFrame,
    varied: Sequence[str],
) -> bool:
    """Draw a trial's losses; return whether it diverged."""
    train, scores = (_of(frame, row) for frame in (history[history["epoch"] > 0], metrics))
    on_val = scores[scores["split"] == "val"]
    finite = []
    for frame, style in ((train, TRAIN), (on_val, VAL)):
        loss = frame["loss"].to_numpy(float)
        loss = np.where(np.abs(loss) < 1e30, loss, np.nan)
        ax.plot(frame["epoch"], loss, **style)
        finite.append(loss[np.isfinite(loss)])
    _limit(ax, [losses for losses in finite if len(losses)])
    lowest = on_val[on_val["epoch"] == row["lowest_val_loss_epoch"]]
    ax.plot(lowest["epoch"], lowest["loss"], zorder=4, **LOWEST)
    diverged = not bool(row["finite"])
    if diverged:
        top = {"transform": ax.get_xaxis_transform(), "clip_on": False}
        ax.plot([row["epoch"]], [0.96], color=_style.ACCENT, **top, **_panels.DIVERGED)
    words = _grid_words.described(row, list(varied)).split(", ")
    half = (len(words) + 1) // 2
    lines = [", ".join(words[:half]), ", ".join(words[half:])]
    accuracy = f"{100 * row['val_accuracy']:.2f} % on val"
    ax.set_title("\n".join([*filter(None, lines), accuracy]), loc="left", fontsize=7)
    ax.set_xlabel("epoch")
    ax.set_xlim(left=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if not any(len(losses) for losses in finite):
        ax.set_yticks([])
    return diverged


def _limit(ax: Axes, losses: Sequence[np.ndarray]) -> None:
    """Limit the y axis without the peaks of single epochs."""
    if losses:
        tops = [max(loss[0], loss[-1], np.quantile(loss, 0.95)) for loss in losses]
        low, high = min(loss.min() for loss in losses), max(tops)
        pad = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
        ax.set_ylim(low - pad, high + pad)


def _of(frame: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """Return the rows of a run within the trial's budget of epochs."""
    within = frame["epoch"] <= row["epochs"]
    for key in _grid_words.KEYS:
        within &= frame[key] == row[key]
    return frame[within]


def legend(fig: Figure, crosses: bool) -> None:
    """Say what the lines are, below all panels."""
    handles = [
        Line2D([], [], label="train, while it learns", **TRAIN),
        Line2D([], [], label="val", **VAL),
        Line2D([], [], label="lowest loss on val", **LOWEST),
    ]
    if crosses:
        handles.append(_panels.diverged_handle())
    _panels.legend(fig, handles, loc="outside lower center", ncols=len(handles))
