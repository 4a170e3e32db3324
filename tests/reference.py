"""The objective of a linear model by automatic differentiation: what closed forms must equal."""

from __future__ import annotations

import torch
from torch import Tensor

from cobaye import objective


def value(
    weight: Tensor,
    bias: Tensor,
    inputs: Tensor,
    labels: Tensor,
    weight_decay: float | Tensor = 0.0,
    *,
    loss: objective.Loss = "cross-entropy",
    **options: float,
) -> Tensor:
    """Return J, a scalar, of W (K, D) and b (K,); options are those of `objective.penalty`."""
    mean = objective.losses(inputs @ weight.T + bias, labels, loss).mean()
    return mean + objective.penalty({"weight": weight, "bias": bias}, weight_decay, **options)


def gradient(weight: Tensor, bias: Tensor, *arguments, **options) -> tuple[Tensor, Tensor]:
    """Return (∂J/∂W, ∂J/∂b); arguments and options are those of `value`."""
    theta = [part.detach().clone().requires_grad_() for part in (weight, bias)]
    return torch.autograd.grad(value(*theta, *arguments, **options), theta)


def hessian_vector_product(
    weight: Tensor,
    bias: Tensor,
    inputs: Tensor,
    labels: Tensor,
    direction: tuple[Tensor, Tensor],
    weight_decay: float | Tensor = 0.0,
    **options: float,
) -> tuple[Tensor, Tensor]:
    """Return H·(V, v) for a direction (V, v)."""

    def of_theta(weight: Tensor, bias: Tensor) -> Tensor:
        return value(weight, bias, inputs, labels, weight_decay, **options)

    return torch.autograd.functional.hvp(of_theta, (weight, bias), direction)[1]
