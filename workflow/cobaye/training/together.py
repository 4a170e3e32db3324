"""Runs trained together in one process; each leaves the files that it would leave alone.

They share their batches: equal data, seed, batch size, epochs, depth, activation. Features on a
disk are then read once per epoch for all of them. What a killed
process needs to go on lies in ``results/<study>/together/<group>/.resume/``: each run's
checkpoints, and a `journal` with a line per epoch. Those are written without fsync, which would
cost more than the training; the published files get theirs, all at once, before the manifest of
their run.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from tqdm import tqdm

from cobaye import kinds, objective, recipes
from cobaye.data import splits
from cobaye.data.normalization import fit_normalization, without_normalization
from cobaye.models import networks, scoring
from cobaye.objective import matmul
from cobaye.storage import checkpoints, files, journal, manifests, paths, resume
from cobaye.storage.jobs import Job
from cobaye.training import engines, history, phases, publishing, stopping
from cobaye.training.loop import batch_order, say


def train_together(job: Job) -> list[Path]:
    """Train runs from their last complete epoch, if they were begun; return their manifests.

    job.recipe: {"runs": of each, identity, recipe and code}. job.identity: {"study", "group"}. A
    run that diverges ends there, with its reason; the others go on.
    """
    told = [recipes.parse(recipes.Training, run["recipe"]) for run in job.recipe["runs"]]
    with resume.lock(job.root / paths.TOGETHER.format(**job.identity)) as scratch:
        split = splits.load_for(job, told[0].data, ["train"])["train"]
        state = {"format": manifests.FORMAT, **job.recipe, "data": split.manifest}
        loop = _Loop(told, split, job.device, scratch)
        loop.run(journal.Journal(scratch, files.digest(state)))
        shared = {**job.identity, "runs": len(told)}
        circumstances = {"device": job.device, "start": {}, "together": shared}
        published = []
        for run, trained in zip(job.recipe["runs"], loop.runs, strict=True):
            alone = dataclasses.replace(job, stage="train", **run, inputs=split.manifest)
            journal.sync(sorted((trained.folder / resume.CHECKPOINTS).iterdir()))
            published.append(
                publishing.publish(
                    alone,
                    trained.folder,
                    trained.progress,
                    circumstances,
                    trained.penalty(),
                    class_losses=np.array(trained.class_losses),
                )
            )
        return published


class _Run:
    """One of the runs, and how far it has come."""

    def __init__(self, recipe: recipes.Training, folder: Path):
        self.recipe, self.folder = recipe, folder
        self.progress = resume.Progress()
        self.history: list[history.Row] = []
        # A row per epoch, (K,) each, from an engine that tells the loss of each image.
        self.class_losses: list[np.ndarray] = []

    def line(
        self,
        epoch: int,
        means: engines.Epoch | None,
        rate: float,
        tensors: Mapping[str, torch.Tensor],
    ) -> str:
        """Return the row of history.csv of an epoch."""
        l1, l2 = engines.norms(tensors.values())
        row = {"epoch": epoch, "learning_rate": rate, "weight_l1": l1, "weight_l2": l2}
        if means is not None:
            row |= {key: getattr(means, key) for key in ("loss", "penalty", "accuracy")}
            row["objective"] = means.loss + means.penalty
        return history.line(row)

    def add(self, epoch: int, seconds: float, entry: Mapping[str, Any]) -> None:
        """Take in an epoch's entry of the journal."""
        self.progress.epoch = epoch
        self.progress.rows.append(entry["row"])
        self.progress.checkpoints[paths.checkpoint(epoch)] = entry["checkpoint"]
        if epoch > 0:
            self.progress.seconds.append(seconds)
            if "class_losses" in entry:
                self.class_losses.append(np.frombuffer(bytes.fromhex(entry["class_losses"])))
            self.history += history.parsed([entry["row"]])
            self.progress.stopped = stopping.reason(self.recipe.optimizer, self.history)

    def parameters(self) -> dict[str, torch.Tensor]:
        """Return the last weights by name, without the constants of a normalisation."""
        return without_normalization(checkpoints.load(self.place(self.progress.epoch)))[0]

    def penalty(self) -> float:
        """Return λ/2 ‖θ‖² of the last weights."""
        return float(
            objective.penalty(
                self.parameters(), self.recipe.weight_decay, penalize_bias=self.recipe.penalize_bias
            )
        )

    def place(self, epoch: int) -> Path:
        """Return where the checkpoint of an epoch lies until it is published."""
        return self.folder / resume.CHECKPOINTS / paths.checkpoint(epoch)


