"""A linear model by mini-batch SGD: closed-form gradient, in place, no autograd.

One step on a batch minimises the objective of ``cobaye.objective``, with either loss, exactly as
``torch.optim.SGD(momentum=μ, weight_decay=λ)`` does, with θ = (W, b), a velocity m and a learning
rate α:

    m ← μ m + ∇L(θ) + λ θ        θ ← θ − α m

With a λ per class, class c's row of θ decays by λ_c; where all are equal, they are one number.
θ and m are flat vectors, (K·D + K,), seen as W and b through views, so that penalty, decay and
update are one call each. `_cross_entropy` says how the gradient is made fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from cobaye import objective, recipes
from cobaye.data.normalization import Normalization
from cobaye.data.splits import Split
from cobaye.objective.regularization import clip_norms
from cobaye.training import engines, optimizers
from cobaye.training.engines import Epoch, _tensors, decay_of
from cobaye.training.engines._cross_entropy import CrossEntropy
from cobaye.training.engines._squared_error import SquaredError

# Keys of a recipe that an engine may not know (see `engines.build`).
SUPPORTS = ("l1", "max_norm")

LOSSES = {"cross-entropy": CrossEntropy, "squared-error": SquaredError}
OptimizerFactory = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


class Engine(engines.Engine):
    """Trains one linear model; parameters are zero until ``restore``.

    Parameters
    ----------
    inputs
        (N, D) float16, float32 or float64, in memory or a view on a memory map; gathered batch by
        batch wherever it lies. Parameters are float64 if it is, otherwise float32.
    labels
        (N,) int64, in [0, classes)
    classes
        K
    weight_decay, momentum
        λ, a number or one per class, and μ, as above
    batch_size
        images per step; the last batch of an epoch has what is left, averaged over its own size
    penalize_bias
        whether b is part of ‖θ‖
    l1
        λ₁ of λ₁ ‖θ‖₁, whose gradient λ₁ sign θ is added to that of the loss
    max_norm
        after each step, rows of W that are longer are scaled down to it
    device
        where the parameters live and the steps are computed
    optimizer
        optional: makes a torch optimizer from parameter groups, λ in them as ``weight_decay``. It
        is given the gradient of the mean loss and the learning rate; ``momentum`` must then be 0.
    loss
        what is minimised beside the penalty
    dtype
        of the parameters and the steps, if not as above
    mixed
        whether products take inputs, weights and residuals as bfloat16

    On CPU, the same calls at the same number of threads give the same bytes.
    Raises ValueError for shapes, dtypes or labels other than these.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        classes: int,
        *,
        weight_decay: float | tuple[float, ...],
        momentum: float = 0.0,
        batch_size: int,
        penalize_bias: bool = True,
        l1: float = 0.0,
        max_norm: float | None = None,
        device: torch.device | str = "cpu",
        optimizer: OptimizerFactory | None = None,
        loss: objective.Loss = "cross-entropy",
        dtype: torch.dtype | None = None,
        mixed: bool = False,
    ):
        if optimizer and momentum:
            raise ValueError(f"momentum is {momentum}, but the optimizer given has its own")
        self.loss = LOSSES[loss](inputs, labels, classes, batch_size, device, dtype, mixed=mixed)
        self.weight_decay, self.momentum = decay_of(weight_decay), float(momentum)
        self.l1, self.max_norm = float(l1), max_norm
        self.penalize_bias, self.make_optimizer = penalize_bias, optimizer

        kind = {"dtype": self.loss.dtype, "device": self.loss.device}
        weight_size = classes * inputs.shape[1]
        self.theta = torch.zeros(weight_size + classes, **kind)
        self.velocity = torch.zeros_like(self.theta)
        self.weight, self.bias = _tensors.split_theta(self.theta, classes)
        self.velocities = _tensors.split_theta(self.velocity, classes)
        penalised = slice(None if penalize_bias else weight_size)
        self.penalised = self.theta[penalised]
        self.each = _tensors.decay_of_each(self.weight_decay, self.weight, len(self.penalised))
        if optimizer and self.each is not None:
            raise ValueError("a λ per class takes SGD as it is, without another optimizer")

        self.squared_norms = torch.zeros(len(self.loss.sizes), **kind)
        self.absolute_norms = torch.zeros_like(self.squared_norms)
        self.optimizer = optimizer and optimizer(self._groups())

    def tensors(self) -> dict[str, Tensor]:
        """Return W and b, live."""
        return {"head.weight": self.weight, "head.bias": self.bias}

    def parameters(self) -> list[Tensor]:
        """Return W (K, D) and b (K,)."""
        return [self.weight, self.bias]

    def penalty(self) -> float:
        """Return λ/2 ‖θ‖² + λ₁ ‖θ‖₁, in float64."""
        options = {"penalize_bias": self.penalize_bias, "l1": self.l1}
        return engines.penalty(self.tensors(), self.weight_decay, **options)

    def state(self) -> dict[str, Tensor]:
        """Return the optimizer's tensors by ``<parameter>.<name>``, live like the parameters.

        SGD without momentum has none; a torch optimizer may have none before its first step.
        """
        if self.optimizer:
            return {
                f"{name}.{key}": value
                for name, parameter in self.tensors().items()
                for key, value in self.optimizer.state[parameter].items()
                if isinstance(value, Tensor)
            }
        if not self.momentum:
            return {}
        weight, bias = self.velocities
        return {"head.weight.momentum_buffer": weight, "head.bias.momentum_buffer": bias}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Copy in the parameters and the optimizer's state; an empty state is a fresh start.

        Raises ValueError for parameters or velocities of other names or shapes.
        """
        _tensors.copy_named(tensors, self.tensors())
        if self.optimizer:
            self.optimizer = self.make_optimizer(self._groups())
            content = self.optimizer.state_dict()
            for name, value in state.items():
                parameter, _, key = name.rpartition(".")
                number = list(self.tensors()).index(parameter)
                content["state"].setdefault(number, {})[key] = value.clone()
            # torch knows which of these belong on the parameters' device, and which do not.
            self.optimizer.load_state_dict(content)
        elif state:
            _tensors.copy_named(state, self.state())
        else:
            self.velocity.zero_()

    @torch.no_grad()
    def epoch(self, order: Tensor, learning_rate: float) -> Epoch:
        """Visit every image once (see `engines.Engine`)."""
        step = self._torch_step if self.optimizer else self._sgd_step
        for number, batch in enumerate(self.loss.batches(order)):
            if self.each is not None:
                weighed = self.each * self.penalised
                torch.dot(self.penalised, weighed, out=self.squared_norms[number])
            elif self.weight_decay:
                torch.dot(self.penalised, self.penalised, out=self.squared_norms[number])
            gradients = self.loss.gradient(batch, self.weight, self.bias)
            if self.l1:
                torch.sum(self.penalised.abs(), 0, out=self.absolute_norms[number])
                self._add_signs(*gradients)
            step(*gradients, learning_rate)
            if self.max_norm is not None:
                clip_norms(self.weight, self.max_norm)

        (losses,), (accuracy,) = self.loss.losses(order)
        loss, accuracy = torch.stack((losses.mean(dtype=torch.float64), accuracy)).tolist()
        sizes = torch.tensor(self.loss.sizes, dtype=torch.float64)
        mean_square = torch.dot(self.squared_norms.double().cpu(), sizes).item() / len(losses)
        mean_sum = torch.dot(self.absolute_norms.double().cpu(), sizes).item() / len(losses)
        decay = 1.0 if self.each is not None else self.weight_decay
        penalty = decay / 2 * mean_square + self.l1 * mean_sum
        return Epoch(loss, penalty, accuracy, losses.cpu())

    def _add_signs(self, weight_gradient: Tensor, bias_gradient: Tensor) -> None:
        weight_gradient.add_(self.weight.sign(), alpha=self.l1)
        if self.penalize_bias:
            bias_gradient.add_(self.bias.sign(), alpha=self.l1)

    def _sgd_step(self, weight_gradient: Tensor, bias_gradient: Tensor, rate: float) -> None:
        gradients, decay = (weight_gradient, bias_gradient), self.weight_decay
        if self.each is not None:
            # Of W and, where it is penalised, of b.
            each_of = self.each.split(self.weight.numel())
            for gradient, theta, each in zip(gradients, self.parameters(), each_of, strict=False):
                gradient.addcmul_(theta, each.view_as(theta))
            decay = 0.0
        decays = (decay, decay * self.penalize_bias)
        parameters, velocities = self.parameters(), self.velocities
        _tensors.sgd_step(parameters, gradients, velocities, decays, self.momentum, rate)

    def _torch_step(self, weight_gradient: Tensor, bias_gradient: Tensor, rate: float) -> None:
        self.weight.grad, self.bias.grad = weight_gradient, bias_gradient
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def _groups(self) -> list[dict[str, Any]]:
        return [
            {"params": [self.weight], "weight_decay": self.weight_decay},
            {"params": [self.bias], "weight_decay": self.weight_decay * self.penalize_bias},
        ]


def build(
    recipe: recipes.Training,
    network: torch.nn.Module,
    split: Split,
    normalization: Normalization | None,
    device: str,
) -> Engine:
    """Return the engine of a recipe, at the initial weights of ``network``."""
    algorithm, rate = recipe.optimizer.algorithm, recipe.optimizer.learning_rate
    fused = algorithm.kind == "sgd" and not algorithm.options["nesterov"]
    engine = Engine(
        _tensors.flat_inputs(split, normalization, device),
        split.labels,
        split.classes,
        weight_decay=recipe.weight_decay,
        momentum=algorithm.options["momentum"] if fused else 0.0,
        batch_size=recipe.optimizer.batch_size,
        penalize_bias=recipe.penalize_bias,
        l1=recipe.optimizer.l1,
        max_norm=recipe.optimizer.max_norm,
        device=device,
        optimizer=None if fused else lambda groups: optimizers.build(algorithm, groups, rate),
        loss=recipe.loss,
        **_tensors.precision_of(recipe, split, device),
    )
    engine.restore(network.state_dict(), {})
    return engine
