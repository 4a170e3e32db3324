"""Any classification network of torchvision: a body, and its last linear layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision import models

from cobaye.errors import ConfigError, nearest
from cobaye.models.networks import _layers

# It takes images only; networks without this take features too.
INPUT = "images"
# Modules that a study may name under `train_only` or `fresh`.
PARTS = ("body", "head")
EXAMPLE = {"model": "resnet18"}


@dataclass(frozen=True)
class Options:
    """Which network."""

    #: A name of `torchvision.models.list_models`, such as `resnet50`.
    model: str


class Classifier(nn.Module):
    """A network of torchvision cut at its last linear layer: `head` reads what `body` gives."""

    def __init__(self, network: nn.Module, head: str):
        super().__init__()
        linear = network.get_submodule(head)
        network.set_submodule(head, nn.Identity())
        self.body, self.head = network, linear

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of normalised images (N, 3, H, W)."""
        return self.head(self.body(images))


def build(options: Options, shape: tuple[int, ...], classes: int) -> Classifier:
    """Return the network with `classes` outputs, its weights as torchvision initialises them."""
    network = create(options.model, num_classes=classes)
    _layers.accept_one_image(network)
    return cut(network, options.model)


# Their side outputs serve only training from scratch; their pretrained weights expect ImageNet's
# normalisation changed to their own.
INCEPTIONS = ("googlenet", "inception_v3")
SIDE_OUTPUTS = ("AuxLogits.", "aux1.", "aux2.")


def create(name: str, **arguments: object) -> nn.Module:
    """Return a network of torchvision; an unknown name raises ConfigError with the nearest."""
    refuse_unknown(name)
    if name in INCEPTIONS:
        arguments |= {"aux_logits": False, "transform_input": True, "init_weights": True}
    return models.get_model(name, **arguments)


def refuse_unknown(name: str) -> None:
    """Raise ConfigError for a name that torchvision does not know, with the nearest one."""
    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(f"model: no torchvision network {name!r}: {nearest(name, known)}")


def cut(network: nn.Module, name: str) -> Classifier:
    """Return a network cut at the linear layer whose output is the network's own.

    Raises ConfigError where there is none (SqueezeNet ends in a convolution).
    """
    calls: list[tuple[str, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda _, __, output, key=key: calls.append((key, output)))
        for key, module in network.named_modules()
        if isinstance(module, nn.Linear)
    ]
    training = network.training
    size = min_size(name)
    # Tensors without values: nothing is computed.
    state = {key: tensor.to("meta") for key, tensor in network.state_dict().items()}
    with torch.inference_mode():
        image = torch.zeros(1, 3, size, size, device="meta")
        logits = torch.func.functional_call(network.eval(), state, (image,))
    network.train(training)
    for hook in hooks:
        hook.remove()
    if not calls or calls[-1][1] is not logits:
        raise ConfigError(
            f"{name}: its last layer is not linear, so it has no penultimate features"
        )
    return Classifier(network, calls[-1][0])


def min_size(name: str) -> int:
    """Return a size of image that a network takes: that of its default weights."""
    return models.get_model_weights(name).DEFAULT.transforms().crop_size[0]
