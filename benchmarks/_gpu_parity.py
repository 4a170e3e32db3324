"""The parts of `gpu.py` that compare: the exact path, training, and resuming it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from _gpu_speed import Row
from imagenet_sweep import DECAYS

from cobaye import recipes
from cobaye.data.normalization import normalization_of
from cobaye.data.splits import Split
from cobaye.models import networks
from cobaye.training.engines import Epoch, exact, linear, linear_path, network
from cobaye.training.loop import batch_order

GRADIENT_NORM = 1e-5
# Training here: learning rate, momentum, λ where there is one, images per step.
RATE, MOMENTUM, DECAY, BATCH = 0.05, 0.9, 1e-3, 256
# The largest relative deviation from the processor's: of an epoch's loss, and of all weights, in
# norm. A network's roundings grow from step to step, as ReLUs switch: on one processor, float32
# weights changed by 1e-7 give 2.4e-4 and 3.8e-3, float64 ones changed by 1e-15 keep their distance.
TOLERANCES = {
    "linear": (1e-5, 1e-4),
    "linear-path": (1e-5, 1e-4),
    "resnet-small": (2e-3, 0.02),
    "resnet-small, TF32": (1e-2, 0.1),
    "resnet-small, float64": (1e-10, 1e-9),
}
# The learning rate of networks, and the images of the one in float64: less noise, and less time.
NETWORK_RATE, FEW = 0.002, 1_200


def like_glyphs(small: bool) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return inputs (N, D) float32 and labels of classes that overlap, in memory, and K."""
    count, width, classes = (300, 16, 5) if small else (12_000, 256, 200)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    centres = 0.35 * torch.randn(classes, width, generator=generator)
    inputs = torch.randn(count, width, generator=generator).add_(centres[labels])
    return inputs.clamp_(min=-0.5).add_(0.5), labels, classes


def solved(data, where: str, decay: float, last: exact.Engine | None) -> tuple[exact.Engine, Epoch]:
    """Solve on a device, in float32, from the optimum of another λ."""
    options = {"dtype": "float32", "gradient_norm": GRADIENT_NORM, "max_iterations": 500}
    engine = exact.Engine(*data, weight_decay=decay, options=options, device=where)
    if last:
        engine.restore(last.tensors(), {})
    return engine, engine.epoch(torch.empty(0), float("nan"))


def solve(device: str, small: bool) -> Iterator[Row]:
    """Solve the exact path in float32, with certificates in float64, beside the processor's."""
    inputs, labels, classes = like_glyphs(small)
    last: dict[str, exact.Engine] = {}
    for decay in (1e-1, 1e-2, 1e-3, 1e-4):
        took, norms, bounds = {}, {}, {}
        for where in dict.fromkeys((device, "cpu")):
            data, start = (inputs.to(where), labels, classes), time.perf_counter()
            last[where], epoch = solved(data, where, decay, last.get(where))
            took[where] = time.perf_counter() - start
            norms[where] = epoch.certificate["gradient_norm"]
            bounds[where] = epoch.certificate["bound"]
        apart = distance(last[device], last["cpu"])
        # By strong convexity, of two gradients that are so small.
        allowed = (norms[device] + norms["cpu"]) / decay
        yield Row(
            f"exact, λ = {decay:g}, float32",
            f"{took[device]:.2f} s, ‖∇J‖ {norms[device]:.1e}, J − min J ≤ {bounds[device]:.0e}",
            f"processor {took['cpu']:.2f} s, ‖∇J‖ {norms['cpu']:.1e}; ‖Δθ‖ {apart:.1e}",
            f"‖∇J‖ ≤ {GRADIENT_NORM:g}, ‖Δθ‖ ≤ {allowed:.1e}",
            norms[device] <= GRADIENT_NORM and apart <= allowed,
        )


