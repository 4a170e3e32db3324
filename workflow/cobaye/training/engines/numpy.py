"""Epochs by the network from scratch (`training.scratch`): NumPy alone, on the processor.

It begins at the weights that torch drew for the seed, visits the images in the same order and
minimises the same objective, in the recipe's precision. Its runs and those of torch's engines
differ by rounding alone, except with dropout, whose random numbers are NumPy's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cobaye import objective, recipes
from cobaye.data.normalization import Normalization
from cobaye.data.splits import Split
from cobaye.training import engines
from cobaye.training.engines import Epoch
from cobaye.training.scratch import lesson
from cobaye.training.scratch.fully_connected import DeepNetwork, LinearNetwork
from cobaye.training.scratch.sgd import SGD

# It computes on the processor, whatever the recipe's device.
DEVICE = "cpu"
MOMENTUM = "momentum_buffer"


class Engine(engines.Engine):
    """Trains a scratch network; tensors by name are views on its arrays.

    batch_size: images per step; 1 is one image at a time.
    """

    def __init__(
        self,
        network: lesson.Network,
        optimizer: SGD,
        data: lesson.Data,
        batch_size: int,
        loss: objective.Loss,
    ):
        self.network, self.optimizer, self.data = network, optimizer, data
        self.batch_size, self.loss = batch_size, loss

    def parameters(self) -> list[Tensor]:
        """Return the network's parameters."""
        return list(self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's parameters, live."""
        return {p.name: torch.from_numpy(p.data) for p in self.network.parameters()}

    def penalty(self) -> float:
        """Return λ/2 ‖θ‖²."""
        return self.optimizer.penalty()

    def state(self) -> dict[str, Tensor]:
        """Return the velocities by name; none without momentum or before the first step."""
        velocities = self.optimizer.velocities.items()
        return {f"{name}.{MOMENTUM}": torch.from_numpy(velocity) for name, velocity in velocities}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Copy in the parameters and the velocities; an empty state is a fresh start."""
        for parameter in self.network.parameters():
            parameter.data[...] = tensors[parameter.name].numpy()
        self.optimizer.velocities = {
            name.removesuffix(f".{MOMENTUM}"): velocity.numpy().copy()
            for name, velocity in state.items()
        }

    def epoch(self, order: Tensor, learning_rate: float) -> Epoch:
        """Visit every image once (see `engines.Engine`)."""
        self.optimizer.learning_rate = learning_rate
        # torch's generator was seeded for this epoch by the loop.
        generator = np.random.default_rng(int(torch.randint(2**62, ())))
        # A divergence is a result: it shows in what is returned.
        with np.errstate(all="ignore"):
            seen = lesson.epoch(
                self.network,
                self.optimizer,
                self.data,
                order.numpy(),
                self.batch_size,
                self.loss,
                generator,
            )
        mean = float(seen.losses.mean(dtype=np.float64))
        return Epoch(mean, seen.penalty, seen.hits / len(order), torch.from_numpy(seen.losses))


def build(
    recipe: recipes.Training,
    network: torch.nn.Module,
    split: Split,
    normalization: Normalization | None,
    device: str,
) -> Engine:
    """Return the engine of a recipe, at the weights of ``network``; `device` has no effect.

    A λ per class is a ValueError.
    """
    if not isinstance(recipe.weight_decay, int | float):
        raise ValueError("a λ per class is not for the network from scratch")
    dtype = getattr(np, recipe.precision)
    images = (normalization(split.inputs) if normalization else split.inputs).flatten(1)
    data = lesson.Data(images.numpy().astype(dtype), split.labels.numpy())
    scratch = _network(recipe.model, data.images.shape[1], split.classes, dtype)
    penalised = {
        name
        for name, parameter in network.named_parameters()
        if objective.is_penalised(name, parameter, penalize_bias=recipe.penalize_bias)
    }
    optimizer = SGD(
        scratch.parameters(),
        recipe.optimizer.learning_rate,
        recipe.optimizer.algorithm.options["momentum"],
        recipe.weight_decay,
        penalised.__contains__,
    )
    engine = Engine(scratch, optimizer, data, recipe.optimizer.batch_size, recipe.loss)
    engine.restore(network.state_dict(), {})
    return engine


def _network(model: recipes.Kind, inputs: int, classes: int, dtype: type) -> lesson.Network:
    """Return the network from scratch of a model, its weights all zero."""
    if model.kind != "mlp":
        return LinearNetwork(inputs, classes, dtype)
    widths, activation = model.options["widths"], model.options["activation"]
    return DeepNetwork(inputs, widths, classes, activation, model.options["dropout"], dtype)
