"""The picture of the workflow: its rules, what each makes, and which reads it."""

from __future__ import annotations

import io
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch


class Box(NamedTuple):
    """A rule, or several of one kind, with its place: column and row."""

    column: float
    row: float
    says: str


BOXES = {
    "prepare_dataset": Box(0, 1, "images, split"),
    "prepare_backbone": Box(0, 2, "weights: downloaded,\nor trained here"),
    "cache_features": Box(1, 1.5, "penultimate features\nin shards"),
    "gather_features": Box(2, 1.5, "one array per split"),
    "train": Box(3, 1, "one job per model,\noptimizer, λ, seed;\na checkpoint per epoch"),
    "evaluate": Box(4, 1, "every checkpoint:\nloss of each class"),
    "tabulate": Box(5, 1, "tables of all runs"),
    "choose_weight_decay": Box(4, 0, "a λ for each class"),
    "analyse_*": Box(5, 2, "intervals, tests,\nshrunk curves, rivals"),
    "plot_*": Box(6, 0, "figures"),
    "tell_story": Box(6, 1, "story.md"),
    "write_explorer": Box(6, 2, "explorer.html"),
}
ARROWS = (
    ("prepare_dataset", "cache_features"),
    ("prepare_backbone", "cache_features"),
    ("cache_features", "gather_features"),
    ("gather_features", "train"),
    ("prepare_dataset", "train"),
    ("train", "evaluate"),
    ("evaluate", "tabulate"),
    ("tabulate", "choose_weight_decay"),
    ("choose_weight_decay", "train"),
    ("evaluate", "analyse_*"),
    ("tabulate", "plot_*"),
    ("analyse_*", "plot_*"),
    ("analyse_*", "tell_story"),
    ("analyse_*", "write_explorer"),
)
# Inches: of a column and a row, and of a box.
COLUMN, ROW, WIDTH, HEIGHT = 1.64, 1.0, 1.42, 0.76


def png() -> bytes:
    """Return the picture as PNG."""
    fig = Figure(figsize=(7 * COLUMN, 3 * ROW))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.5 * COLUMN, 6.5 * COLUMN), ylim=(2.5 * ROW, -0.5 * ROW))
    ax.set_axis_off()
    for start, end in ARROWS:
        _arrow(ax, BOXES[start], BOXES[end])
    for name, box in BOXES.items():
        _box(ax, name, box)
    out = io.BytesIO()
    fig.savefig(out, format="png", dpi=160, metadata={"Software": None})
    return out.getvalue()


def _box(ax: Axes, name: str, box: Box) -> None:
    """Draw a rule: its name, and below it what it makes. What people read is blue."""
    x, y = box.column * COLUMN, box.row * ROW
    made = FancyBboxPatch((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, boxstyle="round,pad=0")
    made.set(facecolor="#dce9f4" if box.column == 6 else "white", edgecolor="#333", zorder=2)
    ax.add_patch(made)
    lines = box.says.count("\n") + 1
    top = y - 0.07 * lines
    ax.text(x, top, name, fontsize=8, fontweight="bold", ha="center", va="center", zorder=3)
    ax.text(x, top + 0.08, box.says, fontsize=7.5, ha="center", va="top", zorder=3)


def _arrow(ax: Axes, start: Box, end: Box) -> None:
    """Draw an arrow from a box to the left side of one right of it, or back to a right side."""
    back = end.column < start.column
    way = WIDTH / 2 if not back else -WIDTH / 2
    head = end.column * COLUMN - way, end.row * ROW
    if back and start.column == BOXES["choose_weight_decay"].column:
        head = (
            end.column * COLUMN,
            end.row * ROW - HEIGHT / 2,
        )  # from above: its right side is taken
    tail = start.column * COLUMN + way, start.row * ROW
    look = {"arrowstyle": "-|>", "mutation_scale": 9, "color": "#555", "shrinkA": 0, "zorder": 1}
    ax.add_patch(FancyArrowPatch(tail, head, **look))
