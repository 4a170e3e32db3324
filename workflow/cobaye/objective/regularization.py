"""The regularization of a network in training: λ, λ₁ and a largest norm.

The optimizer applies λ, torch's ``weight_decay`` of a parameter group: its algorithm says whether λ
is coupled to the gradient. The penalty is stated in ``cobaye.objective``.
"""

from __future__ import annotations

from typing import Any

import torch

from cobaye import objective, recipes


class Regularization:
    """The penalty of a recipe on what a network trains, and the constraint on its kernels.

    Frozen parameters are neither in θ nor constrained.
    """

    def __init__(self, recipe: recipes.Training, network: torch.nn.Module):
        self.weight_decay, self.l1 = recipe.weight_decay, recipe.optimizer.l1
        self.max_norm = recipe.optimizer.max_norm
        options = {
            "penalize_bias": recipe.penalize_bias,
            "penalize_scales": recipe.penalize_scales,
        }
        self.penalised, self.free = {}, {}
        trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        for name, parameter in trained.items():
            is_penalised = objective.is_penalised(name, parameter, **options)
            (self.penalised if is_penalised else self.free)[name] = parameter
        self.kernels = [parameter for parameter in trained.values() if parameter.ndim > 1]

    def groups(self) -> list[dict[str, Any]]:
        """Return all parameters in torch parameter groups, λ in them as ``weight_decay``."""
        groups = [(self.penalised, self.weight_decay), (self.free, 0.0)]
        return [
            {"params": list(parameters.values()), "weight_decay": decay}
            for parameters, decay in groups
            if parameters
        ]

    def penalty(self) -> torch.Tensor:
        """Return λ/2 ‖θ‖² + λ₁ ‖θ‖₁ at the present weights."""
        return torch.as_tensor(objective.penalty(self.penalised, self.weight_decay, l1=self.l1))

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add λ₁ sign θ to the gradients (the optimizer adds λ θ)."""
        if self.l1:
            for parameter in self.penalised.values():
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.sign(), alpha=self.l1)

    @torch.no_grad()
    def constrain(self) -> None:
        """Scale each unit's incoming weights, a row of a kernel, down to the largest norm."""
        if self.max_norm is not None:
            for kernel in self.kernels:
                clip_norms(kernel, self.max_norm)


def clip_norms(kernel: torch.Tensor, largest: float) -> None:
    """Scale, in place, those rows of a kernel (units, …) down whose norm is larger than `largest`.

    A convolution's row is all weights of an output channel; biases are not counted (as in Keras's
    max_norm constraint; Srivastava et al., Dropout, 2014, section 5.1).
    """
    kernel.renorm_(2, 0, largest)
