"""The one training loop: epochs, checkpoints, history, and the reason why it stopped.

Whatever computes an epoch (`engines`), the loop is the same: order of the images, learning rate,
epoch, checkpoint, commit. All randomness is a function of (seed, epoch), never carried, and what
depends on epochs before is read off their committed rows, so a resumed run is the same run.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from cobaye import kinds, recipes
from cobaye.data import splits
from cobaye.data.normalization import fit_normalization
from cobaye.models import scoring, starts
from cobaye.objective import matmul
from cobaye.randomness import derived_seed
from cobaye.storage import manifests, resume
from cobaye.storage.jobs import Job
from cobaye.training import commits, engines, origins, phases, publishing

# Of a `blocks` order: 256 rows of 2,048 float32 are 2 MiB, a window of 64 such runs 128 MiB.
BLOCK, WINDOW = 256, 64


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
        told = {
            "format": manifests.FORMAT,
            "identity": job.identity,
            "recipe": recipes.plain(recipe),
            "code": job.code,
            "data": job.inputs,
        }
        run = commits.Run(recipe, scratch, split)
        log = commits.Commits(scratch, told, [run])
        loop = _Loop(run, log, network, split, val, device)
        with matmul.library(log.products) as log.products:
            loop.train(neighbour)
        circumstances, penalty = {"device": device, "start": started}, loop.engine.penalty()
        info = {"recipe": recipes.plain(recipe), "origin": origin.values} if origin else None
        return publishing.publish(job, run, circumstances, penalty, info)


class _Loop:
    """The epochs of one run, committed one by one to its resume folder."""

    def __init__(
        self,
        run: commits.Run,
        log: commits.Commits,
        network: torch.nn.Module,
        split: splits.Split,
        val: splits.Split | None,
        device: str,
    ):
        recipe = run.recipe
        self.run, self.log, self.recipe = run, log, recipe
        self.images, self.val, self.device = len(split.labels), val, device
        normalization = fit_normalization(split, recipe.optimizer)
        self.constants = normalization.tensors() if normalization else {}
        self.engine = engines.build(recipe, network, split, normalization, device)
        shape = tuple(split.inputs.shape[1:])
        self.forward = val and scoring.Forward(recipe.model, shape, split.classes, device)

    def train(self, warm_start: dict[str, torch.Tensor]) -> None:
        """Train until there is a reason to stop; `warm_start`, if any, replaces initial weights."""
        if self.log.resumed:
            say(f"resumed after epoch {self.run.epoch}")
            self.engine.enter(phases.number(self.recipe.optimizer, self.run.epoch))
            self._restore(self.run.last(), self.log.state)
        else:
            if warm_start:
                self._restore(warm_start, {})
            self._commit(0.0, {"learning_rate": 0.0})
        epochs, done = self.recipe.optimizer.epochs, self.run.epoch
        with tqdm(total=epochs, initial=done, unit="epoch") as bar:
            while self.run.stopped is None:
                means = self._epoch(self.run.epoch + 1)
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
        rate = phases.learning_rate(optimizer, epoch, self.run.history)
        order = batch_order(self.recipe.seed, epoch, self.images, optimizer.shuffle)
        # All that is random in an epoch (dropout, augmentation) follows from this. Not by
        # torch.manual_seed, which formats a traceback for each kind of device that is not there.
        seed = derived_seed("dropout", self.recipe.seed, epoch)
        torch.default_generator.manual_seed(seed)
        if self.device != "cpu":
            torch.cuda.manual_seed(seed)
        means = self.engine.epoch(order, rate)
        row = {"learning_rate": rate, **self._on_val()}
        self._commit(time.perf_counter() - start, row, means)
        return means

    @torch.inference_mode()
    def _on_val(self) -> dict[str, float]:
        """Return what the present weights score on val, if the recipe asks for it."""
        if self.val is None:
            return {}
        logits = self.forward.load({**self.engine.tensors(), **self.constants})
        loss, accuracy = scoring.means(logits, self.val, self.device, self.recipe.loss)
        return {"val_loss": loss, "val_accuracy": accuracy}

    def _commit(
        self, seconds: float, row: dict[str, float], means: engines.Epoch | None = None
    ) -> None:
        epoch, tensors = self.run.epoch + 1, {**self.engine.tensors(), **self.constants}
        said = self.run.write(epoch, row, means, self.engine.parameters(), tensors)
        self.log.commit(seconds, {0: said}, self.engine.state())


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
