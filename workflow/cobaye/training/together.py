"""Runs trained together in one process; each leaves the files that it would leave alone.

They share their batches: equal data, seed, batch size, epochs, depth, activation. Features on a
disk are then read once per epoch for all of them. What a killed process needs to go on lies in
``results/<study>/together/<group>/.resume/``.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from cobaye import kinds, objective, recipes
from cobaye.data import splits
from cobaye.data.normalization import fit_normalization, without_normalization
from cobaye.models import networks
from cobaye.objective import matmul
from cobaye.storage import manifests, paths, resume
from cobaye.storage.jobs import Job
from cobaye.training import commits, engines, phases, publishing
from cobaye.training.loop import batch_order, say


def train_together(job: Job) -> list[Path]:
    """Train runs from their last complete epoch, if they were begun; return their manifests.

    job.recipe: {"runs": of each, identity, recipe and code}. job.identity: {"study", "group"}. A
    run that diverges ends there, with its reason; the others go on.
    """
    training = [recipes.parse(recipes.Training, run["recipe"]) for run in job.recipe["runs"]]
    with resume.lock(job.root / paths.TOGETHER.format(**job.identity)) as scratch:
        split = splits.load_for(job, training[0].data, ["train"])["train"]
        numbered = {str(number): run for number, run in enumerate(job.recipe["runs"])}
        told = {"format": manifests.FORMAT, "runs": numbered, "data": split.manifest}
        runs = [
            commits.Run(recipe, scratch / f"run-{i:03d}", split)
            for i, recipe in enumerate(training)
        ]
        log = commits.Commits(scratch, told, runs)
        loop = _Loop(runs, log, split, job.device)
        with matmul.library(log.products) as log.products:
            loop.train()
        shared = {**job.identity, "runs": len(runs)}
        circumstances = {"device": job.device, "start": {}, "together": shared}
        published = []
        for told_of_run, run in zip(job.recipe["runs"], runs, strict=True):
            alone = dataclasses.replace(job, stage="train", **told_of_run, inputs=split.manifest)
            published.append(publishing.publish(alone, run, circumstances, _penalty(run)))
        return published


class _Loop:
    """The epochs of runs trained together."""

    def __init__(
        self,
        runs: Sequence[commits.Run],
        log: commits.Commits,
        split: splits.Split,
        device: str,
    ):
        self.runs, self.log, self.images = runs, log, len(split.labels)
        training = [run.recipe for run in runs]
        normalization = fit_normalization(split, training[0].optimizer)
        self.constants = normalization.tensors() if normalization else {}
        shape = tuple(split.inputs.shape[1:])
        built = [networks.build(each.model, shape, split.classes, each.seed) for each in training]
        make = kinds.load("engines", training[0].engine).build_together
        self.engine = make(training, built, split, normalization, device)

    def train(self) -> None:
        """Bring every run to its end."""
        first = self.runs[0].recipe
        if self.log.resumed:
            say(f"resumed after epoch {self.log.epoch}")
            self.engine.restore([_parameters(run) for run in self.runs], self.log.state)
        else:
            self._commit(0.0, [None] * len(self.runs), [0.0] * len(self.runs))
        with tqdm(total=first.optimizer.epochs, initial=self.log.epoch, unit="epoch") as bar:
            while any(run.stopped is None for run in self.runs):
                start, epoch = time.perf_counter(), self.log.epoch + 1
                order = batch_order(first.seed, epoch, self.images, first.optimizer.shuffle)
                rates = [
                    phases.learning_rate(run.recipe.optimizer, epoch, run.history)
                    for run in self.runs
                ]
                means = self.engine.epoch(order, rates)
                self._commit(time.perf_counter() - start, means, rates)
                bar.update()

    def _commit(
        self, seconds: float, means: Sequence[engines.Epoch | None], rates: Sequence[float]
    ) -> None:
        """Write the checkpoint of each run that goes on, then commit."""
        said = {}
        for number, run in enumerate(self.runs):
            if run.stopped is None:
                tensors = self.engine.tensors(number)
                said[number] = run.write(
                    self.log.epoch + 1,
                    {"learning_rate": rates[number]},
                    means[number],
                    list(tensors.values()),
                    {**tensors, **self.constants},
                )
        self.log.commit(seconds, said, self.engine.state())


def _parameters(run: commits.Run) -> dict[str, torch.Tensor]:
    """Return the last weights by name, without the constants of a normalisation."""
    return without_normalization(run.last())[0]


def _penalty(run: commits.Run) -> float:
    """Return λ/2 ‖θ‖² of the last weights."""
    recipe = run.recipe
    return float(
        objective.penalty(_parameters(run), recipe.weight_decay, penalize_bias=recipe.penalize_bias)
    )
