"""`WeightDecayPath`: a linear softmax model on features, trained once for each λ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from cobaye.data import suggestion
from cobaye.estimators.project import Project, recipe_of, temporary_folder

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


class LastLayer(ClassifierMixin, BaseEstimator):
    """What both estimators share: the last layer of lowest validation loss predicts."""

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (N, K) float64, for features (N, D)."""
        check_is_fitted(self, "coef_")
        inputs = validate_data(self, X, dtype=np.float64, reset=False)
        return softmax(inputs @ self.coef_.T.astype(np.float64) + self.intercept_, axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class, (N,), for features (N, D)."""
        shares = self.predict_proba(X)
        return self.classes_[shares.argmax(axis=1)]


class WeightDecayPath(LastLayer):
    """Linear softmax models that minimise mean cross-entropy + λ/2 ‖θ‖², one for each λ.

    `predict` and `predict_proba` are those of the λ of lowest validation loss.

    Parameters
    ----------
    weight_decays : sequence of λ, each at least 0. None: eleven, half a decade apart, by the scale
        of the features, as `cobaye init` suggests them.
    optimizer : an entry of a study's `optimizers`, such as ``{"algorithm": {"kind": "exact"}}``
        or ``{"algorithm": {"kind": "sgd"}, "learning_rate": 0.1, "batch_size": 256, "epochs": 9}``.
        None: the optimum itself, or SGD for large data, as `cobaye init` suggests.
    penalize_bias : whether the penalty includes the bias.
    validation_fraction : share of each class's rows kept for validation, where `fit` gets none.
    random_state : seed of the initial weights, of the order of the rows, and of that share.
    device : "cpu" or "cuda". threads : processors, as a study's `threads`.
    verbose : whether the progress of each training is printed.

    Attributes
    ----------
    classes_ : (K,) the labels. n_features_in_ : D.
    weight_decays_ : (L,) λ, rising.
    coefs_, intercepts_ : (L, K, D) and (L, K), float32 or float64; NaN where training diverged.
    class_losses_ : (L, K) mean validation loss of each class, in nats; NaN for a class without
        validation rows.
    val_losses_ : (L,) mean validation loss, in nats. val_accuracies_ : (L,).
    best_ : the λ of lowest validation loss; ties go to the larger. best_index_ : its place.
    coef_, intercept_ : (K, D) and (K,), those of `best_`.
    """

    def __init__(
        self,
        weight_decays: Sequence[float] | None = None,
        *,
        optimizer: Mapping[str, Any] | None = None,
        penalize_bias: bool = True,
        validation_fraction: float = 0.2,
        random_state: int = 0,
        device: str = "cpu",
        threads: int = 1,
        verbose: bool = False,
    ):
        self.weight_decays = weight_decays
        self.optimizer = optimizer
        self.penalize_bias = penalize_bias
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.threads = threads
        self.verbose = verbose

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> WeightDecayPath:
        """Train a model for each λ.

        X : (N, D) features. y : (N,) labels. X_val, y_val : those that choose among the λ. Without
        them, a share of each class's rows is kept for that. Features become float32.

        Raises ValueError for features or labels that cannot be used.
        """
        arrays = self._arrays(X, y, X_val, y_val)
        with temporary_folder(self.threads, verbose=self.verbose) as root:
            self._fit_in(root, arrays, ["val"])
        return self

    def _arrays(self, X: Any, y: Any, X_val: Any, y_val: Any) -> Arrays:
        """Return train and val, labels from 0 on; sets `classes_`."""
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()[0]!r}: at least two are needed"
            )
        if (X_val is None) != (y_val is None):
            raise ValueError("give both X_val and y_val, or neither")
        if X_val is None:
            train, val, train_labels, val_labels = train_test_split(
                X,
                labels,
                test_size=self.validation_fraction,
                stratify=labels,
                random_state=self.random_state,
            )
            return {"train": (train, train_labels), "val": (val, val_labels)}
        X_val, y_val = validate_data(self, X_val, y_val, dtype=np.float32, reset=False)
        if len(unknown := np.setdiff1d(y_val, self.classes_)):
            raise ValueError(f"y_val has {unknown.tolist()[0]!r}, which y has not")
        return {"train": (X, labels), "val": (X_val, np.searchsorted(self.classes_, y_val))}

    def _fit_in(self, root: Path, arrays: Arrays, evaluated: list[str]) -> Project:
        """Fit in a folder; return the project there, its runs evaluated on these splits."""
        decays, optimizer = self._suggested(*arrays["train"])
        recipe = recipe_of(optimizer, penalize_bias=self.penalize_bias, seed=self.random_state)
        project = Project(root, arrays, [str(c) for c in self.classes_], recipe, self.device)
        warm = recipe.optimizer.algorithm.options.get("warm_start")
        trained, larger = {}, None
        for decay in sorted(decays, reverse=True):
            trained[decay] = project.train(
                label(decay),
                weight_decay=decay,
                warm_start=label(larger) if warm and larger else None,
            )
            project.evaluate(label(decay), evaluated)
            larger = decay
        self.weight_decays_ = np.array(sorted(decays))
        ordered = [trained[decay] for decay in self.weight_decays_]
        self.coefs_ = np.stack([each.weight for each in ordered])
        self.intercepts_ = np.stack([each.bias for each in ordered])
        self._choose(project)
        return project

    def _suggested(
        self, X: np.ndarray, labels: np.ndarray
    ) -> tuple[list[float], Mapping[str, Any]]:
        """Return λ and recipe: those given, else those that suit the training rows."""
        decays, optimizer = self.weight_decays, self.optimizer
        if decays is None or optimizer is None:
            rows = np.random.default_rng(0).permutation(len(labels))[: suggestion.ROWS]
            rows.sort()
            scale = suggestion.scale_of(X[rows], labels[rows], len(self.classes_), len(labels))
            if decays is None and scale.is_zero:
                raise ValueError("every class has the same mean features: give weight_decays")
            decays = suggestion.weight_decays(scale.logits) if decays is None else decays
            optimizer = optimizer or suggestion.optimizer(scale)
        decays = [float(decay) for decay in decays]
        if not decays or len(set(decays)) < len(decays) or not all(0 <= d < np.inf for d in decays):
            raise ValueError(f"weight_decays: {decays}: one or more different λ, each at least 0")
        return decays, optimizer

    def _choose(self, project: Project) -> None:
        """Set the validation losses and the best λ."""
        tables = project.tables()
        if tables["best-lambda"].empty:
            raise ValueError("every training diverged: try a smaller learning_rate")
        labels = [label(decay) for decay in self.weight_decays_]

        def of_val(table: str, column: str) -> np.ndarray:
            rows = tables[table][tables[table]["split"] == "val"]
            if table == "metrics":
                rows = rows.drop_duplicates("weight_decay", keep="last")
            values = rows.set_index("weight_decay").loc[labels, column].to_numpy(np.float64)
            return values.reshape(len(labels), -1)

        self.val_losses_ = of_val("metrics", "loss")[:, 0]
        self.val_accuracies_ = of_val("metrics", "accuracy")[:, 0]
        self.class_losses_ = of_val("classes", "loss")
        best = tables["best-lambda"]["weight_decay"].iloc[0]
        self.best_index_ = labels.index(best)
        self.best_ = float(self.weight_decays_[self.best_index_])
        self.coef_ = self.coefs_[self.best_index_]
        self.intercept_ = self.intercepts_[self.best_index_]


def label(weight_decay: float) -> str:
    """Return a λ as it stands in a run's path."""
    return repr(float(weight_decay))
