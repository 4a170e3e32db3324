"""A project in a temporary folder: arrays as a dataset, and runs of a linear model on it.

The functions are those of the workflow's jobs, so the weights are those of a study with the same
data, recipe and seed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from cobaye import kinds, recipes
from cobaye.data import datasets, splits
from cobaye.errors import CobayeError
from cobaye.evaluation.evaluate import evaluate
from cobaye.recipes.study import Run
from cobaye.storage import checkpoints, paths
from cobaye.storage.jobs import Job
from cobaye.tables import tabulate
from cobaye.training.loop import train

NAME, MODEL, OPTIMIZER = "arrays", "linear", "optimizer"
DATA = recipes.Data(NAME, None)
# The keys of a study's optimizer that act on features as they are.
KEYS = ("learning_rate", "batch_size", "epochs", "shuffle", "l1", "max_norm")


class Weights(NamedTuple):
    """A trained last layer: weight (K, D), bias (K,), float32 or float64; NaN if it diverged."""

    weight: np.ndarray
    bias: np.ndarray


def recipe_of(optimizer: Mapping[str, Any], *, penalize_bias: bool, seed: int) -> recipes.Training:
    """Return the recipe of a linear model, λ aside, from the keys of a study's optimizer.

    Raises ValueError for other keys than algorithm, schedule and `KEYS`.
    """
    if unknown := sorted(set(optimizer) - {"algorithm", "schedule", *KEYS}):
        raise ValueError(f"optimizer: unknown keys {unknown}: known: algorithm, schedule, {KEYS}")
    if "algorithm" not in optimizer:
        raise ValueError("optimizer: algorithm: missing, as in {'algorithm': {'kind': 'exact'}}")
    algorithm = _kind("optimizers", optimizer["algorithm"])
    given = {"learning_rate": None, "batch_size": None, "epochs": 1}
    given |= {key: optimizer[key] for key in KEYS if key in optimizer}
    engine = kinds.constant("networks", MODEL, "ENGINE")
    engine = kinds.constant("optimizers", algorithm.kind, "ENGINE", engine)
    if engine == "linear" and None in (given["learning_rate"], given["batch_size"]):
        raise ValueError(f"optimizer: {algorithm.kind} needs learning_rate and batch_size")
    return recipes.Training(
        data=DATA,
        engine=engine,
        model=_kind("networks", {"kind": MODEL}),
        optimizer=recipes.Optimizer(
            algorithm=algorithm,
            schedule=_kind("schedules", optimizer.get("schedule", {"kind": "constant"})),
            normalize="none",
            **given,
        ),
        weight_decay=0.0,
        penalize_bias=penalize_bias,
        seed=seed,
        keep=None,
    )


def _kind(family: str, given: Mapping[str, Any]) -> recipes.Kind:
    """Return a kind with all its options; raises ValueError for one that does not exist."""
    options = dict(given)
    name = options.pop("kind", "")
    try:
        made = kinds.options(family, name)(**options)
    except (CobayeError, TypeError) as error:
        raise ValueError(f"{kinds.singular(family)} {name!r}: {error}") from None
    return recipes.Kind(name, recipes.plain(made))


class Project:
    """One dataset on disk, and the runs of one recipe.

    Parameters
    ----------
    arrays : split → features (N, D) float32 and labels (N,) int64; train and val.
    recipe : as from `recipe_of`.
    """

    def __init__(
        self,
        root: Path,
        arrays: Mapping[str, tuple[np.ndarray, np.ndarray]],
        names: Sequence[str],
        recipe: recipes.Training,
        device: str,
    ):
        self.root, self.recipe, self.device = root, recipe, device
        # A dataset has three splits; nothing here reads the third.
        prepared = datasets.Prepared(
            [{"name": name} for name in names], {**arrays, "test": arrays["val"]}
        )
        datasets.publish(self._job("prepare_dataset", {"dataset": NAME}), prepared)
        self.loaded = {name: splits.load(DATA, name, root) for name in arrays}
        self.runs: list[dict[str, Any]] = []

    def train(self, label: str, **changed: Any) -> Weights:
        """Train a run; `changed`: fields of the recipe, the weight decay among them."""
        recipe = dataclasses.replace(self.recipe, **changed)
        identity = self._identity(label)
        train(self._job("train", identity, recipes.plain(recipe)))
        trained = self._job("tabulate", {"study": NAME}).read("train", identity)
        name = f"checkpoints/{paths.checkpoint(trained.info['epochs'])}"
        path = trained.check(self.root / paths.RUN.format(**identity), name)
        tensors = checkpoints.load(path)
        weights = [tensors[f"head.{part}"].numpy() for part in ("weight", "bias")]
        if not trained.info["finite"]:
            weights = [np.full_like(part, np.nan) for part in weights]
        return Weights(*weights)

    def evaluate(self, label: str, split_names: Sequence[recipes.Split]) -> None:
        """Evaluate a trained run, which `tables` then has."""
        recipe = recipes.Evaluation(DATA, "last", tuple(split_names))
        job = self._job("evaluate", self._identity(label), recipes.plain(recipe))
        evaluate(job, {name: self.loaded[name] for name in split_names})
        self.runs.append({k: v for k, v in self._identity(label).items() if k != "study"})

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables of the evaluated runs, by the names that a study's have.

        `image-losses` beside them: (N, L), the loss of each validation image, a column per run.
        """
        raw = tabulate.collected(self._job("tabulate", {"study": NAME}, {"runs": self.runs}))
        names = dict(enumerate(datasets.names(NAME, self.root)))
        classes = raw["classes"].assign(name=raw["classes"]["class"].map(names))
        best = tabulate.best_lambda(tabulate.final_metrics(raw["metrics"], raw["runs"]))
        return {
            "runs": raw["runs"],
            "metrics": raw["metrics"],
            "classes": classes,
            "best-lambda": best,
            "best-lambda-per-class": tabulate.best_lambda_per_class(classes, raw["runs"], best),
        }

    def image_losses(self, label: str) -> np.ndarray:
        """Return the loss of each validation image in an evaluated run, (N,) float32."""
        folder = self.root / paths.RUN.format(**self._identity(label))
        table = pd.read_parquet(folder / "predictions.parquet", columns=["split", "loss"])
        return table["loss"][table["split"] == "val"].to_numpy()

    def _identity(self, label: str) -> dict[str, Any]:
        return {"study": NAME, **vars(Run(MODEL, OPTIMIZER, label, self.recipe.seed))}

    def _job(self, stage: str, identity: dict[str, Any], recipe: Any = None) -> Job:
        return Job(stage, identity, recipe or {}, code="", device=self.device, root=self.root)


@contextlib.contextmanager
def temporary_folder(threads: int, *, verbose: bool) -> Iterator[Path]:
    """Yield a folder that goes at the end; torch's threads and random state are as before then.

    Raises ValueError in place of the library's own errors.
    """
    before = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        if not verbose:
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(torch.random.fork_rng())
        torch.set_num_threads(threads)
        try:
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cobaye-")))
        except CobayeError as error:
            raise ValueError(str(error)) from None
        finally:
            torch.set_num_threads(before)
