"""One hidden layer by its equations alone: no tensors, no modules, every derivative by hand.

    h = tanh(W_h x + b_h)        ŷ = softmax(W_y h + b_y)

With images as rows, X (N, n_x), H (N, n_h), Ŷ (N, n_y) and one-hot targets Y (N, n_y):

    cross-entropy  L = −(1/N) Σᵢ Σₖ Y_ik log Ŷ_ik        ∂L/∂ỹ = E / N,  E = Ŷ − Y
    squared error  L = (1/N) Σᵢ ½ Σₖ E_ik²               ∂L/∂ỹ = Ŷ ⊙ (E − Σₖ E ⊙ Ŷ) / N

ỹ being what softmax is given. The squared error is that of the softmax here, as in the course. A
study calls it `softmax-squared-error`; its `squared-error` is that of the outputs themselves.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from cobaye.training.scratch.functions import log_sum_exp, softmax

Loss = Literal["cross-entropy", "squared-error"]


class Parameters(NamedTuple):
    """W_h (n_h, n_x), b_h (n_h,), W_y (n_y, n_h), b_y (n_y,); a gradient has the same fields."""

    W_h: np.ndarray
    b_h: np.ndarray
    W_y: np.ndarray
    b_y: np.ndarray


class Outputs(NamedTuple):
    """What `forward` computes: h̃, h (N, n_h), and ỹ, ŷ (N, n_y)."""

    h_tilde: np.ndarray
    h: np.ndarray
    y_tilde: np.ndarray
    y_hat: np.ndarray


def init_parameters(n_x: int, n_h: int, n_y: int, generator: np.random.Generator) -> Parameters:
    """Return parameters drawn from a normal distribution of deviation 0.3."""
    shapes = ((n_h, n_x), (n_h,), (n_y, n_h), (n_y,))
    return Parameters(*(generator.normal(0, 0.3, shape) for shape in shapes))


def forward(parameters: Parameters, X: np.ndarray) -> Outputs:
    """Return all layers' values for images X (N, n_x)."""
    h_tilde = X @ parameters.W_h.T + parameters.b_h
    h = np.tanh(h_tilde)
    y_tilde = h @ parameters.W_y.T + parameters.b_y
    return Outputs(h_tilde, h, y_tilde, softmax(y_tilde))


def loss_accuracy(outputs: Outputs, Y: np.ndarray, loss: Loss) -> tuple[float, float]:
    """Return the mean loss, and the share of images whose largest ŷ is their class's."""
    if loss == "cross-entropy":
        # −log ŷ from what softmax was given, so that a ŷ that rounds to 0 has a finite loss.
        each = log_sum_exp(outputs.y_tilde) - (outputs.y_tilde * Y).sum(axis=1)
    else:
        each = ((outputs.y_hat - Y) ** 2).sum(axis=1) / 2
    return float(each.mean()), float((outputs.y_hat.argmax(axis=1) == Y.argmax(axis=1)).mean())


def backward(
    parameters: Parameters, outputs: Outputs, X: np.ndarray, Y: np.ndarray, loss: Loss
) -> Parameters:
    """Return the gradient of the mean loss, by the equations above and the chain rule."""
    delta_y = (outputs.y_hat - Y) / len(X)
    if loss == "squared-error":
        weighted = (delta_y * outputs.y_hat).sum(axis=1, keepdims=True)
        delta_y = outputs.y_hat * (delta_y - weighted)
    delta_h = (delta_y @ parameters.W_y) * (1 - outputs.h**2)
    return Parameters(
        W_h=delta_h.T @ X,
        b_h=delta_h.sum(axis=0),
        W_y=delta_y.T @ outputs.h,
        b_y=delta_y.sum(axis=0),
    )


def sgd(parameters: Parameters, gradient: Parameters, eta: float) -> Parameters:
    """Return θ − η ∂L/∂θ."""
    return Parameters(*(p - eta * g for p, g in zip(parameters, gradient, strict=True)))


def train(
    parameters: Parameters,
    X: np.ndarray,
    Y: np.ndarray,
    *,
    eta: float,
    epochs: int,
    batch_size: int | None,
    generator: np.random.Generator,
    loss: Loss = "cross-entropy",
) -> Parameters:
    """Return trained parameters. batch_size: None for all images at once, 1 for one at a time."""
    size = batch_size or len(X)
    for _ in range(epochs):
        order = generator.permutation(len(X))
        for start in range(0, len(X), size):
            batch = order[start : start + size]
            outputs = forward(parameters, X[batch])
            gradient = backward(parameters, outputs, X[batch], Y[batch], loss)
            parameters = sgd(parameters, gradient, eta)
    return parameters
