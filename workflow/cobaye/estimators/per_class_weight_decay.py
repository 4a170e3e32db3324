"""`PerClassWeightDecay`: a linear softmax model with a λ for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone

from cobaye import kinds
from cobaye.class_decay.descent import Images
from cobaye.class_decay.ways import Given
from cobaye.estimators.project import Project, temporary_folder
from cobaye.estimators.weight_decay_path import Arrays, LastLayer, WeightDecayPath, label
from cobaye.statistics import shrinkage
from cobaye.statistics.sample import by_class


class PerClassWeightDecay(LastLayer):
    """A linear softmax model that penalises each class's weights by a λ of its own.

    A `WeightDecayPath` is fitted first. A way chooses each class's λ from it, and one more model is
    trained with all of them at once.

    Parameters
    ----------
    way : "shrunk" (lowest point of the class's validation curve, shrunk towards the other classes),
        "val" (lowest validation loss), "groups", "hypergradient" or "refit": the ways of a study's
        `per_class`. options : those of the way, such as ``{"groups": 3}``.
    path : the `WeightDecayPath` to choose from, with its parameters; None: its defaults.
    never_saw : whether the network behind the features was not trained on these rows; the way
        "hypergradient" then draws its folds from the training rows too.

    Attributes
    ----------
    path_ : the fitted path. classes_ : (K,) the labels. n_features_in_ : D.
    weight_decays_ : (K,) λ of each class. info_ : what the way says of its choice.
    coef_, intercept_ : (K, D) and (K,); NaN if training diverged.
    """

    def __init__(
        self,
        way: str = "shrunk",
        *,
        options: Mapping[str, Any] | None = None,
        path: WeightDecayPath | None = None,
        never_saw: bool = False,
    ):
        self.way = way
        self.options = options
        self.path = path
        self.never_saw = never_saw

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> PerClassWeightDecay:
        """Choose a λ for each class and train with them; arguments as `WeightDecayPath.fit`."""
        path = WeightDecayPath() if self.path is None else clone(self.path)
        arrays = path._arrays(X, y, X_val, y_val)
        with temporary_folder(path.threads, verbose=path.verbose) as root:
            kind = kinds.load("ways", self.way)
            options = kinds.options("ways", self.way)(**(self.options or {}))
            project = path._fit_in(root, arrays, ["train", "val"])
            choice = kind.choose(self._given(path, project, arrays), options)
            trained = project.train(
                f"per-class-{self.way}",
                weight_decay=tuple(choice.weight_decays.tolist()),
                train_on=getattr(kind, "TRAIN_SPLITS", ("train",)),
            )
        self.path_, self.classes_, self.n_features_in_ = path, path.classes_, path.n_features_in_
        self.weight_decays_, self.info_ = choice.weight_decays, choice.info
        self.coef_, self.intercept_ = trained
        return self

    def _given(self, path: WeightDecayPath, project: Project, arrays: Arrays) -> Given:
        tables = project.tables()

        def images(split: str) -> Images:
            inputs, labels = arrays[split]
            return Images(torch.from_numpy(inputs), torch.from_numpy(labels))

        return Given(
            tables={**tables, "shrunk-curves": _shrunk_curves(path, project)},
            best=label(path.best_),
            classes=len(path.classes_),
            training=project.recipe,
            images=images,
            unseen=self.never_saw,
            device=path.device,
        )


def _shrunk_curves(path: WeightDecayPath, project: Project) -> pd.DataFrame:
    """Return the columns of the table `shrunk-curves` that choose λ, on val, finite λ only."""
    finite = np.flatnonzero(np.isfinite(path.coefs_).all(axis=(1, 2)))
    labels = [label(decay) for decay in path.weight_decays_[finite]]
    losses = np.stack([project.image_losses(each).astype(np.float64) for each in labels])
    classes = len(path.classes_)
    sample = by_class(losses, project.loaded["val"].labels.numpy(), classes)
    reference = labels.index(label(path.best_))
    curves = shrinkage.curves(sample.relative_to(reference), reference)
    return pd.DataFrame(
        {
            "class": np.repeat(np.arange(classes), len(labels)),
            "split": "val",
            "weight_decay": np.tile(labels, classes),
            "shrunk": curves.ravel(),
        }
    )
