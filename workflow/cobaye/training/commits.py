"""Runs in training, as far as they are committed: checkpoints, and a line per epoch of a journal.

A resume folder is that of one run, or of runs trained together; `storage.journal` says what a kill
and a power failure leave.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cobaye import recipes
from cobaye.data import splits
from cobaye.models import scoring
from cobaye.storage import checkpoints, files, journal, paths
from cobaye.storage.resume import CHECKPOINTS
from cobaye.training import engines, history, stopping


class Run:
    """A run, its last committed epoch, and what history.csv, run.json and the manifest will say.

    Attributes
    ----------
    epoch, stopped
        the last one, -1 before the initial weights are committed; why it is the last, if it is
    rows
        lines of history.csv
    checkpoints
        file name → manifest entry, of those that stay
    seconds
        per epoch
    resumed_from
        the epochs after which a killed process was followed
    certificate
        what the engine proves about the last weights
    products
        the library that it multiplies by (`objective.matmul.library`)
    history
        a row per epoch
    class_losses
        (K,) float64 per epoch that an engine told the loss of each image of
    """

    def __init__(self, recipe: recipes.Training, folder: Path, split: splits.Split):
        self.recipe, self.folder = recipe, folder
        self._labels, self._classes = split.labels.numpy(), split.classes
        self.epoch = -1
        self.stopped: str | None = None
        self.rows: list[str] = []
        self.checkpoints: dict[str, Any] = {}
        self.seconds: list[float] = []
        self.resumed_from: list[int] = []
        self.certificate: dict[str, Any] = {}
        self.products: str | None = None
        self.history: list[history.Row] = []
        self.class_losses: list[np.ndarray] = []

    def write(
        self,
        epoch: int,
        row: Mapping[str, float],
        means: engines.Epoch | None,
        parameters: Sequence[torch.Tensor],
        tensors: Mapping[str, torch.Tensor],
    ) -> dict[str, Any]:
        """Write an epoch's checkpoint; return what its line says.

        row: what history.csv says beside the weights' norms and `means`, which is None for the
        initial weights. tensors: what a checkpoint stores.
        """
        l1, l2 = engines.norms(parameters)
        rows = [{"epoch": epoch, "weight_l1": l1, "weight_l2": l2, **row}]
        if means is not None:
            rows[0] |= {key: getattr(means, key) for key in ("loss", "penalty", "accuracy")}
            rows[0]["objective"] = means.loss + means.penalty
            rows = [step.named() for step in means.steps] or rows
        said: dict[str, Any] = {"rows": [history.line(each) for each in rows]}
        if means is not None:
            said |= self._conclusions(history.parsed(said["rows"][-1:]), means)
        data = checkpoints.encoded(tensors)
        return {**said, "checkpoint": journal.write(self.place(epoch), data)}

    def _conclusions(self, last: list[history.Row], means: engines.Epoch) -> dict[str, Any]:
        """Return why the run stops after its last row, and what an engine tells beside that."""
        reason = stopping.reason(self.recipe.optimizer, [*self.history, *last])
        if means.stopped and stopping.is_finite(reason):
            reason = means.stopped
        said: dict[str, Any] = {"stopped": reason}
        if means.certificate:
            said["certificate"] = means.certificate
        if self.recipe.class_losses and means.losses is not None:
            each = scoring.per_class(self._labels, means.losses.numpy(), self._classes)
            said["class_losses"] = each.tobytes().hex()
        return said

    def add(self, epoch: int, seconds: float, said: Mapping[str, Any]) -> None:
        """Take in what the line of an epoch says of this run."""
        self.rows += said["rows"]
        if epoch > 0:
            self.seconds.append(seconds)
            self.history += history.parsed(said["rows"][-1:])
            self.stopped = said["stopped"]
            self.certificate = said.get("certificate", {})
            if "class_losses" in said:
                self.class_losses.append(np.frombuffer(bytes.fromhex(said["class_losses"])))
            if not recipes.keeps(self.recipe.keep, self.epoch):
                self.checkpoints.pop(paths.checkpoint(self.epoch))
        self.checkpoints[paths.checkpoint(epoch)] = said["checkpoint"]
        self.epoch = epoch

    def place(self, epoch: int) -> Path:
        """Return where the checkpoint of an epoch lies until it is published."""
        return self.folder / CHECKPOINTS / paths.checkpoint(epoch)

    def last(self) -> dict[str, torch.Tensor]:
        """Return the tensors of the last checkpoint."""
        return checkpoints.load(self.place(self.epoch))


class Commits:
    """The epochs of one run or several, committed one by one to a resume folder.

    told: what is trained. epoch: the last committed one. resumed: whether there was one to go on
    from; `state` then holds the optimizer's tensors after it.
    """

    def __init__(self, folder: Path, told: Mapping[str, Any], runs: Sequence[Run]):
        self.folder, self.runs = folder, runs
        self.journal = journal.Journal(folder, told)
        self.epoch, self.products = -1, None
        self.state: dict[str, torch.Tensor] = {}
        records = self.journal.restore(self._wrong)
        for record in records:
            self._take_in(record)
        self.resumed = bool(records)
        if self.resumed:
            if "state" in records[-1]:
                self.state = checkpoints.load(self._state(self.epoch))
            for run in runs:
                run.resumed_from.append(self.epoch)
            for epoch in range(self.epoch - 1):
                self._tidy(epoch)

    def commit(
        self, seconds: float, said: Mapping[int, Any], state: Mapping[str, torch.Tensor]
    ) -> None:
        """Commit the next epoch: its optimizer's state, then the line that names all files of it.

        said: what `Run.write` returned, of each run by number that has not stopped.
        """
        epoch = self.epoch + 1
        record: dict[str, Any] = {
            "epoch": epoch,
            "seconds": round(seconds, 6),
            "products": self.products,
            "runs": {str(number): each for number, each in said.items()},
        }
        if state:
            data = checkpoints.encoded(state)
            record["state"] = journal.write(self._state(epoch), data)
        if self.resumed:
            record["resumed"], self.resumed = True, False
        self.journal.append(record)
        self._take_in({**record, "resumed": False})
        # The one before stays: the last line may yet turn out not whole.
        self._tidy(epoch - 2)

    def _take_in(self, record: journal.Record) -> None:
        for run in self.runs:
            run.products = record["products"]
            if record.get("resumed"):
                run.resumed_from.append(self.epoch)
        self.epoch, self.products = record["epoch"], record["products"]
        for number, said in record["runs"].items():
            self.runs[int(number)].add(self.epoch, record["seconds"], said)

    def _wrong(self, record: journal.Record, is_last: bool) -> Path | None:
        """Return a file that is not as a record says, of those that training needs."""
        epoch = record["epoch"]
        named = []
        if is_last and "state" in record:
            named.append((self._state(epoch), record["state"]))
        for number, said in record["runs"].items():
            run = self.runs[int(number)]
            if is_last or said.get("stopped") or recipes.keeps(run.recipe.keep, epoch):
                named.append((run.place(epoch), said["checkpoint"]))
        wrong = itertools.filterfalse(lambda each: journal.is_whole(*each), named)
        return next((place for place, _ in wrong), None)

    def _tidy(self, epoch: int) -> None:
        """Remove what an epoch left and nothing needs."""
        files.remove(self._state(epoch))
        for run in self.runs:
            if paths.checkpoint(epoch) not in run.checkpoints:
                files.remove(run.place(epoch))

    def _state(self, epoch: int) -> Path:
        return self.folder / f"state-{epoch:03d}.safetensors"
