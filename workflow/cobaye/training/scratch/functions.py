"""What networks do to tensors, each function with its own derivative, one image per row.

Functions of a `Tensor` return one that can be differentiated; `softmax`, which prediction needs and
training does not, takes and returns a plain array.
"""

from __future__ import annotations

import numpy as np

from cobaye.training.scratch.tensor import Tensor


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x Wᵀ + b, (B, K), for x (B, D), W (K, D) and b (K,).

    With g = ∂L/∂output: ∂L/∂x = g W, ∂L/∂W = gᵀ x (for one image the outer product of its g and its
    x), ∂L/∂b = Σ g over the images.
    """

    def pullback(g: np.ndarray) -> tuple[np.ndarray | None, ...]:
        # The images themselves, at the start of every history, are asked for no gradient.
        below = g @ weight.data if x.ancestors else None
        return below, g.T @ x.data, g.sum(axis=0)

    return Tensor(x.data @ weight.data.T + bias.data, (x, weight, bias), pullback)


def relu(x: Tensor) -> Tensor:
    """Return max(0, x); its slope is 1 above 0, and 0 elsewhere."""
    return Tensor(np.maximum(x.data, 0), (x,), lambda g: (g * (x.data > 0),))


def tanh(x: Tensor) -> Tensor:
    """Return tanh x; its slope is 1 − tanh² x."""
    y = np.tanh(x.data)
    return Tensor(y, (x,), lambda g: (g * (1 - y**2),))


def dropout(x: Tensor, rate: float, generator: np.random.Generator) -> Tensor:
    """Return x with each value zero with probability `rate`, the others over 1 − rate (training).

    So the expected value is x, and prediction leaves it out.
    """
    kept = generator.random(x.data.shape) >= rate
    factor = kept.astype(x.data.dtype) / x.data.dtype.type(1 - rate)
    return Tensor(x.data * factor, (x,), lambda g: (g * factor,))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return exp zₖ / Σⱼ exp zⱼ of each row; exact for any finite z, as only z − max z is used."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """Return log Σⱼ exp zⱼ of each row, (B,), as c + log Σⱼ exp(zⱼ − c) with c the largest zⱼ."""
    largest = logits.max(axis=1)
    return largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))


def nll(logits: Tensor, labels: np.ndarray) -> Tensor:
    """Return each image's negative log-likelihood −log softmax(z)_y, (B,), in nats.

    logits: (B, K); labels: (B,) integers. It is log Σⱼ exp zⱼ − z_y, and its derivative by z is
    softmax(z) − onehot(y).
    """
    rows = np.arange(len(labels))
    losses = log_sum_exp(logits.data) - logits.data[rows, labels]

    def pullback(g: np.ndarray) -> tuple[np.ndarray]:
        slope = softmax(logits.data)
        slope[rows, labels] -= 1
        return (slope * g[:, None],)

    return Tensor(losses, (logits,), pullback)


def squared_error(outputs: Tensor, labels: np.ndarray) -> Tensor:
    """Return each image's ½ ‖z − onehot(y)‖², (B,); its derivative by z is z − onehot(y).

    outputs: (B, K); labels: (B,) integers.
    """
    error = outputs.data.copy()
    error[np.arange(len(labels)), labels] -= 1
    losses = (error**2).sum(axis=1) / 2
    return Tensor(losses, (outputs,), lambda g: (error * g[:, None],))


def softmax_squared_error(logits: Tensor, labels: np.ndarray) -> Tensor:
    """Return each image's ½ ‖p − onehot(y)‖², (B,), with p = softmax(z).

    Its derivative by z is p ⊙ (e − Σₖ eₖ pₖ), with e = p − onehot(y). logits: (B, K); labels: (B,)
    integers.
    """
    shares = softmax(logits.data)
    error = shares.copy()
    error[np.arange(len(labels)), labels] -= 1
    slope = shares * (error - (error * shares).sum(axis=1, keepdims=True))
    losses = (error**2).sum(axis=1) / 2
    return Tensor(losses, (logits,), lambda g: (slope * g[:, None],))


def mean(x: Tensor) -> Tensor:
    """Return the mean of all values, a scalar."""
    return Tensor(x.data.mean(), (x,), lambda g: (np.full_like(x.data, g / x.data.size),))


LOSSES = {
    "cross-entropy": nll,
    "squared-error": squared_error,
    "softmax-squared-error": softmax_squared_error,
}
ACTIVATIONS = {"tanh": tanh, "relu": relu}
