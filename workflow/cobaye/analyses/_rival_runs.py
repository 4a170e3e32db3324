"""The rivals of the best single λ, made and scored: configuration by configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from cobaye.recipes.draws import Draws
from cobaye.recipes.study import per_class_label
from cobaye.storage import checkpoints, finished_runs, paths
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import trained_model, training_recipe
from cobaye.tables import reading

TABLES = ("best-lambda", "metrics")
Loaded = Mapping[str, splits.Split]


@dataclass(frozen=True)
class Judged:
    """The rivals of a configuration, scored on test. best: the label of the best single λ."""

    group: dict[str, str]
    best: str
    loaded: Loaded
    scored: list[_rival_tables.Scored]

    def table(self, analysis: str, draws: Draws, of: np.ndarray | None = None) -> pd.DataFrame:
        """Return a row per rival, on the test images of all classes or of some, `of` (K,) bool.

        analysis: its name, of the random draws.
        """
        test = self.loaded["test"]
        labels = test.labels.numpy()
        rows = np.ones(len(labels), bool) if of is None else of[labels]
        table = _rival_tables.table(
            [each.at(rows) for each in self.scored],
            labels[rows],
            test.classes,
            draws=draws.draws,
            level=draws.level,
            seed=draws.seed,
            name="/".join([f"analyse_{analysis}", *self.group.values()]),
        )
        return pd.DataFrame([self.group] * len(table)).join(table).assign(best=self.best)


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return tables below each other; without any, an empty one."""
    parts = list(tables)
    empty = pd.DataFrame({"model": [], "optimizer": []})
    return pd.concat(parts, ignore_index=True) if parts else empty


@dataclass(frozen=True)
class Configuration:
    """The finite runs of a configuration, the best single λ's label, and the splits they saw."""

    group: dict[str, str]
    best: str
    path: LambdaPath
    loaded: Loaded


def configurations(job: Job, wanted: Sequence[str], seed: int) -> Iterator[Configuration]:
    """Yield each configuration of a study. wanted: splits, val among them. seed: of folds."""
    tables = reading.read_tables(job, TABLES)
    loaded: dict[recipes.Data, dict[str, splits.Split]] = {}
    for _, best in tables["best-lambda"].iterrows():
        group = {key: best[key] for key in reading.CONFIGURATION}
        runs = {
            (run["weight_decay"], run["seed"]): done for run, done in _finite(job, "runs", group)
        }
        recipe = training_recipe(next(iter(runs.values())).trained)
        data = recipes.parse(recipes.Data, recipe["data"])
        if data not in loaded:  # one backbone's features at a time
            loaded = {data: splits.load_for(job, data, wanted)}
        metrics = _of(tables["metrics"], group)
        path = _path(runs, best.weight_decay, metrics, loaded[data]["val"], job.device, seed)
        yield Configuration(group, best.weight_decay, path, loaded[data])


@torch.no_grad()
def judged(
    job: Job,
    wanted: Sequence[str],
    seed: int,
    untrained: Callable[[LambdaPath, Loaded], list[Rival]],
) -> Iterator[Judged]:
    """Yield each configuration's rivals, scored: the untrained, those of `per_class`, the baseline.

    wanted: the splits that are loaded, val and test among them. untrained: from the path of the
    configuration's runs and these splits; the best single λ first.
    """
    own_head = _baseline(job)
    for each in configurations(job, wanted, seed):
        rivals = [*untrained(each.path, each.loaded), *_trained(job, each.group)]
        if own_head:
            heads = dict.fromkeys(rivals[0].heads, own_head)
            rivals.append(Rival("baseline", "nothing", 0, heads))
        scored = [_scored(rival, each.path.forward, each.loaded) for rival in rivals]
        yield Judged(each.group, each.best, each.loaded, scored)


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


def _scored(rival: Rival, forward: Forward, loaded: Loaded) -> _rival_tables.Scored:
    """Return a rival's losses on val and test, and which test images it gets right."""
    val, losses, correct = {}, {}, {}
    for seed, head in rival.heads.items():
        logits, found = forward.load(dict(head)), {}
        for name in ("val", "test"):
            split = loaded[name]
            blocks = (logits(rows) for rows in split.inputs.split(BLOCK))
            found[name] = scores(blocks, split.labels.to(forward.device))
        if rival.val_judges:
            val[seed] = float(found["val"].loss.mean(dtype=np.float64))
        losses[seed] = found["test"].loss.astype(np.float64)
        correct[seed] = (found["test"].rank == 0).astype(np.float64)
    return _rival_tables.Scored(rival.name, rival.chosen, rival.parameters, val, losses, correct)