class _Loop:
    """The epochs of runs trained together."""

    def __init__(
        self,
        training: Sequence[recipes.Training],
        split: splits.Split,
        device: str,
        folder: Path,
    ):
        self.folder, self.images = folder, len(split.labels)
        self.labels, self.classes = split.labels.numpy(), split.classes
        self.runs = [_Run(recipe, folder / f"run-{i:03d}") for i, recipe in enumerate(training)]
        normalization = fit_normalization(split, training[0].optimizer)
        self.constants = normalization.tensors() if normalization else {}
        shape = tuple(split.inputs.shape[1:])
        built = [networks.build(each.model, shape, split.classes, each.seed) for each in training]
        make = kinds.load("engines", training[0].engine).build_together
        self.engine = make(training, built, split, normalization, device)

    def run(self, log: journal.Journal) -> None:
        """Bring every run to its end."""
        done = self._restored(log)
        with matmul.library(done[0]["products"] if done else None) as self.products:
            self._train(log, self._go_on(log, done))

    def _train(self, log: journal.Journal, epoch: int) -> None:
        """Train from an epoch on."""
        first = self.runs[0].recipe
        with tqdm(total=first.optimizer.epochs, initial=epoch, unit="epoch") as bar:
            while any(run.progress.stopped is None for run in self.runs):
                epoch += 1
                start = time.perf_counter()
                shuffle = first.optimizer.shuffle
                order = batch_order(first.seed, epoch, self.images, shuffle)
                rates = [
                    phases.learning_rate(run.recipe.optimizer, epoch, run.history)
                    for run in self.runs
                ]
                means = self.engine.epoch(order, rates)
                self._commit(log, epoch, time.perf_counter() - start, means, rates)
                bar.update()

    def _restored(self, log: journal.Journal) -> list[journal.Record]:
        """Return the records whose files are whole, those of the optimizer included."""
        done = log.restore(self._is_whole)
        if done and "state" in done[-1]:
            last = self.folder / _state(len(done) - 1)
            if not journal.is_whole(last, done[-1]["state"]):
                return log.restore(lambda record: False)
        return done

    def _go_on(self, log: journal.Journal, done: Sequence[journal.Record]) -> int:
        """Return the last complete epoch, everything being as after it; begin if there is none."""
        for record in done:
            self._take_in(record)
        if not done:
            self._commit(log, 0, 0.0, [None] * len(self.runs), [0.0] * len(self.runs))
            return 0
        tensors = [run.parameters() for run in self.runs]
        last = self.folder / _state(len(done) - 1)
        state = checkpoints.load(last) if "state" in done[-1] else {}
        self.engine.restore(tensors, state)
        for run in self.runs:
            run.progress.resumed_from.append(len(done) - 1)
        say(f"resumed after epoch {len(done) - 1}")
        return len(done) - 1

    def _commit(
        self,
        log: journal.Journal,
        epoch: int,
        seconds: float,
        means: Sequence[engines.Epoch | None],
        rates: Sequence[float],
    ) -> None:
        """Write the checkpoint of each run that goes on, then the line that names them."""
        record: dict[str, Any] = {"epoch": epoch, "seconds": round(seconds, 6), "runs": {}}
        record["products"] = self.products
        for number, run in enumerate(self.runs):
            if run.progress.stopped is None:
                tensors = self.engine.tensors(number)
                record["runs"][str(number)] = {
                    "row": run.line(epoch, means[number], rates[number], tensors),
                    "checkpoint": _write(run.place(epoch), {**tensors, **self.constants}),
                    **self._class_losses(run.recipe, means[number]),
                }
        if state := self.engine.state():
            record["state"] = _write(self.folder / _state(epoch), state)
            # The two before stay: the last line may yet turn out torn.
            (self.folder / _state(epoch - 3)).unlink(missing_ok=True)
        log.append(record)
        self._take_in(record)

    def _class_losses(
        self, recipe: recipes.Training, means: engines.Epoch | None
    ) -> dict[str, str]:
        """Return the mean loss of each class in an epoch as the journal keeps it, exactly."""
        if not recipe.class_losses or means is None or means.losses is None:
            return {}
        each = scoring.per_class(self.labels, means.losses.numpy(), self.classes)
        return {"class_losses": each.tobytes().hex()}

    def _take_in(self, record: journal.Record) -> None:
        for number, entry in record["runs"].items():
            run = self.runs[int(number)]
            run.progress.products = record["products"]
            run.add(record["epoch"], record["seconds"], entry)

    def _is_whole(self, record: journal.Record) -> bool:
        return all(
            journal.is_whole(self.runs[int(n)].place(record["epoch"]), entry["checkpoint"])
            for n, entry in record["runs"].items()
        )


def _state(epoch: int) -> str:
    return f"state-{epoch:03d}.safetensors"


def _write(path: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return journal.write(path, safetensors.torch.save(contiguous))
