"""What each rule leaves on the disk, in bytes: a function per rule, named as the rule. No torch.

Checkpoints and features are counted, the rest is by what was measured: `glyphs` leaves 29 to 30
bytes per prediction, `digits`, `glyphs`, `glyphs-exact` and `digits-grid` 9 to 12 per row of
classes and 11 kB of history for 90 epochs. Tables, figures and stories, a few MB per study, are not
counted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cobaye import kinds, recipes
from cobaye.config import Config
from cobaye.errors import ConfigError
from cobaye.planning import facts, needs, network_costs, runs
from cobaye.planning.resources import Sizes
from cobaye.storage import paths

# Bytes: of a checkpoint's head; of its line in the history and its entry in the manifest; of the
# manifests of a run.
HEAD, LINE, MANIFESTS = 300, 290, 8000
# Bytes of a row: predictions, classes, metrics; and of a file that has none.
PREDICTION, BY_CLASS, METRIC, EMPTY = 30, 9.8, 25, 5500
INDEX = 150  # bytes of an image's entry where only its name is kept
LABEL = CLASS_LOSS = 8


class Job(NamedTuple):
    """A job of a run of the workflow. there: bytes that it finds of what it would write."""

    rule: str
    identity: Mapping[str, Any]
    there: float = 0


def fetch_dataset(config: Config, dataset: str) -> float:
    """Return the bytes of archives and unpacked files that are missing. Imports the kind."""
    kind = config.datasets[dataset].kind.kind
    return kinds.load("datasets", kind).to_fetch(facts.dataset_options(config, dataset))


def prepare_dataset(config: Config, dataset: str) -> float:
    """Return the bytes of all splits: arrays, or the names of image files."""
    data, kind = (
        needs.sizes(config, recipes.Data(dataset, None)),
        config.datasets[dataset].kind.kind,
    )
    files = kinds.constant("datasets", kind, "FORM") == "files"
    each = INDEX if files else data.values * data.itemsize
    return sum(data.images.values()) * (each + LABEL)


def fetch_weights(config: Config, backbone: str) -> float:
    """Return the bytes of a network that may be downloaded, whether or not torch has it."""
    return 4 * network_costs.NUMBERS * config.backbones[backbone].download


def prepare_backbone(config: Config, backbone: str) -> float:
    """Return the bytes of a network."""
    entry, network = config.backbones[backbone], facts.network(config, backbone)
    if entry.study is None:
        return 4 * network_costs.NUMBERS
    images = needs.sizes(config, config.studies[entry.study].data)
    return 4 * network_costs.numbers(network, images.shape, images.classes)


def cache_features(
    config: Config, dataset: str, backbone: str, split: str, shard: str, shards: str
) -> float:
    """Return the bytes of a shard."""
    features = needs.sizes(config, recipes.Data(dataset, backbone))
    return features.bytes(split) / int(shards)


def gather_features(config: Config, dataset: str, backbone: str, split: str) -> float:
    """Return the bytes of a split's labels."""
    return LABEL * needs.sizes(config, recipes.Data(dataset, backbone)).images[split]


def train(config: Config, study: str, **run: Any) -> float:
    """Return the bytes of a run's kept checkpoints and its history; of the largest it may be."""
    entry, (models, optimizers) = config.studies[study], needs.candidates(config, study, run)
    data = needs.sizes(config, entry.data_of(run["model"]))
    by_class = CLASS_LOSS * data.classes * (entry.train_epochs == "last")
    return max(
        _trained(model, optimizer, entry.keep, entry.precision, data) + by_class * optimizer.epochs
        for model in models
        for optimizer in optimizers
    )


def _trained(
    model: recipes.Kind, optimizer: recipes.Optimizer, keep: int | None, precision: str, data: Sizes
) -> float:
    stored = 8 if optimizer.algorithm.options.get("dtype", precision) == "float64" else 4
    checkpoint = stored * network_costs.numbers(model, data.shape, data.classes) + HEAD
    checkpoint += (optimizer.normalize == "zca") * 4 * data.values**2
    kept = len(recipes.kept_epochs(keep, optimizer.epochs))
    return kept * checkpoint + optimizer.epochs * LINE + MANIFESTS


def evaluate(config: Config, study: str, **run: Any) -> float:
    """Return the bytes of a run's predictions and its means by class and epoch."""
    entry, (_, optimizers) = config.studies[study], needs.candidates(config, study, run)
    data = needs.sizes(config, entry.data_of(run["model"]))
    kept = max(len(recipes.kept_epochs(entry.keep, each.epochs)) for each in optimizers)
    once = {"train"} & set(entry.evaluate_splits) if entry.train_epochs == "last" else ()
    scored = kept * (len(entry.evaluate_splits) - len(once)) + len(once)
    return _scored(data, entry.evaluate_splits, scored)