def distance(a: exact.Engine, b: exact.Engine) -> float:
    """Return ‖θ_a − θ_b‖."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return sum((x.double().cpu() - y.double().cpu()).square().sum().item() for x, y in pairs) ** 0.5


class Made(NamedTuple):
    """An engine, its learning rates, the images of an epoch, and its tensors by name."""

    engine: Any
    rate: float | list[float]
    images: int
    tensors: Callable[[], dict[str, torch.Tensor]]


def make_linear(small: bool, device: str) -> Made:
    inputs, labels, classes = like_glyphs(small)
    options = {"momentum": MOMENTUM, "batch_size": BATCH, "device": device}
    engine = linear.Engine(inputs.to(device), labels, classes, weight_decay=DECAY, **options)
    return Made(engine, RATE, len(labels), engine.tensors)


def make_path(small: bool, device: str) -> Made:
    inputs, labels, classes = like_glyphs(small)
    options = {"momenta": [MOMENTUM] * len(DECAYS), "batch_size": BATCH, "device": device}
    engine = linear_path.Engine(inputs.to(device), labels, classes, weight_decays=DECAYS, **options)
    tensors = {"weight": engine.weight, "bias": engine.bias}
    return Made(engine, [RATE] * len(DECAYS), len(labels), lambda: tensors)


def make_resnet(small: bool, device: str, precision: str = "float32") -> Made:
    _, labels, classes = like_glyphs(small)
    labels = labels[:FEW] if precision == "float64" else labels
    side = 8 if small else 32
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(classes, 1, side, side, generator=generator)
    noise = torch.randn(len(labels), 1, side, side, generator=generator)
    images = noise.add_(centres[labels]).mul_(40).add_(128).clamp_(0, 255).byte()
    kind = recipes.Kind("resnet-small", {})
    sgd = recipes.Kind("sgd", {"momentum": MOMENTUM, "nesterov": False})
    constant = recipes.Kind("constant", {})
    optimizer = recipes.Optimizer(sgd, NETWORK_RATE, constant, BATCH, 5, normalize="global")
    data, more = recipes.Data("generated", None), {"penalize_bias": True, "precision": precision}
    recipe = recipes.Training(data, "network", kind, optimizer, DECAY, seed=0, **more)
    built = networks.build(kind, (1, side, side), classes)
    split, constants = Split(images, labels, classes, {}), normalization_of(images, "global")
    engine = network.build(recipe, built, split, constants, device)
    return Made(engine, NETWORK_RATE, len(labels), engine.tensors)


MAKERS = {
    "linear": make_linear,
    "linear-path": make_path,
    "resnet-small": make_resnet,
    "resnet-small, float64": functools.partial(make_resnet, precision="float64"),
}


def train(made: Made, epochs: range) -> torch.Tensor:
    """Train some epochs; return their losses, (epochs · models,) float64."""
    losses = []
    for epoch in epochs:
        seen = made.engine.epoch(batch_order(0, epoch, made.images), made.rate)
        losses += [each.loss for each in (seen if isinstance(seen, list) else [seen])]
    return torch.tensor(losses, dtype=torch.float64)


def on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def deviation(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Return ‖a − b‖ / ‖b‖ over all trained tensors."""
    names = [name for name in a if "running" not in name and "num_batches" not in name]
    squares = [
        ((a[n].double() - b[n].double()).square().sum(), b[n].double().square().sum())
        for n in names
    ]
    apart, norm = (sum(each).item() for each in zip(*squares, strict=True))
    return (apart / norm) ** 0.5


def compare(device: str, small: bool) -> Iterator[Row]:
    """Train five epochs on the device, and five on the processor from equal weights."""
    for name, make in MAKERS.items():
        made = make(small, "cpu")
        losses, weights = train(made, range(1, 6)), on_cpu(made.tensors())
        for tf32 in (False, True) if name == "resnet-small" else (False,):
            torch.backends.cudnn.allow_tf32 = tf32
            other = make(small, device)
            found = train(other, range(1, 6))
            loss = ((found - losses).abs() / losses).max().item()
            weight = deviation(on_cpu(other.tensors()), weights)
            how = name + ", TF32" * tf32
            of_loss, of_weight = TOLERANCES[how]
            yield Row(
                f"{how}, 5 epochs, against the processor's",
                f"loss {loss:.1e}, weights {weight:.1e} apart",
                f"last loss {found[-1]:.4f}, the processor's {losses[-1]:.4f}",
                f"loss ≤ {of_loss:g}, weights ≤ {of_weight:g}",
                loss <= of_loss and weight <= of_weight,
            )


def resume(device: str, small: bool) -> Iterator[Row]:
    """Train two epochs, save, restore, and train two more, beside four."""
    for name, make in MAKERS.items():
        make_one = functools.partial(make, small, device)
        whole, half, rest, again = (make_one() for _ in range(4))
        train(whole, range(1, 5))
        train(again, range(1, 5))
        train(half, range(1, 3))
        saved, state = on_cpu(half.tensors()), on_cpu(half.engine.state())
        if name == "linear-path":
            models = range(len(DECAYS))
            rest.engine.restore([on_cpu(half.engine.tensors(i)) for i in models], state)
        else:
            rest.engine.restore(saved, state)
        train(rest, range(3, 5))
        resumed, repeated, four = (on_cpu(made.tensors()) for made in (rest, again, whole))
        same = all(torch.equal(resumed[key], four[key]) for key in four)
        apart, noise = deviation(resumed, four), deviation(repeated, four)
        yield Row(
            f"{name}, 2 + 2 epochs, resumed",
            "equal bytes" if same else f"weights {apart:.1e} apart",
            f"four epochs again: {noise:.1e} apart",
            "equal bytes, or as apart as four again",
            same or apart <= 2 * noise,
        )
