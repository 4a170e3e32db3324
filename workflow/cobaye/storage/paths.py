"""The paths of every product, as templates that Snakemake and the library share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cobaye.recipes import Data

SPLITS = ("train", "val", "test")
# States of a run that analyses look at: before the first epoch, and after the last.
STATES = ("initial", "trained")

DATASET = "resources/datasets/{dataset}"
BACKBONE = "resources/backbones/{backbone}"
FEATURES = "results/features/{dataset}/{backbone}/{split}"
SHARD = FEATURES + "/shard-{shard}-of-{shards}"
STUDY = "results/{study}"
RUN = STUDY + "/runs/{model}/{optimizer}/wd-{weight_decay}/seed-{seed}"
INSIDE = RUN + "/inside/{analysis}/{state}"
BASELINE = STUDY + "/baseline"
TOGETHER = STUDY + "/together/{group}"
# Of a run: the mean loss of each class while an epoch was trained, (epochs, classes) float64.
CLASS_LOSSES = "checkpoints/train-class-losses.npy"
BEST = STUDY + "/best"
TABLES = STUDY + "/tables"
CHOSEN = TABLES + "/chosen-{way}.csv"
FIGURES = STUDY + "/figures"
LOGS = "results/logs"
# Of a run, or of a group of runs: what a killed training needs to go on.
RESUME = ".resume"

# The manifest that each stage writes last. `maker`: tables, derived, or the name of an analysis.
MANIFESTS = {
    "fetch_dataset": DATASET + "/fetched.json",
    "prepare_dataset": DATASET + "/manifest.json",
    "fetch_weights": BACKBONE + ".fetched.json",
    "prepare_backbone": BACKBONE + ".json",
    "cache_features": SHARD + ".json",
    "gather_features": FEATURES + "/manifest.json",
    "train": RUN + "/train.json",
    "evaluate": RUN + "/evaluate.json",
    "evaluate_baseline": BASELINE + "/baseline.json",
    "evaluate_best": BEST + "/best.json",
    "inspect_run": INSIDE + "/manifest.json",
    "describe_models": TABLES + "/layers.json",
    "tabulate": TABLES + "/{maker}.json",
    "analyse": TABLES + "/{maker}.json",
    "choose_weight_decay": TABLES + "/chosen-{way}.json",
    "compare_expected": TABLES + "/expected.json",
    "tell_story": STUDY + "/story.json",
    "write_explorer": STUDY + "/explorer.json",
    "plot": FIGURES + "/{figure}.json",
}

# Names that a study may not take: folders of results/ and rules. (Others' names have a "_".)
RESERVED = ("all", "evaluate", "features", "logs", "tabulate", "train", "verify")


def checkpoint(epoch: int) -> str:
    """Return the file name of the weights after an epoch; 0 is before the first."""
    return f"epoch-{epoch:03d}.safetensors"


def manifest(stage: str, identity: Mapping[str, Any]) -> str:
    """Return the path of the manifest of a stage, relative to the project.

    identity: the values of the path's wildcards; numbers of shards as integers.
    """
    labels = {key: shard_label(identity[key]) for key in ("shard", "shards") if key in identity}
    return MANIFESTS[stage].format(**{**identity, **labels})


def shard_label(number: int) -> str:
    """Return a shard's number, or the count of shards, in two digits, as paths have it."""
    return f"{number:02d}"


def split_folder(data: Data, split: str) -> str:
    """Return the folder of a split's images, or of its features by a backbone."""
    if data.backbone is None:
        return f"{DATASET}/{split}".format(dataset=data.dataset)
    return FEATURES.format(dataset=data.dataset, backbone=data.backbone, split=split)


def split_manifest(data: Data, split: str) -> str:
    """Return the manifest that covers a split: one for all images, one per split of features."""
    if data.backbone is None:
        return f"{DATASET}/manifest.json".format(dataset=data.dataset)
    return f"{split_folder(data, split)}/manifest.json"
