"""The paths of every product, as templates that Snakemake and the library share."""

from __future__ import annotations

from cobaye.recipes import Data

SPLITS = ("train", "val", "test")
# What may be looked at of a run: before its first epoch, and after its last.
STATES = ("initial", "trained")

DATASET = "resources/datasets/{dataset}"
BACKBONE = "resources/backbones/{backbone}"
FEATURES = "results/features/{dataset}/{backbone}/{split}"
SHARD = FEATURES + "/shard-{shard}-of-{shards}"
STUDY = "results/{study}"
RUN = STUDY + "/runs/{model}/{optimizer}/wd-{weight_decay}/seed-{seed}"
MEASURE = RUN + "/measures/{analysis}/{state}"
BASELINE = STUDY + "/baseline"
TOGETHER = STUDY + "/together/{group}"
BEST = STUDY + "/best"
TABLES = STUDY + "/tables"
CHOSEN = TABLES + "/chosen-{way}.csv"
FIGURES = STUDY + "/figures"
LOGS = "results/logs"

# Names that a study may not take: folders of results/ and rules. (Others' names have a "_".)
RESERVED = ("all", "evaluate", "features", "logs", "tabulate", "train")


def checkpoint(epoch: int) -> str:
    """Return the file name of the weights after an epoch; 0 is before the first."""
    return f"epoch-{epoch:03d}.safetensors"


def shard_label(number: int) -> str:
    """Return a shard's number, or their count, in two digits, as it stands in a path."""
    return f"{number:02d}"


def split_folder(data: Data, split: str) -> str:
    """Return the folder of a split's images, or of a backbone's features of them."""
    if data.backbone is None:
        return f"{DATASET}/{split}".format(dataset=data.dataset)
    return FEATURES.format(dataset=data.dataset, backbone=data.backbone, split=split)


def split_manifest(data: Data, split: str) -> str:
    """Return the manifest that covers a split: one for all images, one per split of features."""
    if data.backbone is None:
        return f"{DATASET}/manifest.json".format(dataset=data.dataset)
    return f"{split_folder(data, split)}/manifest.json"