def evaluate_baseline(config: Config, study: str) -> float:
    """Return the bytes of the predictions and of the last layer."""
    data = needs.sizes(config, config.studies[study].data)
    head = 4 * network_costs.numbers(recipes.Kind("linear", {}), data.shape, data.classes)
    return head + _scored(data, paths.SPLITS, len(paths.SPLITS))


def _scored(data: Sizes, splits: Iterable[str], scored: int) -> float:
    predictions = PREDICTION * sum(data.images[split] for split in splits)
    return predictions + scored * (data.classes * BY_CLASS + METRIC) + EMPTY


# Rule → what it writes, and how much.
PARTS: dict[str, tuple[str, Callable[..., float]]] = {
    "fetch_dataset": ("downloads", fetch_dataset),
    "prepare_dataset": ("datasets", prepare_dataset),
    "fetch_weights": ("downloads", fetch_weights),
    "prepare_backbone": ("backbones", prepare_backbone),
    "cache_features": ("features", cache_features),
    "gather_features": ("features", gather_features),
    "train": ("checkpoints", train),
    "evaluate": ("predictions", evaluate),
    "evaluate_baseline": ("predictions", evaluate_baseline),
}
IN_RESOURCES = ("downloads", "datasets", "backbones")


def by_study(config: Config, jobs: Iterable[Job]) -> dict[str, dict[str, float]]:
    """Return the bytes that jobs will write: study → part → bytes, less what is there already.

    What several studies share counts for the first of them that has jobs; what none uses, "".
    """
    jobs = list(jobs)
    busy = {job.identity["study"] for job in jobs if "study" in job.identity}
    found: dict[str, dict[str, float]] = {}
    for job in jobs:
        part, size = PARTS[job.rule]
        amounts = found.setdefault(_study(config, job.identity, busy), {})
        more = max(0.0, size(config, **job.identity) - job.there)
        amounts[part] = amounts.get(part, 0.0) + more
    return {study: {p: b for p, b in parts.items() if b} for study, parts in found.items()}


def _study(config: Config, identity: Mapping[str, Any], busy: Container[str]) -> str:
    if "study" in identity:
        return identity["study"]
    for name in sorted(config.studies, key=lambda name: name not in busy):
        try:
            study = config.studies[name]
        except ConfigError:  # of a study that nobody asked for
            continue
        started = [model.start.backbone for model in study.models.values() if model.start]
        used = {"dataset": [study.dataset], "backbone": [*study.backbones, *started]}
        if all(identity[key] in names for key, names in used.items() if key in identity):
            return study.name
    return ""


def jobs(
    config: Config, rule: str, identity: Mapping[str, Any], outputs: Iterable[str]
) -> Iterator[Job]:
    """Yield the jobs of single runs that a job stands for: itself, or those of a group.

    identity: its wildcards, or the study and group of runs that are trained together.
    """
    if "group" not in identity:
        scratch = [paths.RUN.format(**identity)] if rule == "train" else []
        yield Job(rule, identity, there(outputs, scratch))
        return
    members = runs.groups(config.studies[identity["study"]])[identity["group"]]
    found = there(outputs, [paths.TOGETHER.format(**identity)] if rule == "train" else [])
    for run in members:
        yield Job(rule, runs.identity(identity["study"], run), found / len(members))


def there(outputs: Iterable[str], scratch: Iterable[str] = ()) -> float:
    """Return the bytes of outputs and resume folders that stand; a file of two names counts once.

    scratch: folders of runs, or of groups of runs, that may hold a resume folder.
    """
    roots = [*map(Path, outputs), *(Path(each) / paths.RESUME for each in scratch)]
    stats = [file.stat() for root in roots for file in _files(root)]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}.values())


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def said(amounts: Mapping[str, Mapping[str, float]], root: Path = Path()) -> tuple[list[str], bool]:
    """Return a line per study, and whether all of it fits where it is written."""
    lines, needed = [], {"resources": 0.0, "results": 0.0}
    places = {name: _standing(root / name) for name in needed}
    free = {name: shutil.disk_usage(place).free for name, place in places.items()}
    for study, parts in amounts.items():
        words = ", ".join(f"{part} {size(each)}" for part, each in parts.items())
        for part, each in parts.items():
            needed["resources" if part in IN_RESOURCES else "results"] += each
        if parts:
            total, left = size(sum(parts.values())), size(free["results"])
            lines.append(f"{study or 'shared'}: will write {total} ({words}); {left} are free")
    if len({place.stat().st_dev for place in places.values()}) == 1:
        return lines, sum(needed.values()) <= free["results"]
    return lines, all(needed[name] <= free[name] for name in needed)


def _standing(path: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def size(count: float) -> str:
    """Return a number of bytes in words: ``62 MB``."""
    units = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}
    name = next((name for name, unit in units.items() if count >= 0.9995 * unit), "kB")
    return f"{count / units[name]:.3g} {name}"
