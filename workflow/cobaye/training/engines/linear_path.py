"""Linear models trained together by mini-batch SGD: one pass over the features trains them all.

The models of a group, one per λ and learning rate, are the heads of `_cross_entropy`: each batch is
gathered once, from memory or from a disk, and W, (M·K, D), multiplies it once for all M. A model
trained so differs from one trained alone by rounding only, and a model that diverges does not
disturb the others.

On a GPU, one call updates all models, as one model is too small to keep it busy, and a step is
captured as a CUDA graph: the launches of its kernels would take longer than the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from cobaye import recipes
from cobaye.data.normalization import Normalization
from cobaye.data.splits import Split
from cobaye.storage.mapped_rows import MappedRows
from cobaye.training.engines import Epoch
from cobaye.training.engines._cross_entropy import Batch, CrossEntropy
from cobaye.training.engines._tensors import copy_named, flat_inputs, precision_of, sgd_step


class Engine:
    """Trains M linear softmax models of one batch size; parameters are zero until ``restore``.

    inputs: (N, D) floating. labels: (N,) int64 in [0, classes). weight_decays, momenta: of each
    model. nesterov: as torch's SGD takes it. mixed: see `_cross_entropy`, whose errors it raises.
    replay: whether a GPU that holds the inputs replays full batches as a CUDA graph.
    """

    def __init__(
        self,
        inputs: Tensor | MappedRows,
        labels: Tensor,
        classes: int,
        *,
        weight_decays: Sequence[float],
        momenta: Sequence[float],
        nesterov: bool = False,
        batch_size: int,
        penalize_bias: bool = True,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        mixed: bool = False,
        replay: bool = True,
    ):
        self.weight_decays, self.momenta, self.nesterov = weight_decays, momenta, nesterov
        self.penalize_bias, heads = penalize_bias, len(weight_decays)
        self.loss = CrossEntropy(
            inputs, labels, classes, batch_size, device, dtype, heads=heads, mixed=mixed
        )
        kind = {"dtype": self.loss.dtype, "device": self.loss.device}
        # Weights and velocities of all models one under the other, and views of each.
        self.weight = torch.zeros(heads * classes, inputs.shape[1], **kind)
        self.bias = torch.zeros(heads * classes, **kind)
        velocities = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        self.parameters = self._by_model(self.weight, self.bias)
        self.velocities = self._by_model(*velocities)
        self.squared_norms = torch.zeros(len(self.loss.sizes), heads, **kind)

        self.stacked = self.loss.device.type == "cuda"
        self.replays = replay and self.stacked and self.loss.inputs.device == self.loss.device
        self.captured: tuple[Callable[[], None], Batch, Tensor, tuple[float, ...]] | None = None
        decays = torch.tensor(weight_decays, **kind)
        self.decay_of_row = decays.repeat_interleave(classes)

    def tensors(self, number: int) -> dict[str, Tensor]:
        """Return a model's W and b, live."""
        weight, bias = self.parameters[number]
        return {"head.weight": weight, "head.bias": bias}

    def state(self) -> dict[str, Tensor]:
        """Return the velocities of the models that have a momentum, live."""
        return {
            f"{number}.{name}": velocity
            for number, momentum in enumerate(self.momenta)
            if momentum
            for name, velocity in zip(("weight", "bias"), self.velocities[number], strict=True)
        }

    def restore(self, tensors: Sequence[Mapping[str, Tensor]], state: Mapping[str, Tensor]) -> None:
        """Copy in each model's parameters, and the velocities, if there are any.

        Raises ValueError for other names or shapes.
        """
        for number, each in enumerate(tensors):
            copy_named(each, self.tensors(number))
        if state:
            copy_named(state, self.state())

    @torch.no_grad()
    def epoch(self, order: Tensor, learning_rates: Sequence[float]) -> list[Epoch]:
        """Visit every image once, in `order` (N,) int64; return what was seen, model by model."""
        rates = tuple(learning_rates)
        for number, batch in enumerate(self.loss.batches(order)):
            # The first batch is not replayed: a capture needs libraries that are initialised.
            full = number > 0 and len(batch.images) == self.loss.batch_size
            step = self._replay if self.replays and full else self._step
            step(batch, self.squared_norms[number], rates)
        losses, accuracies = self.loss.losses(order)
        sizes = torch.tensor(self.loss.sizes, dtype=torch.float64)
        norms = sizes @ self.squared_norms.double().cpu() / len(order)
        means, hits = losses.mean(1, dtype=torch.float64).tolist(), accuracies.tolist()
        return [
            Epoch(means[i], decay / 2 * norms[i].item() if decay else 0.0, hits[i], losses[i].cpu())
            for i, decay in enumerate(self.weight_decays)
        ]

    def _step(self, batch: Batch, squared_norms: Tensor, rates: tuple[float, ...]) -> None:
        """Train all models by one batch; fill its record and ‖θ‖² before the step, (M,)."""
        if self.stacked:
            torch.linalg.vector_norm(self._rows(self.weight), dim=1, out=squared_norms).square_()
            if self.penalize_bias:
                squared_norms.add_(self._rows(self.bias).square().sum(1))
            self._update_together(*self.loss.gradient(batch, self.weight, self.bias), rates)
            return
        for model, parameters in enumerate(self.parameters):
            if self.weight_decays[model]:
                squared_norms[model] = self._squared_norm(parameters)
        gradients = self._by_model(*self.loss.gradient(batch, self.weight, self.bias))
        for model, gradient in enumerate(gradients):
            self._update(model, gradient, rates[model])

    def _replay(self, batch: Batch, squared_norms: Tensor, rates: tuple[float, ...]) -> None:
        """Do what `_step` does by a captured graph, which holds the learning rates as numbers."""
        if self.captured is None or self.captured[-1] != rates:
            held, norms = Batch(*(each.clone() for each in batch)), squared_norms.clone()
            self.captured = capture(lambda: self._step(held, norms, rates)), held, norms, rates
        replay, held, norms, _ = self.captured
        held.images.copy_(batch.images)
        held.where.copy_(batch.where)
        replay()
        batch.record.copy_(held.record)
        squared_norms.copy_(norms)

    def _update_together(self, weight: Tensor, bias: Tensor, rates: tuple[float, ...]) -> None:
        """Step as `_update` does: models of one momentum and learning rate by one call."""
        weight.addcmul_(self.decay_of_row[:, None], self.weight)
        if self.penalize_bias:
            bias.addcmul_(self.decay_of_row, self.bias)
        gradients, pairs = self._by_model(weight, bias), list(zip(self.momenta, rates, strict=True))
        for momentum, rate in dict.fromkeys(pairs):
            chosen = [model for model, pair in enumerate(pairs) if pair == (momentum, rate)]
            tensors = [
                [tensor for model in chosen for tensor in each[model]]
                for each in (self.parameters, gradients, self.velocities)
            ]
            nesterov = self.nesterov and momentum > 0
            sgd_step(*tensors, [0.0] * len(tensors[0]), momentum, rate, nesterov=nesterov)

    def _rows(self, stacked: Tensor) -> Tensor:
        return stacked.view(len(self.weight_decays), -1)

    def _update(self, model: int, gradient: tuple[Tensor, Tensor], rate: float) -> None:
        decay, momentum = self.weight_decays[model], self.momenta[model]
        decays = decay, decay * self.penalize_bias
        velocities = self.velocities[model]
        parameters, nesterov = self.parameters[model], self.nesterov and momentum > 0
        sgd_step(parameters, gradient, velocities, decays, momentum, rate, nesterov=nesterov)

    def _squared_norm(self, parameters: tuple[Tensor, Tensor]) -> Tensor:
        weight, bias = parameters
        squared = torch.dot(weight.view(-1), weight.view(-1))
        return squared.add_(torch.dot(bias, bias)) if self.penalize_bias else squared

    def _by_model(self, weight: Tensor, bias: Tensor) -> list[tuple[Tensor, Tensor]]:
        classes = self.loss.classes
        return list(zip(weight.split(classes), bias.split(classes), strict=True))


def capture(function: Callable[[], None]) -> Callable[[], None]:
    """Return what launches all kernels of a function at once, on the tensors that it uses now."""
    graph = torch.cuda.CUDAGraph()
    # Another thread may use the GPU meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        function()
    return graph.replay


def build_together(
    members: Sequence[recipes.Training],
    networks: Sequence[torch.nn.Module],
    split: Split,
    normalization: Normalization | None,
    device: str,
) -> Engine:
    """Return the engine of recipes that share their batches, at the weights of ``networks``.

    Only learning rate, schedule, momentum and λ may differ between `members`.
    """
    first = members[0]
    engine = Engine(
        flat_inputs(split, normalization, device),
        split.labels,
        split.classes,
        weight_decays=[each.weight_decay for each in members],
        momenta=[each.optimizer.algorithm.options["momentum"] for each in members],
        nesterov=first.optimizer.algorithm.options["nesterov"],
        batch_size=first.optimizer.batch_size,
        penalize_bias=first.penalize_bias,
        device=device,
        **precision_of(first, split, device),
    )
    engine.restore([network.state_dict() for network in networks], {})
    return engine
