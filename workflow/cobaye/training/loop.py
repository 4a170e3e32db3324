"""The one training loop: epochs, checkpoints, history, and the reason why it stopped.

Whatever computes an epoch (`engines`), the loop is the same: order of the images, learning rate,
epoch, checkpoint, commit. All randomness is a function of (seed, epoch), never carried, and what
depends on epochs before is read off their committed rows, so a resumed run is the same run.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from cobaye import kinds, recipes
from cobaye.data import splits
from cobaye.data.normalization import fit_normalization
from cobaye.models import scoring, starts
from cobaye.objective import matmul
from cobaye.randomness import derived_seed
from cobaye.storage import checkpoints, manifests, paths, resume
from cobaye.storage.jobs import Job
from cobaye.training import engines, history, origins, phases, publishing, stopping

# Of a `blocks` order: 256 rows of 2,048 float32 are 2 MiB, a window of 64 such runs 128 MiB.
BLOCK, WINDOW = 256, 64
# Beside the optimizer's tensors in the resume state.
CLASS_LOSSES = "class_losses"


def train(job: Job) -> Path:
    """Train one run, from its last complete epoch if it was begun; return its manifest.

    job.recipe: a plain `recipes.Training`, or what an origin resolves to one. Writes checkpoints/,
    history.csv, run.json and, last, train.json. A run whose loss or weights are no longer finite
    stops there and says so: a result, not an error.
    """
    recipe, origin = origins.resolve(job)
    device = kinds.constant("engines", recipe.engine, "DEVICE", job.device)
    with resume.lock(job.folder) as scratch:
        split = splits.join_for(job, recipe.data, recipe.train_on)
        looks = ["val"] if recipe.optimizer.reads_val else []
        val = splits.load_for(job, recipe.data, looks).get("val")
        neighbour = starts.neighbour(recipe, job)
        network, started = starts.network(recipe, split, job)
        fingerprint = {
            "format": manifests.FORMAT,
            "identity": job.identity,
            "recipe": recipes.plain(recipe),
            "code": job.code,
            "data": job.inputs,
        }
        progress, state = resume.load(scratch, fingerprint, say)
        loop = _Loop(recipe, network, split, val, device, scratch, fingerprint, progress)
        with matmul.library(progress.products) as progress.products:
            loop.run(neighbour, state)
        circumstances, penalty = {"device": device, "start": started}, loop.engine.penalty()
        info = {"recipe": recipes.plain(recipe), "origin": origin.values} if origin else None
        means = loop.class_losses.numpy()
        return publishing.publish(job, scratch, progress, circumstances, penalty, info, means)


class _Loop:
    """The epochs of one run, committed one by one to its resume folder."""

    def __init__(
        self,
        recipe: recipes.Training,
        network: torch.nn.Module,
        split: splits.Split,
        val: splits.Split | None,
        device: str,
        folder: Path,
        fingerprint: dict[str, Any],
        progress: resume.Progress,
    ):
        self.recipe, self.progress = recipe, progress
        self.folder, self.fingerprint = folder, fingerprint
        self.labels, self.val, self.device = split.labels, val, device
        # A row per epoch, once recorded.
        self.class_losses = torch.empty(0, split.classes, dtype=torch.float64)
        normalization = fit_normalization(split, recipe.optimizer)
        self.constants = normalization.tensors() if normalization else {}
        self.engine = engines.build(recipe, network, split, normalization, device)
        shape = tuple(split.inputs.shape[1:])
        self.forward = val and scoring.Forward(recipe.model, shape, split.classes, device)
        # Epoch 0, the initial weights, is not one that was trained.
        self.history = history.parsed(progress.rows)[1:]

    def run(self, warm_start: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
        """Train until there is a reason to stop; `warm_start`, if any, replaces initial weights."""
        done = self.progress.epoch
        if done < 0:
            if warm_start:
                self._restore(warm_start, {})
            self._commit({"epoch": 0, "learning_rate": 0.0})
        else:
            self.progress.resumed_from.append(done)
            say(f"resumed after epoch {done}")
            self.engine.enter(phases.number(self.recipe.optimizer, done))
            self.class_losses = state.pop(CLASS_LOSSES, self.class_losses)
            self._restore(resume.last_checkpoint(self.folder, self.progress), state)
        epochs, done = self.recipe.optimizer.epochs, self.progress.epoch
        with tqdm(total=epochs, initial=done, unit="epoch") as bar:
            while self.progress.stopped is None:
                means = self._epoch(self.progress.epoch + 1)
                bar.set_postfix(
                    refresh=False, loss=f"{means.loss:.4f}", accuracy=f"{means.accuracy:.4f}"
                )
                bar.update()

    def _restore(self, tensors: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
        parameters = {name: t for name, t in tensors.items() if name not in self.constants}
        self.engine.restore(parameters, state)

    def _epoch(self, epoch: int) -> engines.Epoch:
        start, optimizer = time.perf_counter(), self.recipe.optimizer
        self.engine.enter(phases.number(optimizer, epoch))
        rate = phases.learning_rate(optimizer, epoch, self.history)
        order = batch_order(self.recipe.seed, epoch, len(self.labels), optimizer.shuffle)
        # All that is random in an epoch (dropout, augmentation) follows from this.
        torch.manual_seed(derived_seed("dropout", self.recipe.seed, epoch))
        means = self.engine.epoch(order, rate)
        row = {
            "epoch": epoch,
            "loss": means.loss,
            "penalty": means.penalty,
            "objective": means.loss + means.penalty,
            "accuracy": means.accuracy,
            "learning_rate": rate,
            **self._on_val(),
        }
        if self.recipe.class_losses and means.losses is not None:
            self._record_classes(means.losses)
        self.progress.seconds.append(round(time.perf_counter() - start, 6))
        self._commit(row, means)
        return means

    def _record_classes(self, losses: torch.Tensor) -> None:
        """Add an epoch's row of `class_losses`; losses: (N,), of each image when it was visited."""
        classes = self.class_losses.shape[1]
        means = scoring.per_class(self.labels.numpy(), losses.numpy(), classes)
        self.class_losses = torch.cat([self.class_losses, torch.from_numpy(means)[None]])

    @torch.inference_mode()
    def _on_val(self) -> dict[str, float]:
        """Return what the present weights score on val, if the recipe asks for it."""
        if self.val is None:
            return {}
        logits = self.forward.load({**self.engine.tensors(), **self.constants})
        loss, accuracy = scoring.means(logits, self.val, self.device, self.recipe.loss)
        return {"val_loss": loss, "val_accuracy": accuracy}

    def _commit(self, row: dict[str, float], means: engines.Epoch | None = None) -> None:
        """Add an epoch's row and checkpoint, and the reason to stop after it, if there is one."""
        progress, epoch = self.progress, row["epoch"]
        l1, l2 = engines.norms(self.engine.parameters())
        row = {**row, "weight_l1": l1, "weight_l2": l2}
        steps = means.steps if means else ()
        progress.rows += map(history.line, [step.named() for step in steps] or [row])
        if epoch > 0:
            self.history += history.parsed([history.line(row)])
            progress.stopped = stopping.reason(self.recipe.optimizer, self.history)
            progress.certificate = means.certificate
            if means.stopped and stopping.is_finite(progress.stopped):
                progress.stopped = means.stopped
        progress.epoch, name = epoch, paths.checkpoint(epoch)
        progress.checkpoints[name] = checkpoints.save(
            self.folder / resume.CHECKPOINTS / name, {**self.engine.tensors(), **self.constants}
        )
        if epoch > 0 and not recipes.keeps(self.recipe.keep, epoch - 1):
            progress.checkpoints.pop(paths.checkpoint(epoch - 1))
        state = {**self.engine.state()}
        if len(self.class_losses):
            state[CLASS_LOSSES] = self.class_losses
        progress.save(self.folder, self.fingerprint, state)


def batch_order(seed: int, epoch: int, images: int, shuffle: str = "full") -> torch.Tensor:
    """Return the order of an epoch's images, (N,) int64: of (seed, epoch, N, shuffle) alone.

    ``blocks`` is for features on a disk: they are read in runs of BLOCK rows, WINDOW runs from
    random places at a time, whose rows are shuffled together.
    """
    generator = torch.Generator().manual_seed(derived_seed("order", seed, epoch))
    if shuffle == "full":
        return torch.randperm(images, generator=generator)
    blocks = torch.arange(images).split(BLOCK)
    places = torch.randperm(len(blocks), generator=generator).split(WINDOW)
    windows = [torch.cat([blocks[i] for i in window.tolist()]) for window in places]
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)] for rows in windows])


def say(message: str) -> None:
    """Say something in the log."""
    print(message, file=sys.stderr, flush=True)
