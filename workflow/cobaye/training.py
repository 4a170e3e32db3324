"""The one training loop: epochs, checkpoints, history, and the reason why it stopped.

Whatever computes an epoch (`engines`), the loop is the same: order of the images, learning rate,
epoch, checkpoint, commit. All randomness is a function of (seed, epoch), never carried, so a
resumed run is the same run.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from cobaye import (
    checkpoints,
    engines,
    files,
    networks,
    paths,
    provenance,
    recipes,
    resume,
    schedules,
    splits,
)
from cobaye.randomness import derived_seed

COLUMNS = (
    "epoch",
    "loss",
    "penalty",
    "objective",
    "accuracy",
    "learning_rate",
    "weight_l1",
    "weight_l2",
)
ALL_EPOCHS = "all epochs"
# Of a `blocks` order: 256 rows of 2,048 float32 are 2 MiB, a window of 64 such runs 128 MiB.
BLOCK, WINDOW = 256, 64


def train(
    recipe: recipes.Training,
    identity: dict[str, Any],
    code: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Train one run, from its last complete epoch if it was begun; return its manifest.

    Writes, under `root`, checkpoints/, history.csv, run.json and, last, train.json. A run whose
    loss or weights are no longer finite stops there and says so: a result, not an error.
    """
    folder = root / paths.RUN.format(**identity)
    with resume.lock(folder) as scratch:
        split = splits.load(recipe.data, "train", root, memory)
        fingerprint = {
            "format": files.FORMAT,
            "identity": identity,
            "recipe": recipes.plain(recipe),
            "code": code,
            "data": split.manifest,
        }
        progress, optimizer_state = resume.load(scratch, fingerprint, _say)
        loop = _Loop(recipe, split, device, scratch, fingerprint)
        loop.run(progress, optimizer_state)
        manifest = files.Manifest("train", identity, recipes.plain(recipe), code, split.manifest)
        return _publish(folder, scratch, progress, manifest, device)


class _Loop:
    """The epochs of one run, committed one by one to its resume folder."""

    def __init__(
        self,
        recipe: recipes.Training,
        split: splits.Split,
        device: str,
        folder: Path,
        fingerprint: dict[str, Any],
    ):
        self.recipe, self.folder, self.fingerprint = recipe, folder, fingerprint
        self.images = len(split.labels)
        normalization = None
        if split.inputs.dtype == torch.uint8:
            normalization = splits.normalization_of(split.inputs, recipe.optimizer.normalize)
        self.constants = normalization.tensors() if normalization else {}
        shape = tuple(split.inputs.shape[1:])
        network = networks.build(recipe.model, shape, split.classes, recipe.seed)
        self.engine = engines.build(recipe, network, split, normalization, device)

    def run(self, progress: resume.Progress, optimizer_state: dict[str, torch.Tensor]) -> None:
        """Bring `progress` to its end."""
        if progress.epoch < 0:
            self._commit(progress, 0, None, math.nan, 0.0)
        else:
            progress.resumed_from.append(progress.epoch)
            _say(f"resumed after epoch {progress.epoch}")
            tensors = resume.last_checkpoint(self.folder, progress)
            own = {name: t for name, t in tensors.items() if name not in self.constants}
            self.engine.restore(own, optimizer_state)
        epochs = self.recipe.optimizer.epochs
        bar = tqdm(total=epochs, initial=progress.epoch, unit="epoch", mininterval=1.0)
        with bar:
            while progress.stopped is None:
                means = self._epoch(progress, progress.epoch + 1)
                bar.set_postfix(loss=f"{means.loss:.4f}", accuracy=f"{means.accuracy:.4f}")
                bar.update()

    def _epoch(self, progress: resume.Progress, epoch: int) -> engines.Epoch:
        start = time.perf_counter()
        rate = learning_rate(self.recipe.optimizer, epoch)
        shuffle = self.recipe.optimizer.shuffle
        order = batch_order(self.recipe.seed, epoch, self.images, shuffle)
        torch.manual_seed(derived_seed("dropout", self.recipe.seed, epoch))
        means = self.engine.epoch(order, rate)
        self._commit(progress, epoch, means, rate, time.perf_counter() - start)
        return means

    def _commit(
        self,
        progress: resume.Progress,
        epoch: int,
        means: engines.Epoch | None,
        rate: float,
        seconds: float,
    ) -> None:
        name = paths.checkpoint(epoch)
        l1, l2 = engines.norms(self.engine.parameters())
        row = (math.nan,) * 4
        if means is not None:
            row = (means.loss, means.penalty, means.loss + means.penalty, means.accuracy)
            progress.seconds.append(round(seconds, 6))
            if not all(map(math.isfinite, (means.loss, means.penalty, l2))):
                progress.stopped = f"diverged in epoch {epoch}"
            elif epoch == self.recipe.optimizer.epochs:
                progress.stopped = ALL_EPOCHS
        progress.epoch = epoch
        progress.rows.append(",".join(map(_number, (epoch, *row, rate, l1, l2))))
        progress.checkpoints[name] = checkpoints.save(
            self.folder / resume.CHECKPOINTS / name, {**self.engine.tensors(), **self.constants}
        )
        progress.save(self.folder, self.fingerprint, self.engine.state())


def learning_rate(optimizer: recipes.Optimizer, epoch: int) -> float:
    """Return the learning rate of an epoch, 1 being the first."""
    factor = schedules.factor(optimizer.schedule, epoch, optimizer.epochs)
    return optimizer.learning_rate * factor


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


def _publish(
    folder: Path,
    scratch: Path,
    progress: resume.Progress,
    manifest: files.Manifest,
    device: str,
) -> Path:
    """Give a finished run its declared files; the manifest, last, says that they are all there."""
    staged = scratch / "published"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    for name in progress.checkpoints:
        _link(scratch / resume.CHECKPOINTS / name, staged / name)
    files.publish_directory(staged, folder / "checkpoints")
    text = "\n".join([",".join(COLUMNS), *progress.rows]) + "\n"
    history = files.write_bytes(folder / "history.csv", text.encode())
    made = {
        **{f"checkpoints/{name}": entry for name, entry in progress.checkpoints.items()},
        "history.csv": files.describe(folder / "history.csv", history),
    }
    info = {
        "epochs": progress.epoch,
        "stopped": progress.stopped,
        "finite": progress.stopped == ALL_EPOCHS,
    }
    manifest = dataclasses.replace(manifest, files=made, info=info)
    files.write_json(folder / "run.json", _circumstances(manifest, progress, device))
    manifest.write(folder / "train.json")
    return folder / "train.json"


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no such thing, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _circumstances(
    manifest: files.Manifest, progress: resume.Progress, device: str
) -> dict[str, Any]:
    """Return run.json: what was asked, and where, when and how long it ran."""
    return {
        "identity": manifest.identity,
        "recipe": manifest.recipe,
        "code": manifest.code,
        "data": manifest.inputs,
        **manifest.info,
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "seconds": progress.seconds,
        "resumed_from": progress.resumed_from,
    }


def _number(value: float) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else repr(value)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
