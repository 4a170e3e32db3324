"""A tiny study, stage by stage, through the library alone: what faults are injected into."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cobaye import analyses, figures, kinds, recipes
from cobaye.data import datasets
from cobaye.evaluation import evaluate
from cobaye.features import caching, gathering
from cobaye.inside import inspecting
from cobaye.models import backbones
from cobaye.storage import journal, manifests, paths
from cobaye.tables import reading, tabulate
from cobaye.training import loop
from tests.jobs import CODE, job

IMAGES, FEATURES = recipes.Data("d", None), recipes.Data("d", "b")
BACKBONE_RUN = {"study": "i", "model": "m", "optimizer": "o", "weight_decay": "1e-3", "seed": 0}
TABLES = {"study": "s", "maker": "tables"}
LABELS = ("0", "1e-2")
RUNS = [{**BACKBONE_RUN, "study": "s", "weight_decay": label} for label in LABELS]
MODEL = recipes.Kind("linear", {})
OPTIMIZER = recipes.Optimizer(
    algorithm=recipes.Kind("sgd", {"momentum": 0.9, "nesterov": False}),
    learning_rate=0.05,
    schedule=recipes.Kind("constant", {}),
    batch_size=4,
    epochs=1,
    normalize="global",
)
SHARDS = 2
FIGURE = {
    "kind": "best-lambda",
    "options": {"split": "test"},
    "tables": list(kinds.constant("figures", "best-lambda", "TABLES")),
    "width": 5.5,
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One job: its rule, the manifest that it writes last, and how it is run under a root."""

    rule: str
    manifest: str
    run: Callable[[Path], Any]


def training_of(run: dict[str, Any], **changes: Any) -> recipes.Training:
    """Return the recipe of a run: of images for the backbone's, else of features."""
    data = IMAGES if run == BACKBONE_RUN else FEATURES
    normalize = OPTIMIZER.normalize if data is IMAGES else "none"
    recipe = recipes.Training(
        data=data,
        engine="linear",
        model=MODEL,
        optimizer=dataclasses.replace(OPTIMIZER, normalize=normalize),
        weight_decay=float(run["weight_decay"]),
        penalize_bias=True,
        seed=run["seed"],
    )
    return dataclasses.replace(recipe, **changes)


def trained(run: dict[str, Any]) -> str:
    """Return the fingerprint of a run's training."""
    return manifests.stage_fingerprint(recipes.plain(training_of(run)), CODE)


def _evaluation() -> recipes.Evaluation:
    return recipes.Evaluation(FEATURES, "every")


def expected() -> dict[str, str]:
    """Return what the runs that `tabulate` reads must have been made from."""
    evaluated = manifests.stage_fingerprint(recipes.plain(_evaluation()), CODE)
    found = {paths.manifest("train", run): trained(run) for run in RUNS}
    return found | {paths.manifest("evaluate", run): evaluated for run in RUNS}


def stages(seed: int = 0) -> list[Stage]:
    """Return every stage, in order. seed: of the dataset, so that all that comes of it differs."""
    options = {"classes": 3, "train": 4, "val": 2, "test": 3, "size": 8, "seed": seed}
    dataset = recipes.Kind("glyphs", options)
    run_recipe = {"run": BACKBONE_RUN, "model": recipes.plain(MODEL)}
    runs = [{key: run[key] for key in reading.KEYS} for run in RUNS]
    table_recipe = {"runs": runs, "baseline": False, "dataset": "d"}
    found = [
        Stage(
            "prepare_dataset",
            f"{paths.DATASET}/manifest.json".format(dataset="d"),
            lambda root: datasets.prepare_dataset(
                job("prepare_dataset", {"dataset": "d"}, dataset, root)
            ),
        ),
        _train(BACKBONE_RUN),
        Stage(
            "prepare_backbone",
            f"{paths.BACKBONE}.json".format(backbone="b"),
            lambda root: backbones.prepare_backbone(
                job(
                    "prepare_backbone",
                    {"backbone": "b"},
                    run_recipe,
                    root,
                    expected=trained(BACKBONE_RUN),
                )
            ),
        ),
    ]
    for split in paths.SPLITS:
        found += [_shard(split, number) for number in range(SHARDS)]
        found.append(_gather(split))
    found += [stage for run in RUNS for stage in (_train(run), _evaluate(run))]
    found += [*map(_inspect, RUNS), _join()]
    return [
        *found,
        Stage(
            "tabulate",
            f"{paths.TABLES}/tables.json".format(study="s"),
            lambda root: tabulate.tabulate(
                job("tabulate", TABLES, table_recipe, root, expected=expected())
            ),
        ),
        Stage(
            "plot",
            f"{paths.FIGURES}/best-lambda-test.json".format(study="s"),
            lambda root: figures.plot(
                job("plot", {"study": "s", "figure": "best-lambda-test"}, FIGURE, root)
            ),
        ),
    ]


