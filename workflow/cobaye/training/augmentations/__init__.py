"""Augmentations: random changes of training images, whole batches at a time; one kind per file.

In: a batch of images and a random generator. Out: the changed batch.

A kind is a file here: ``Options`` and ``augment(images, options, generator)``, from images
(B, C, H, W) of 0 … 255, uint8 or float32, on any device, to such images of the same shape, never
written to. The draws differ from image to image. ``generator`` is on the CPU, so that they are the
same wherever the images are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cobaye import kinds, recipes

if TYPE_CHECKING:
    import torch


class Augmentation:
    """A list of kinds, applied one after another."""

    def __init__(self, asked: Sequence[recipes.Kind]):
        self.steps = [
            (
                kinds.load("augmentations", each.kind).augment,
                recipes.parse(kinds.options("augmentations", each.kind), each.options),
            )
            for each in asked
        ]

    def __call__(self, images: torch.Tensor, seed: int) -> torch.Tensor:
        """Return a batch of images changed at random: a function of images and seed alone."""
        import torch  # `_options`, in this package, is read without it

        generator = torch.Generator().manual_seed(seed)
        for augment, options in self.steps:
            images = augment(images, options, generator)
        return images
