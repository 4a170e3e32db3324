"""Runs trained side by side in one process; each leaves the files that it would leave alone.

A group is runs that share their batches: equal data, seed, batch size, epochs, depth, activation.
What a killed process needs to go on lies in ``results/<study>/together/<group>/.resume/``: each
run's checkpoints, and a `journal` with a line per epoch. Those are written without fsync, which
would cost more than the training; the published files get theirs, all at once, before the manifest
of their run.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from tqdm import tqdm

from cobaye import objective, recipes
from cobaye.data import splits
from cobaye.data.normalization import fit_normalization, without_normalization
from cobaye.models import networks
from cobaye.storage import checkpoints, files, journal, manifests, paths, resume
from cobaye.storage.jobs import Job
from cobaye.training import engines, history, loop, phases, publishing, stopping
from cobaye.training.engines.batched import Engine, Means


def train_together(job: Job) -> list[Path]:
    """Train a group of runs, from its last complete epoch if it was begun; return their manifests.

    job.recipe: {"runs": of each, identity, recipe and code}. job.identity: {"study", "group"}. A
    run that diverges ends there, with its reason; the others go on.
    """
    told = [recipes.parse(recipes.Training, run["recipe"]) for run in job.recipe["runs"]]
    with resume.lock(job.root / paths.TOGETHER.format(**job.identity)) as scratch:
        split = splits.load_for(job, told[0].data, ["train"])["train"]
        state = {"format": manifests.FORMAT, **job.recipe, "data": split.manifest}
        group = _Group(told, split, job.device, scratch)
        group.run(journal.Journal(scratch, files.digest(state)))
        shared = {**job.identity, "runs": len(told)}
        circumstances = {"device": job.device, "start": {}, "together": shared}
        published = []
        for run, member in zip(job.recipe["runs"], group.members, strict=True):
            alone = dataclasses.replace(job, stage="train", **run, inputs=split.manifest)
            journal.sync(sorted((member.folder / resume.CHECKPOINTS).iterdir()))
            published.append(
                publishing.publish(
                    alone, member.folder, member.progress, circumstances, member.penalty()
                )
            )
        return published


class _Member:
    """One run of a group, and how far it has come."""

    def __init__(self, recipe: recipes.Training, folder: Path):
        self.recipe, self.folder = recipe, folder
        self.progress = resume.Progress()
        self.history: list[history.Row] = []

    def line(
        self, epoch: int, means: Means | None, rate: float, tensors: Mapping[str, torch.Tensor]
    ) -> str:
        """Return the row of history.csv of an epoch."""
        l1, l2 = engines.norms(tensors.values())
        row = {"epoch": epoch, "learning_rate": rate, "weight_l1": l1, "weight_l2": l2}
        if means is not None:
            row |= dataclasses.asdict(means) | {"objective": means.loss + means.penalty}
        return history.line(row)

    def add(self, epoch: int, seconds: float, found: Mapping[str, Any]) -> None:
        """Take in what the journal says of it."""
        self.progress.epoch = epoch
        self.progress.rows.append(found["row"])
        self.progress.checkpoints[paths.checkpoint(epoch)] = found["checkpoint"]
        if epoch > 0:
            self.progress.seconds.append(seconds)
            self.history += history.parsed([found["row"]])
            self.progress.stopped = stopping.reason(self.recipe.optimizer, self.history)

    def penalty(self) -> float:
        """Return λ/2 ‖θ‖² of its last weights."""
        own, _ = without_normalization(checkpoints.load(self.place(self.progress.epoch)))
        return float(
            objective.penalty(
                own, self.recipe.weight_decay, penalize_bias=self.recipe.penalize_bias
            )
        )

    def place(self, epoch: int) -> Path:
        """Return where the checkpoint of an epoch lies until it is published."""
        return self.folder / resume.CHECKPOINTS / paths.checkpoint(epoch)


class _Group:
    """The epochs of a group."""

    def __init__(
        self,
        told: Sequence[recipes.Training],
        split: splits.Split,
        device: str,
        folder: Path,
    ):
        self.folder, self.images = folder, len(split.labels)
        self.members = [_Member(recipe, folder / f"run-{i:03d}") for i, recipe in enumerate(told)]
        normalization = fit_normalization(split, told[0].optimizer)
        self.constants = normalization.tensors() if normalization else {}
        shape = tuple(split.inputs.shape[1:])
        made = [networks.build(each.model, shape, split.classes, each.seed) for each in told]
        self.engine = Engine(told, made, split, normalization, device)

    def run(self, log: journal.Journal) -> None:
        """Bring every run to its end."""
        epoch = self._go_on(log)
        first = self.members[0].recipe
        bar = tqdm(total=first.optimizer.epochs, initial=epoch, unit="epoch", mininterval=1.0)
        with bar:
            while any(member.progress.stopped is None for member in self.members):
                epoch += 1
                start = time.perf_counter()
                shuffle = first.optimizer.shuffle
                order = loop.batch_order(first.seed, epoch, self.images, shuffle)
                rates = [
                    phases.learning_rate(member.recipe.optimizer, epoch, member.history)
                    for member in self.members
                ]
                means = self.engine.epoch(order, rates)
                self._commit(log, epoch, time.perf_counter() - start, means, rates)
                bar.update()

    def _go_on(self, log: journal.Journal) -> int:
        """Return the last complete epoch, everything being as after it; begin if there is none."""
        done = log.restore(self._is_right)
        state = self.engine.state()
        if done and state:
            if not journal.is_whole(self.folder / _state(len(done) - 1), done[-1]["state"]):
                done = log.restore(lambda record: False)
            else:
                state = checkpoints.load(self.folder / _state(len(done) - 1))
        for record in done:
            self._take(record)
        if not done:
            self._commit(log, 0, 0.0, [None] * len(self.members), [0.0] * len(self.members))
            return 0
        tensors = [checkpoints.load(each.place(each.progress.epoch)) for each in self.members]
        self.engine.restore(tensors, state)
        for member in self.members:
            member.progress.resumed_from.append(len(done) - 1)
        loop.say(f"resumed after epoch {len(done) - 1}")
        return len(done) - 1

    def _commit(
        self,
        log: journal.Journal,
        epoch: int,
        seconds: float,
        means: Sequence[Means | None],
        rates: Sequence[float],
    ) -> None:
        """Write the checkpoint of each run that goes on, then the line that names them."""
        record: dict[str, Any] = {"epoch": epoch, "seconds": round(seconds, 6), "runs": {}}
        for number, member in enumerate(self.members):
            if member.progress.stopped is None:
                tensors = self.engine.tensors(number)
                record["runs"][str(number)] = {
                    "row": member.line(epoch, means[number], rates[number], tensors),
                    "checkpoint": _write(member.place(epoch), {**tensors, **self.constants}),
                }
        if state := self.engine.state():
            record["state"] = _write(self.folder / _state(epoch), state)
            # The two before stay: the last line may yet turn out torn.
            (self.folder / _state(epoch - 3)).unlink(missing_ok=True)
        log.append(record)
        self._take(record)

    def _take(self, record: journal.Record) -> None:
        for number, found in record["runs"].items():
            self.members[int(number)].add(record["epoch"], record["seconds"], found)

    def _is_right(self, record: journal.Record) -> bool:
        return all(
            journal.is_whole(self.members[int(n)].place(record["epoch"]), run["checkpoint"])
            for n, run in record["runs"].items()
        )


def _state(epoch: int) -> str:
    return f"state-{epoch:03d}.safetensors"


def _write(path: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return journal.write(path, safetensors.torch.save(own))
