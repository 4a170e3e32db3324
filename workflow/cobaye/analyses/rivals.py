"""Classifiers beside the one of the best single λ, all chosen on val, judged once on test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from cobaye import kinds, recipes
from cobaye.analyses import _rival_heads, _rival_tables
from cobaye.analyses._rival_heads import LambdaPath, Rival
from cobaye.data import splits
from cobaye.evaluation.baseline import HEAD
from cobaye.models.scoring import BLOCK, Forward, scores
from cobaye.recipes.study import per_class_label
from cobaye.storage import checkpoints, finished_runs, paths
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import trained_model, training_recipe
from cobaye.tables import reading

READS_TABLES = ("best-lambda", "metrics")
READS_RUNS = ("checkpoints", "classes.parquet")
# Runs with a λ for each class, where the study has some.
READS_CLASS_DECAY = True
# The backbone's own last layer, where the study evaluates it.
READS_BASELINE = True
SPLITS = ("val", "test")
NETWORKS = ("linear", "perceptron")
LOSS = "cross-entropy"
TABLES = {"rivals": "rivals.csv"}


@dataclass(frozen=True)
class Options:
    """The draws and the intervals."""

    #: Draws of each bootstrap.
    draws: int = 2000
    #: Level of all intervals and bands.
    level: float = 0.95
    #: Seed of all draws.
    seed: int = 0

    def __post_init__(self):
        if self.draws < 100:
            raise ValueError("draws: at least 100")
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level: {self.level} is not in [0.5, 1)")
        if self.seed < 0:
            raise ValueError("seed: not below 0")


@torch.no_grad()
def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the table of rivals, by configuration.

    job.recipe: beside the runs, "ways", "class_decay_runs" and "baseline".
    """
    tables = reading.read_tables(job, READS_TABLES)
    own_head = _baseline(job)
    parts = []
    loaded: dict[recipes.Data, dict[str, splits.Split]] = {}
    for _, best in tables["best-lambda"].iterrows():
        group = {key: best[key] for key in reading.CONFIGURATION}
        runs = {
            (run["weight_decay"], run["seed"]): done for run, done in _finite(job, "runs", group)
        }
        recipe = training_recipe(next(iter(runs.values())).trained)
        data = recipes.parse(recipes.Data, recipe["data"])
        if data not in loaded:  # one backbone's features at a time
            loaded = {data: splits.load_for(job, data, SPLITS)}
        metrics = _of(tables["metrics"], group)
        path = _path(
            runs, best.weight_decay, metrics, loaded[data]["val"], job.device, options.seed
        )
        rivals = [*_rival_heads.untrained(path), *_trained(job, group)]
        if own_head:
            heads = dict.fromkeys(rivals[0].heads, own_head)
            rivals.append(Rival("baseline", "nothing", 0, heads))
        table = _rival_tables.table(
            [_scored(rival, path.forward, loaded[data]) for rival in rivals],
            loaded[data]["test"].labels.numpy(),
            loaded[data]["test"].classes,
            draws=options.draws,
            level=options.level,
            seed=options.seed,
            name="/".join(["analyse_rivals", *group.values()]),
        )
        parts.append(pd.DataFrame([group] * len(table)).join(table).assign(best=path.best))
    empty = pd.DataFrame({"model": [], "optimizer": []})
    return {"rivals": pd.concat(parts, ignore_index=True) if parts else empty}


def _path(
    runs: dict[tuple[str, int], finished_runs.Finished],
    best: str,
    metrics: pd.DataFrame,
    val: splits.Split,
    device: str,
    seed: int,
) -> LambdaPath:
    """Return the path of a configuration's finite runs, by λ and seed."""
    keys = zip(metrics["weight_decay"], metrics["seed"], strict=True)
    known = np.array([key in runs for key in keys])
    network, _ = trained_model(next(iter(runs.values())).trained)
    forward = Forward(network, tuple(val.inputs.shape[1:]), val.classes, device)
    return LambdaPath(runs, best, metrics[known & (metrics["split"] == "val")], val, forward, seed)


def _of(table: pd.DataFrame, group: Mapping[str, str]) -> pd.DataFrame:
    return table[(table["model"] == group["model"]) & (table["optimizer"] == group["optimizer"])]


def _finite(
    job: Job, key: str, wanted: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], finished_runs.Finished]]:
    """Yield the finite runs that have the wanted values, of a list of the recipe."""
    for run in job.recipe[key]:
        if all(run[name] == value for name, value in wanted.items()):
            done = finished_runs.finished(job, run)
            if done.trained.info["finite"]:
                yield run, done


def _trained(job: Job, group: Mapping[str, str]) -> list[Rival]:
    """Return the classifiers of runs with a λ for each class."""
    rivals = []
    for way in job.recipe["ways"]:
        wanted = {**group, "weight_decay": per_class_label(way)}
        heads = {
            run["seed"]: _rival_heads.load_head(done)
            for run, done in _finite(job, "class_decay_runs", wanted)
        }
        chosen = _of(reading.read_chosen(job, way), group)["weight_decay"]
        facts = job.read("choose_weight_decay", {"study": job.identity["study"], "way": way}).info
        judges = "val" not in kinds.constant("ways", way, "TRAIN_SPLITS", ())
        parameters = facts["/".join(group.values())]["parameters"]
        rivals.append(Rival(way, _words(chosen), parameters, heads, judges))
    return rivals


def _words(chosen: Sequence[str]) -> str:
    """Return chosen λ, for people."""
    values = sorted({float(each) for each in chosen})
    if len(values) <= 3:
        return "λ = " + ", ".join(f"{value:.3g}" for value in values)
    return f"λ from {values[0]:.2g} to {values[-1]:.2g}"


def _baseline(job: Job) -> _rival_heads.Head | None:
    """Return the backbone's own last layer, if the study evaluates it."""
    if not job.recipe["baseline"]:
        return None
    identity = {"study": job.identity["study"]}
    manifest = job.read("evaluate_baseline", identity)
    folder = job.root / paths.BASELINE.format(**identity)
    return checkpoints.load(manifest.check(folder, HEAD))


def _scored(
    rival: Rival, forward: Forward, loaded: Mapping[str, splits.Split]
) -> _rival_tables.Scored:
    """Return a rival's losses on val and test, and which test images it gets right."""
    val, losses, correct = {}, {}, {}
    for seed, head in rival.heads.items():
        logits, found = forward.load(dict(head)), {}
        for name, split in loaded.items():
            blocks = (logits(rows) for rows in split.inputs.split(BLOCK))
            found[name] = scores(blocks, split.labels.to(forward.device))
        if rival.val_judges:
            val[seed] = float(found["val"].loss.mean(dtype=np.float64))
        losses[seed] = found["test"].loss.astype(np.float64)
        correct[seed] = (found["test"].rank == 0).astype(np.float64)
    return _rival_tables.Scored(rival.name, rival.chosen, rival.parameters, val, losses, correct)
