"""A finished run, opened: its weights after each kept epoch, its network, a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from cobaye import objective, recipes
from cobaye.data.normalization import without_normalization
from cobaye.data.splits import Split
from cobaye.models import scoring
from cobaye.storage import checkpoints, manifests, paths


@dataclass(frozen=True)
class Inside:
    """A finished run, as an analysis of single runs takes it.

    folder: of the run. trained: the manifest of its training. model: the network's kind and
    options. loss: the loss that it minimised. state: one of `paths.STATES`. split: the data that
    the analysis reads, if any.
    """

    folder: Path
    trained: manifests.Manifest
    model: recipes.Kind
    loss: objective.Loss
    state: str
    split: Split | None
    device: str = "cpu"

    @property
    def last(self) -> int:
        """The number of the last epoch."""
        return self.trained.info["epochs"]

    @property
    def kept(self) -> list[int]:
        """The epochs that have a checkpoint, rising: 0, the last, and what the study keeps."""
        return manifests.kept_epochs(self.trained)

    @property
    def epoch(self) -> int:
        """The epoch of the state."""
        return 0 if self.state == "initial" else self.last

    def tensors(self, epoch: int) -> dict[str, torch.Tensor]:
        """Return the network's parameters and buffers after an epoch, checked, on the CPU."""
        return without_normalization(self._checkpoint(epoch))[0]

    def forward(self) -> tuple[torch.nn.Module, Callable[[torch.Tensor], torch.Tensor]]:
        """Return the network, for evaluation, and a function from raw inputs to the network's."""
        if self.split is None:
            raise ValueError("an analysis that has a forward pass reads a split")
        shape, classes = tuple(self.split.inputs.shape[1:]), self.split.classes
        forward = scoring.Forward(self.model, shape, classes, self.device)
        forward.load(tensors := self._checkpoint(self.epoch))
        _, normalization = without_normalization(tensors)
        if normalization is None:
            return forward.network, lambda rows: rows.to(self.device).float()
        normalization = normalization.to(self.device)
        return forward.network, lambda rows: normalization(rows.to(self.device))

    def _checkpoint(self, epoch: int) -> dict[str, torch.Tensor]:
        name = f"checkpoints/{paths.checkpoint(epoch)}"
        return checkpoints.load(self.trained.check(self.folder, name))
