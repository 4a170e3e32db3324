"""The objective, stated once: the mean loss of a model's outputs, plus a penalty.

In: outputs, labels, parameters and λ. Out: losses, penalties, gradients and, for linear models, the
optimum.

    J(θ) = (1/N) Σᵢ L(zᵢ, yᵢ) + λ/2 ‖θ‖² + λ₁ ‖θ‖₁,    for a linear model z = W x + b, θ = (W, b)

    cross-entropy   L(z, y) = −log softmax(z)_y = log Σ_k exp(z_k) − z_y    (in nats)
    squared error   L(z, y) = ½ ‖z − e_y‖²,    e_y the one-hot target
    softmax squared error   L(z, y) = ½ ‖softmax(z) − e_y‖², half of Brier's score

θ is what training changes, without frozen parameters. λ₁, ``l1``, is 0 unless it is given. Without
``penalize_bias`` the penalty leaves out a network's biases, and without ``penalize_scales`` the
scales of its normalisation layers; kernels are always in it. Everything called
``loss`` in cobaye's files and tables is the mean of the L that the model was trained with, over
images or over one class's; a run has no other. Losses of two kinds are never compared.

In the linear case xᵢ is the i-th row of the inputs (N, D), yᵢ of the labels (N,) int64 in [0, K), W
the weight (K, D) and b the bias (K,), which is in ‖θ‖ unless ``penalize_bias`` is false.

Weight decay λ is a number, or a tensor (K,) with one λ per class: the penalty is then
½ Σ_c λ_c (‖W_c‖² + b_c²).

Conventions elsewhere: torch's ``weight_decay`` is λ (``torch.optim.SGD`` decays the bias too);
scikit-learn's ``LogisticRegression`` has C = 1/(λN) and leaves the intercept unpenalised; Keras's
``l2(l)`` has no ½, so λ = 2 l. AdamW decouples λ: each step first shrinks θ by 1 − αλ (α the
learning rate), and λ θ is no part of the gradient that it adapts; so it does not minimise J. Its
penalty is reported as λ/2 ‖θ‖² all the same, so that runs compare. λ₁ is in every optimizer's
gradient, AdamW's too.

Derivatives, with p = softmax(z), one-hot labels Y, rows stacked to P, Y (N, K) and X (N, D):

    ∂J/∂W = (P − Y)ᵀ X / N + λ W + λ₁ sign W          ∂J/∂b = Σᵢ (pᵢ − yᵢ) / N + λ b + λ₁ sign b
    H·(V, v) = (Rᵀ X / N + λ V, Σᵢ rᵢ / N + λ v),     rᵢ = (diag pᵢ − pᵢ pᵢᵀ) (V xᵢ + v)

(Bishop, Pattern Recognition and Machine Learning, 2006, eq. 4.109 and 4.110), where sign 0 = 0, one
of the subgradients there, and λ₁ leaves H as it is. For the squared error p = z and rᵢ = V xᵢ + v.
Logits as large as the dtype holds give finite values: only differences of logits are exponentiated.

The functions below take the outputs of any network; autograd differentiates them. Closed forms of
the derivatives, for linear models, are in ``objective.full_batch`` (all images at once) and
``training.engines`` (batch by batch).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Loss = Literal["cross-entropy", "squared-error", "softmax-squared-error"]


def losses(outputs: Tensor, labels: Tensor, loss: Loss = "cross-entropy") -> Tensor:
    """Return L of each image, (N,), from outputs (N, K) of any network; differentiable."""
    if loss == "cross-entropy":
        return torch.nn.functional.cross_entropy(outputs, labels, reduction="none")
    targets = torch.nn.functional.one_hot(labels, outputs.shape[1])
    if loss == "softmax-squared-error":
        outputs = outputs.softmax(1)
    return (outputs - targets).square().sum(1) / 2


def penalty(
    parameters: Mapping[str, Tensor],
    weight_decay: float | Tensor,
    *,
    l1: float = 0.0,
    penalize_bias: bool = True,
    penalize_scales: bool = True,
) -> Tensor:
    """Return λ/2 ‖θ‖² + λ₁ ‖θ‖₁ over named parameters of any network, a scalar tensor.

    With one λ per class, every penalised parameter must have K rows; otherwise ValueError.
    """
    options = {"penalize_bias": penalize_bias, "penalize_scales": penalize_scales}
    theta = [p for name, p in parameters.items() if is_penalised(name, p, **options)]
    half_square = sum((p * _decay(p, weight_decay)).sum() for p in theta) / 2
    return half_square + l1 * sum(p.abs().sum() for p in theta) if l1 else half_square


def is_penalised(
    name: str, parameter: Tensor, *, penalize_bias: bool = True, penalize_scales: bool = True
) -> bool:
    """Tell whether a parameter is in ‖θ‖.

    A name that ends in ``bias`` is a bias; any other of one dimension is a scale, as of a batch
    norm; the rest are kernels.
    """
    if name.rpartition(".")[2] == "bias":
        return penalize_bias
    return penalize_scales or parameter.ndim > 1


def _decay(parameter: Tensor, weight_decay: float | Tensor) -> Tensor:
    if not isinstance(weight_decay, Tensor) or weight_decay.ndim == 0:
        return weight_decay * parameter
    if weight_decay.shape != parameter.shape[:1]:
        raise ValueError(
            f"weight_decay of shape {tuple(weight_decay.shape)} does not match the classes of a "
            f"parameter of shape {tuple(parameter.shape)}: expected a number or one per class"
        )
    return weight_decay.view(-1, *[1] * (parameter.ndim - 1)) * parameter
