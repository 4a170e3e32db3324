"""What an own λ per class gains, read off the curves: as classifiers beside one λ."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cobaye.tables import rival_names

# The ways of the analysis `classes`, which trains nothing: their names in `compromise`.
_WAYS = {"honest": "val", "shrunk": "shrunk"}


def rows(compromise: pd.DataFrame) -> pd.DataFrame:
    """Return the gains of `compromise`, of one configuration, as rows of `rivals`."""
    loss = compromise[(compromise["measure"] == "loss") & compromise["choice"].isin(_WAYS)]
    images = loss[loss["resampled"] == "val and test"].set_index("choice")
    classes = loss[loss["resampled"] == "classes"].set_index("choice").loc[images.index]
    found = [_read_off(images, classes, "read off")]
    others = loss[loss["resampled"] == "other seeds"].set_index("choice")
    if len(others):
        found.append(_read_off(others, others, "in another training"))
    return pd.concat(found)


def _read_off(images: pd.DataFrame, classes: pd.DataFrame, how: str) -> pd.DataFrame:
    """Return gains by choice, with their intervals over images and over classes."""
    known = (images["low"] > 0) | (images["high"] < 0)
    ways = [_WAYS[choice] for choice in images.index]
    return pd.DataFrame(
        {
            "way": ways,
            "rival": [f"{rival_names.NAMES[way]}, {how}" for way in ways],
            "loss_difference": -images["gain"],
            "loss_low": -images["high"],
            "loss_high": -images["low"],
            "loss_classes_low": -classes["high"],
            "loss_classes_high": -classes["low"],
            "verdict": np.where(known, "known", "not known to differ"),
        }
    )
