"""What would stop the trainings or figures of a study, as far as it is known before any job runs.

A dataset's classes and the size of its images are known once it is prepared; of some kinds the
size is known before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cobaye import kinds, recipes
from cobaye.config import Config
from cobaye.errors import CobayeError, nearest
from cobaye.recipes.study import Dataset
from cobaye.storage import files, paths


def of_network(config: Config, study: str, model: str, root: Path = Path()) -> list[str]:
    """Return why a study's network cannot be built for its images, as sentences."""
    of_study = config.studies[study]
    if model not in of_study.models:  # of a derived run
        return []
    network = of_study.models[model].network
    where = f"{config.folder / 'studies' / study}.yaml: models.{model}"
    if network.kind == "torchvision":
        # It imports torch.
        try:
            kinds.load("networks", "torchvision").refuse_unknown(network.options["model"])
        except CobayeError as error:
            return [f"{where}.{error}"]
    smallest = kinds.constant("networks", network.kind, "SMALLEST")
    shape = _shape(config.datasets[of_study.dataset], root)
    if smallest is None or shape is None or network.options["resize"] or min(shape[1:]) >= smallest:
        return []
    return [
        f"{where}.kind: {network.kind!r} takes images of {smallest}×{smallest} pixels and more, "
        f"and those of {of_study.dataset} have {shape[1]}×{shape[2]}: set its resize"
    ]


def _shape(dataset: Dataset, root: Path) -> Sequence[int] | None:
    """Return the shape of an image: as prepared, else as the kind states; None: not known."""
    try:
        manifest = root / paths.DATASET.format(dataset=dataset.name) / "manifest.json"
        return files.read_json(manifest)["info"]["shape"]
    except (CobayeError, LookupError, TypeError):
        kind = dataset.kind
        options = recipes.parse(kinds.options("datasets", kind.kind), kind.options)
        return options.sizes().get("shape") if hasattr(options, "sizes") else None


def of_figure(config: Config, study: str, figure: str, root: Path = Path()) -> list[str]:
    """Return which classes a figure of a study names that its dataset lacks, as sentences."""
    of_study = config.studies[study]
    named = of_study.figures[figure].options.get("classes", ())
    if isinstance(named, int):  # how many, not which
        return []
    path = root / paths.DATASET.format(dataset=of_study.dataset) / "classes.json"
    if not named:
        return []
    try:
        names = [entry["name"] for entry in files.read_json(path)]
    except CobayeError:  # missing, or damaged, which a job refuses
        return []
    known = [*names, *map(str, range(len(names)))]
    where = f"{config.folder / 'studies' / study}.yaml: figures.{figure}.classes"
    return [
        f"{where}: no class {name!r} in {of_study.dataset}: {nearest(name, known)[:300]}"
        for name in named
        if name not in known
    ]
