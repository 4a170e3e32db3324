"""Pictures of the training images, raw and augmented: a row per class (S2, fig. 6.3; S3, 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _panels, _style

NAMES = {"samples": {}}
TABLES = ("samples",)

_GAP = 1  # pixels between images, at least
_LONGEST = 24  # letters of a name
_BESIDE = 3  # blocks side by side, at most
_LARGEST = 0.5  # width of a picture in inches, at most


@dataclass(frozen=True)
class Options:
    """Whether augmented images stand beside the raw ones."""

    #: Whether augmented images are shown, where the study augments.
    augmented: bool = True


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a block of classes × images for the raw ones, and one beside it per augmentation."""
    table = tables["samples"]
    versions = [one for one in table["version"].unique() if options.augmented or not one]
    if not versions:
        return _panels.grid(0)[0]
    blocks = {version: block(table[table["version"] == version]) for version in versions}
    names = table.drop_duplicates("class").sort_values("class")
    columns = 1 + int(table["place"].max())
    beside = min(len(versions), _BESIDE)
    room = (matplotlib.rcParams["figure.figsize"][0] - 0.6 * beside) / (columns * beside)
    height = min(room, _LARGEST) * len(names) + 0.5
    fig, axes = _panels.grid(-(-len(versions) // beside), beside, height)
    for ax in axes.flat[len(versions) :]:
        ax.set_axis_off()
    top = max(int(pixels.max()) for pixels in blocks.values())
    for ax, (version, pixels) in zip(axes.flat, blocks.items(), strict=False):
        _show(ax, pixels, top)
        step = pixels.shape[0] / len(names)
        texts = [
            _style.class_name(one["name"], one["class"], limit=_LONGEST)
            for _, one in names.iterrows()
        ]
        ax.set_yticks(np.arange(len(names)) * step + step / 2 - 0.5, texts, fontsize=6)
        ax.set(xlabel="images", ylabel="class")
        named = _style.class_name(version, 0, limit=_LONGEST)
        ax.set_title(f"augmented: {named}" if version else "as they are", loc="left", fontsize=7)
    return fig


def block(table: pd.DataFrame) -> np.ndarray:
    """Return the images of one version as one, (height, width) or (height, width, 3) uint8.

    Classes are rows, in the order of their labels. What lies between images is the brightest value.
    """
    classes = {label: row for row, label in enumerate(sorted(table["class"].unique()))}
    height, width = table["height"].max() + _GAP, table["width"].max() + _GAP
    channels = table["channels"].max()
    shape = len(classes) * height, (1 + table["place"].max()) * width, channels
    top = max(max(pixels) for pixels in table["pixels"])
    pixels = np.full(shape, top, np.uint8)
    for label, one in zip(table["class"], table.itertuples(), strict=True):
        image = np.frombuffer(one.pixels, np.uint8).reshape(one.height, one.width, one.channels)
        y, x = classes[label] * height, one.place * width
        pixels[y : y + one.height, x : x + one.width] = image
    return pixels[:, :, 0] if channels == 1 else pixels[:, :, :3]


def _show(ax: Axes, pixels: np.ndarray, top: int) -> None:
    """Show a block. Grey images are shown up to their brightest pixel: digits end at 16."""
    grey = pixels.ndim == 2
    look = {"cmap": "gray", "vmin": 0, "vmax": top} if grey else {}
    ax.imshow(pixels, interpolation="nearest", **look)
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.tick_params(length=0, pad=2)
