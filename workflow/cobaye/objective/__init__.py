"""The objective, stated once: the mean loss of a model's outputs, plus a penalty.

    J(θ) = (1/N) Σᵢ L(zᵢ, yᵢ) + λ/2 ‖θ‖² + λ₁ ‖θ‖₁,    for a linear model z = W x + b, θ = (W, b)

    cross-entropy   L(z, y) = −log softmax(z)_y = log Σ_k exp(z_k) − z_y    (in nats)
    squared error   L(z, y) = ½ ‖z − e_y‖²,    e_y the one-hot target

θ is what training changes: parameters that are frozen are no part of it. λ₁, ``l1``, is 0 unless it
is given. The penalty leaves out a network's biases and the scales of its normalisation layers where
``penalize_bias`` and ``penalize_scales`` are false: its kernels are left. Everything called
``loss`` in cobaye's files and tables is the mean of the L that the model was trained with, over
images or over one class's; a run has no other. Losses of two kinds are never compared.

In the linear case xᵢ is the i-th row of ``inputs`` (N, D), yᵢ of ``labels`` (N,) int64 in [0, K),
W = ``weight`` (K, D) and b = ``bias`` (K,). The bias is part of ‖θ‖ unless ``penalize_bias`` is
false. Floating tensors share one dtype, float32 or float64, and one device, and so do the results.

Weight decay λ is a number, or a tensor (K,) with one λ per class, which then weighs class c's
part of the penalty: ½ Σ_c λ_c (‖W_c‖² + b_c²).

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
Logits as large as the dtype holds give finite values, since only differences of logits are ever
exponentiated. Each function holds a few (N, K) matrices: cut a large data set, average the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Loss = Literal["cross-entropy", "squared-error"]


def value(
    weight: Tensor,
    bias: Tensor,
    inputs: Tensor,
    labels: Tensor,
    weight_decay: float | Tensor = 0.0,
    *,
    l1: float = 0.0,
    penalize_bias: bool = True,
    loss: Loss = "cross-entropy",
) -> Tensor:
    """Return J(θ), a scalar tensor; differentiable by autograd."""
    parameters = {"head.weight": weight, "head.bias": bias}
    mean = losses(torch.addmm(bias, inputs, weight.T), labels, loss).mean()
    return mean + penalty(parameters, weight_decay, l1=l1, penalize_bias=penalize_bias)


def cross_entropy(weight: Tensor, bias: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each image, (N,), without the penalty."""
    logits = torch.addmm(bias, inputs, weight.T)
    return logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]


def losses(outputs: Tensor, labels: Tensor, loss: Loss = "cross-entropy") -> Tensor:
    """Return L of each image, (N,), from outputs (N, K) of any network; differentiable."""
    if loss == "cross-entropy":
        return torch.nn.functional.cross_entropy(outputs, labels, reduction="none")
    return _residual(outputs, labels, loss).square().sum(1) / 2


def gradient(
    weight: Tensor,
    bias: Tensor,
    inputs: Tensor,
    labels: Tensor,
    weight_decay: float | Tensor = 0.0,
    *,
    l1: float = 0.0,
    penalize_bias: bool = True,
    loss: Loss = "cross-entropy",
) -> tuple[Tensor, Tensor]:
    """Return (∂J/∂W, ∂J/∂b), of shapes (K, D) and (K,)."""
    residual = _residual(torch.addmm(bias, inputs, weight.T), labels, loss) / len(labels)
    bias_slope = _decay(bias, weight_decay) + l1 * bias.sign() if penalize_bias else 0
    return (
        residual.T @ inputs + _decay(weight, weight_decay) + l1 * weight.sign(),
        residual.sum(0) + bias_slope,
    )


def hessian_vector_product(
    weight: Tensor,
    bias: Tensor,
    inputs: Tensor,
    labels: Tensor,
    direction: tuple[Tensor, Tensor],
    weight_decay: float | Tensor = 0.0,
    *,
    penalize_bias: bool = True,
    loss: Loss = "cross-entropy",
) -> tuple[Tensor, Tensor]:
    """Return H·(V, v) at θ for ``direction`` (V, v), of shapes (K, D) and (K,), as the same shapes.

    The Hessian does not depend on the labels, which give no more than N here.
    """
    weight_direction, bias_direction = direction
    slope = torch.addmm(bias_direction, inputs, weight_direction.T)
    if loss == "cross-entropy":
        probabilities = torch.addmm(bias, inputs, weight.T).softmax(1)
        slope = probabilities * (slope - (probabilities * slope).sum(1, keepdim=True))
    residual = slope / len(labels)
    return (
        residual.T @ inputs + _decay(weight_direction, weight_decay),
        residual.sum(0) + (_decay(bias_direction, weight_decay) if penalize_bias else 0),
    )


def _residual(outputs: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """Return ∂L/∂z of each image, (N, K): p − y, with p = z for the squared error."""
    targets = torch.nn.functional.one_hot(labels, outputs.shape[1])
    return (outputs.softmax(1) if loss == "cross-entropy" else outputs) - targets


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
    inside = {"penalize_bias": penalize_bias, "penalize_scales": penalize_scales}
    theta = [p for name, p in parameters.items() if is_penalised(name, p, **inside)]
    half_square = sum((p * _decay(p, weight_decay)).sum() for p in theta) / 2
    return half_square + l1 * sum(p.abs().sum() for p in theta) if l1 else half_square


def is_penalised(
    name: str, parameter: Tensor, *, penalize_bias: bool = True, penalize_scales: bool = True
) -> bool:
    """Tell whether a parameter is part of ‖θ‖.

    It is a bias if its name ends in ``bias``, otherwise a scale if it has one dimension (as that of
    a batch norm), otherwise a kernel.
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
