"""Other solvers of the objective of `exact_path.py`, as people call them, stopped at one norm."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np
import scipy.optimize
import torch
from sklearn._loss.loss import HalfMultinomialLoss
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._linear_loss import LinearModelLoss

# ‖∇J‖ that ends a solve, and the most evaluations.
NORM, LAST = 1e-6, 20_000
# Inputs with the constant column (N, D + 1) float64, labels, λ, start (K, D + 1) → θ, evaluations.
Solve = Callable[[np.ndarray, np.ndarray, float, np.ndarray], tuple[np.ndarray, int]]


class Reached(Exception):
    """The gradient is small enough."""


def scikit_learn(
    inputs: np.ndarray, labels: np.ndarray, decay: float, start: np.ndarray
) -> tuple[np.ndarray, int]:
    """Minimise by scikit-learn's loss in SciPy's L-BFGS-B."""
    loss = LinearModelLoss(base_loss=HalfMultinomialLoss(n_classes=len(start)), fit_intercept=False)
    targets, seen = labels.astype(np.float64), []

    def function(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = loss.loss_gradient(theta, inputs, targets, l2_reg_strength=decay)
        seen.append(theta)
        if np.linalg.norm(gradient) <= NORM:
            raise Reached
        return value, gradient

    options = {"maxiter": LAST, "maxfun": LAST, "maxls": 50, "gtol": 0.0, "ftol": 0.0}
    # Its θ is (K, D) by columns.
    with contextlib.suppress(Reached):
        scipy.optimize.minimize(
            function, start.ravel(order="F"), jac=True, method="L-BFGS-B", options=options
        )
    return seen[-1].reshape(start.shape, order="F"), len(seen)


def by_torch(
    inputs: np.ndarray, labels: np.ndarray, decay: float, start: np.ndarray
) -> tuple[np.ndarray, int]:
    """Minimise by torch.optim.LBFGS."""
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
    theta, evaluations = torch.tensor(start, requires_grad=True), 0
    optimizer = torch.optim.LBFGS(
        [theta], 1, LAST, LAST, 0.0, 0.0, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(x @ theta.T, y)
        value = value + decay / 2 * theta.square().sum()
        value.backward()
        if theta.grad.norm() <= NORM:
            raise Reached
        return value

    with contextlib.suppress(Reached):
        optimizer.step(closure)
    return theta.detach().numpy(), evaluations


def newton_cholesky(
    inputs: np.ndarray, labels: np.ndarray, decay: float, start: np.ndarray
) -> tuple[np.ndarray, int]:
    """Minimise by scikit-learn's Newton method; every entry of ∇J below its share of the norm."""
    model = LogisticRegression(
        C=1 / (decay * len(labels)),
        solver="newton-cholesky",
        tol=NORM / math.sqrt(start.size),
        max_iter=200,
        fit_intercept=False,
    ).fit(inputs, labels)
    return model.coef_, int(model.n_iter_[0])


OTHERS: dict[str, Solve] = {
    "scikit-learn": scikit_learn,
    "torch": by_torch,
    "newton-cholesky": newton_cholesky,
}