def _train(run: dict[str, Any]) -> Stage:
    return Stage(
        "train",
        f"{paths.RUN}/train.json".format(**run),
        lambda root: loop.train(job("train", run, training_of(run), root)),
    )


def _evaluate(run: dict[str, Any]) -> Stage:
    return Stage(
        "evaluate",
        f"{paths.RUN}/evaluate.json".format(**run),
        lambda root: evaluate.evaluate(
            job("evaluate", run, _evaluation(), root, expected=trained(run))
        ),
    )


def inspection_of(run: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return identity and recipe of what is inspected of a run."""
    recipe = {"options": {"near": 0.1}, "data": recipes.plain(FEATURES)}
    return {**run, "analysis": "weights", "state": "trained"}, recipe


def _inspect(run: dict[str, Any]) -> Stage:
    identity, recipe = inspection_of(run)
    return Stage(
        "inspect_run",
        f"{paths.INSIDE}/manifest.json".format(**identity),
        lambda root: inspecting.inspect_run(
            job("inspect_run", identity, recipe, root, expected=trained(run))
        ),
    )


def _join() -> Stage:
    looked = [inspection_of(run) for run in RUNS]
    expected = {
        paths.manifest("inspect_run", identity): manifests.stage_fingerprint(recipe, CODE)
        for identity, recipe in looked
    }
    runs = [{key: identity[key] for key in (*reading.KEYS, "state")} for identity, _ in looked]
    identity, recipe = {"study": "s", "maker": "weights"}, {"inspected": runs}
    return Stage(
        "analyse",
        f"{paths.TABLES}/weights.json".format(study="s"),
        lambda root: analyses.analyse(job("analyse", identity, recipe, root, expected=expected)),
    )


def _shard(split: str, number: int) -> Stage:
    identity = {**dataclasses.asdict(FEATURES), "split": split}
    identity |= {"shard": number, "shards": SHARDS}
    told = recipes.Caching(batch_size=4, precision="float32", storage="float32")
    labels = {key: paths.shard_label(identity[key]) for key in ("shard", "shards")}
    return Stage(
        "cache_features",
        f"{paths.SHARD}.json".format(**{**identity, **labels}),
        lambda root: caching.cache_features(job("cache_features", identity, told, root)),
    )


def _gather(split: str) -> Stage:
    identity = {**dataclasses.asdict(FEATURES), "split": split}
    return Stage(
        "gather_features",
        f"{paths.FEATURES}/manifest.json".format(**identity),
        lambda root: gathering.gather_features(
            job("gather_features", identity, {"shards": SHARDS}, root)
        ),
    )


def build(folder: Path, seed: int = 0) -> list[Path]:
    """Run every stage; return the state after each, the state before the first at the end."""
    states, root = [], folder / "root"
    root.mkdir(parents=True)
    for number, stage in enumerate(stages(seed)):
        stage.run(root)
        states.append(clone(root, folder / f"{number:02d}-{stage.rule}"))
    empty = folder / "empty"
    empty.mkdir()
    return [*states, empty]


def clone(source: Path, target: Path) -> Path:
    """Copy a state by hard links: what is replaced whole leaves the source as it is."""
    return Path(shutil.copytree(source, target, copy_function=_linked, dirs_exist_ok=True))


def _linked(source: str, target: str) -> None:
    """Link a file; copy a journal, which is written to in place."""
    (shutil.copy2 if source.endswith(journal.NAME) else os.link)(source, target)


def contents(root: Path) -> dict[str, bytes]:
    """Return every file whose bytes are promised: not run.json, nor what is for resuming."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "run.json" and ".resume" not in path.parts
    }
