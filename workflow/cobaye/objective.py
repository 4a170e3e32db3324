"""The objective, stated once: mean cross-entropy of a linear softmax model, plus a penalty.

    J(θ) = (1/N) Σᵢ CE(softmax(W xᵢ + b), yᵢ) + λ/2 ‖θ‖² + λ₁ ‖θ‖₁,        θ = (W, b)

    CE(p, y) = −log p_y,    so with z = W x + b:    CE = log Σ_k exp(z_k) − z_y    (in nats)

with xᵢ the i-th row of ``inputs`` (N, D), yᵢ of ``labels`` (N,) int64 in [0, K), W = ``weight``
(K, D) and b = ``bias`` (K,). The bias is part of ‖θ‖ unless ``penalize_bias`` is false. Floating
tensors share one dtype, float32 or float64, and one device, and so do the results. λ₁, ``l1``, is 0
unless it is given. In a network, θ is all its parameters; without biases and, if
``penalize_scales`` is false, the scales of its normalisation layers, what is left is its kernels.

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
of the subgradients there, and λ₁ leaves H as it is. Logits as large as
the dtype holds give finite values, since only differences of logits are ever exponentiated.
Each function holds a few (N, K) matrices: cut a large data set and average the parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def value(
    weight: Tensor,
    bias: Tensor,
    inputs: Tensor,
    labels: Tensor,
    weight_decay: float | Tensor = 0.0,
    *,
    l1: float = 0.0,
    penalize_bias: bool = True,
) -> Tensor:
    """Return J(θ), a scalar tensor; differentiable by autograd."""
    parameters = {"head.weight": weight, "head.bias": bias}
    mean = cross_entropy(weight, bias, inputs, labels).mean()
    return mean + penalty(parameters, weight_decay, l1=l1, penalize_bias=penalize_bias)


def cross_entropy(weight: Tensor, bias: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each image, (N,), without the penalty."""
    logits = torch.addmm(bias, inputs, weight.T)
    return logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]


def gradient(
    weight: Tensor,
    bias: Tensor,
    inputs: Tensor,
    labels: Tensor,
    weight_decay: float | Tensor = 0.0,
    *,
    l1: float = 0.0,
    penalize_bias: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return (∂J/∂W, ∂J/∂b), of shapes (K, D) and (K,)."""
    residual = torch.addmm(bias, inputs, weight.T).softmax(1)
    residual[torch.arange(len(labels), device=labels.device), labels] -= 1
    residual /= len(labels)
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
) -> tuple[Tensor, Tensor]:
    """Return H·(V, v) at θ for ``direction`` (V, v), of shapes (K, D) and (K,), as the same shapes.

    The Hessian does not depend on the labels, which give no more than N here.
    """
    weight_direction, bias_direction = direction
    probabilities = torch.addmm(bias, inputs, weight.T).softmax(1)
    slope = torch.addmm(bias_direction, inputs, weight_direction.T)
    centred = slope - (probabilities * slope).sum(1, keepdim=True)
    residual = probabilities * centred / len(labels)
    return (
        residual.T @ inputs + _decay(weight_direction, weight_decay),
        residual.sum(0) + (_decay(bias_direction, weight_decay) if penalize_bias else 0),
    )


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
