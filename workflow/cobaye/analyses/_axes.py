"""The sweep of each configuration over any axis; see `recipes.axes`.

Over another axis than λ and the plane with λ, a sweep has one λ, `at`: the best for all of val.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from cobaye import kinds, objective, recipes
from cobaye.analyses import _rival_heads, _sweeps
from cobaye.analyses._sweeps import Parts, Sweep
from cobaye.data import splits
from cobaye.models.scoring import BLOCK, Forward, scores
from cobaye.recipes import axes
from cobaye.storage import finished_runs
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import kept_epochs, trained_model, training_recipe
from cobaye.storage.paths import SPLITS
from cobaye.tables import reading


def sweeps(job: Job, epochs: Sequence[int]) -> list[Sweep]:
    """Return the sweeps over the axis of the job's analysis, in the order of the config.

    epochs: those asked for; none: see `spread`. A configuration whose finite runs have fewer than
    two places on another axis than λ is left out.
    """
    axis = kinds.axis(job.identity["maker"])
    if axis is None:
        return _sweeps.sweeps(job)
    made = _over_epoch(job, epochs) if axis == "epoch" else _over_families(job, axis)
    return [sweep for sweep in made if len(sweep.labels) > 1]


def spread(epochs: Sequence[int], number: int = axes.EPOCHS) -> list[int]:
    """Return about so many of the epochs (rising), in equal ratios, the first and last included."""
    wanted = np.geomspace(epochs[0], epochs[-1], number)
    distances = np.abs(np.asarray(epochs)[:, None] - wanted)
    return [epochs[place] for place in np.unique(distances.argmin(axis=0))]


def _over_epoch(job: Job, asked: Sequence[int]) -> Iterator[Sweep]:
    """Yield each configuration's runs of the best λ, at epochs that all of them kept."""
    loaded: dict[recipes.Data, Mapping[str, splits.Split]] = {}
    for _, best in reading.read_tables(job, ("best-lambda",))["best-lambda"].iterrows():
        group, at = (best["model"], best["optimizer"]), best["weight_decay"]
        runs = _finite(job, {"model": group[0], "optimizer": group[1], "weight_decay": at})
        if not runs:
            continue
        shared = set.intersection(*(set(kept_epochs(run.trained)) for run in runs.values())) - {0}
        epochs = [epoch for epoch in asked or spread(sorted(shared)) if epoch in shared]
        recipe = training_recipe(next(iter(runs.values())).trained)
        data = recipes.parse(recipes.Data, recipe["data"])
        if data not in loaded:  # one backbone's features at a time
            loaded = {data: splits.load_for(job, data, SPLITS)}
        by_run = at_epochs(runs, epochs, loaded[data], job.device)
        yield _sweeps.joined(group, by_run, "epoch", at)


def _finite(job: Job, wanted: Mapping[str, str]) -> dict[int, finished_runs.Finished]:
    """Return the finite runs that have the wanted values, by seed."""
    done = {
        run["seed"]: finished_runs.finished(job, run)
        for run in job.recipe["runs"]
        if all(run[key] == value for key, value in wanted.items())
    }
    return {seed: run for seed, run in done.items() if run.trained.info["finite"]}


@torch.no_grad()
def at_epochs(
    runs: Mapping[int, finished_runs.Finished],
    epochs: Sequence[int],
    loaded: Mapping[str, splits.Split],
    device: str,
) -> dict[tuple[str, int], Parts]:
    """Return the predictions of runs, by seed, at some of their epochs, as `joined` takes them."""
    model, loss = trained_model(next(iter(runs.values())).trained)
    val = loaded["val"]
    forward = Forward(model, tuple(val.inputs.shape[1:]), val.classes, device)
    return {
        (str(epoch), seed): {
            name: _scored(forward, _rival_heads.load_head(run, epoch), split, loss)
            for name, split in loaded.items()
        }
        for seed, run in runs.items()
        for epoch in epochs
    }


def _scored(
    forward: Forward, tensors: _rival_heads.Head, split: splits.Split, loss: objective.Loss
) -> dict[str, np.ndarray]:
    """Return a checkpoint's predictions, as `read_predictions` returns those of a split."""
    logits, predicted = forward.load(dict(tensors)), []

    def blocks() -> Iterator[torch.Tensor]:
        for rows in split.inputs.split(BLOCK):
            block = logits(rows)
            predicted.append(block.argmax(dim=1).cpu().numpy().astype(np.int32))
            yield block

    scored = scores(blocks(), split.labels.to(forward.device), loss)
    labels = split.labels.numpy().astype(np.int32)
    return {"label": labels, "predicted": np.concatenate(predicted), "loss": scored.loss}


def _over_families(job: Job, axis: str) -> Iterator[Sweep]:
    """Yield, per model and family of optimizers, their runs along the axis.

    job.recipe["families"]: see `recipes.axes.families`.
    """
    known = {sweep.group: sweep for sweep in _sweeps.sweeps(job)}
    models = dict.fromkeys(model for model, _ in known)
    for model in models:
        for family in job.recipe["families"]:
            members = {
                value: known[model, optimizer]
                for value, optimizer in family.items()
                if (model, optimizer) in known
            }
            if members:
                names = [sweep.group[1] for sweep in members.values()]
                group = model, f"{names[0]} … {names[-1]}"
                yield along(axis, group, members)


def along(axis: str, group: _sweeps.Group, members: Mapping[str, Sweep]) -> Sweep:
    """Return the runs of the λ that the best member has, or those of all λ in the plane.

    members: value on the axis → sweep over λ, rising. Runs that are not finite are left out. Ties
    for the best go to the larger λ and value.
    """
    places = [(value, label) for value, sweep in members.items() for label in sweep.labels]
    at = ""
    if axis != axes.PLANE:
        at = max(places, key=lambda place: _goodness(members[place[0]], *place))[1]
    by_run: dict[tuple[str, int], Parts] = {}
    for value, label in places:
        for seed in members[value].seeds if at in ("", label) else ():
            parts = _sweeps.of_run(members[value], label, seed)
            if parts["val"]["predicted"][0] >= 0:
                by_run[value if at else axes.pair(value, label), seed] = parts
    return _sweeps.joined(group, by_run, axis, at)


def _goodness(sweep: Sweep, value: str, label: str) -> tuple[float, ...]:
    losses = sweep.splits["val"].mean_loss()[sweep.labels.index(label)]
    return -losses.mean(), float(label), float(value)
