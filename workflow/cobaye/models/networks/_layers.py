"""What several networks are made of: batch norm, initial weights, resizing."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
Initialization = Literal["default", "he", "glorot", "uniform"]
UNIFORM_LIMIT = 0.05


class BatchNorm1d(nn.BatchNorm1d):
    """torch's, but a batch of one image, which has no variance, is normalised as in evaluation."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs (N, C) normalised."""
        return super().forward(inputs) if _has_variance(self, inputs) else _by_running(self, inputs)


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, but one image of one pixel, which has no variance, is normalised as in evaluation.

    The last batch of an epoch may be such, and torch refuses it.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs (N, C, H, W) normalised."""
        return super().forward(inputs) if _has_variance(self, inputs) else _by_running(self, inputs)


def accept_one_image(network: nn.Module) -> None:
    """Make torch's batch norms of images in a network those of this module."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = BatchNorm2d


def _has_variance(module: nn.Module, inputs: Tensor) -> bool:
    return not module.training or inputs.numel() > inputs.shape[1]


def _by_running(module: nn.Module, inputs: Tensor) -> Tensor:
    return nn.functional.batch_norm(
        inputs, module.running_mean, module.running_var, module.weight, module.bias, eps=module.eps
    )


def initialize(network: nn.Module, how: Initialization) -> None:
    """Draw the weights of all linear layers and convolutions anew; biases become zero.

    he: uniform in ±√(6 / fan-in); glorot: in ±√(6 / (fan-in + fan-out)); uniform: in ±0.05 (as
    Keras's). default: nothing is done, weights and biases stay uniform in ±1/√fan-in as torch draws
    them.
    """
    if how == "default":
        return
    for module in network.modules():
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        if how == "he":
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        elif how == "glorot":
            nn.init.xavier_uniform_(module.weight)
        else:
            nn.init.uniform_(module.weight, -UNIFORM_LIMIT, UNIFORM_LIMIT)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def resized(images: Tensor, size: int | None) -> Tensor:
    """Return images (N, C, H, W) as squares of `size` pixels, by bilinear interpolation.

    None: as they are. Shrinking is smoothed first, as torchvision's own resizing is.
    """
    if size is None or images.shape[2:] == (size, size):
        return images
    return nn.functional.interpolate(
        images, (size, size), mode="bilinear", align_corners=False, antialias=True
    )
