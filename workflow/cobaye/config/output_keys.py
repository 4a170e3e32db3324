"""The keys `analyses` and `figures` of a study file: checked, their defaults filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cobaye import kinds, recipes
from cobaye.config import axis_keys, schema
from cobaye.errors import ConfigError
from cobaye.recipes.study import Study
from cobaye.storage import table_names
from cobaye.storage.paths import SPLITS

# The figures of a study whose file does not list any.
LAST_LAYER_FIGURES = (
    "answer",
    "answer-over-epoch",
    "answer-over-learning-rate",
    "train-curves",
    "test-curves",
    "weight-norm",
    "three-classes",
    "best-lambda-train",
    "best-lambda-val",
    "best-lambda-test",
    "class-loss-train",
    "class-loss-val",
    "class-loss-test",
    "confusion",
    "confusion-zoom",
    "class-effects",
    "measures",
    "calibration",
    "class-gain",
    "how-many",
    "helped-harmed",
    "worst-classes",
    "rivals",
)
# Those that compare several λ: left out of the default where each optimizer has one λ.
OVER_LAMBDA = (
    "answer",
    "three-classes",
    *(f"best-lambda-{split}" for split in SPLITS),
    *(f"class-loss-{split}" for split in SPLITS),
    "class-effects",
    "measures",
    "calibration",
    "class-gain",
    "how-many",
    "helped-harmed",
    "worst-classes",
)
# With fewer classes, the whole matrix is read without a window.
FEW_CLASSES = 50
# The analyses of a study of several λ whose file does not list any.
LAST_LAYER_ANALYSES = ("classes", "measures")

# Names, each with its options or None; None where the study file does not say.
Given = Mapping[str, Mapping[str, Any] | None] | None


def analyses(given: Given, one_lambda: bool, path: Path) -> dict[str, recipes.Kind]:
    """Return the analyses of a study: name, with the axis if it is not λ → kind with its options.

    one_lambda: whether each optimizer has one λ. Those of the default compare several.
    """
    default: Given = {} if one_lambda else dict.fromkeys(LAST_LAYER_ANALYSES)
    asked = default if given is None else given
    for name in asked:
        schema.refuse_unknown(name, kinds.names("analyses"), path, "analyses", "analysis")
        reads = kinds.constant("analyses", name, "READS_TABLES", ())
        alone = kinds.constant("analyses", name, "READS_RUNS")
        if isinstance(reads, dict) and not alone and not set(reads) & set(asked):
            raise ConfigError(
                f"{path}: analyses.{name}: needs one of {', '.join(reads)} in analyses"
            )
    checked = {
        name: schema.checked_kind("analyses", name, options or {}, path, f"analyses.{name}")
        for name, options in asked.items()
    }
    return {
        over: kind
        for name, each in checked.items()
        for over, kind in axis_keys.expand(name, each, path).items()
    }


def refuse_pictures(given: Given, dataset: str, path: Path) -> None:
    """Refuse an analysis of images in a study whose dataset holds features."""
    for name in set(given or ()) & set(kinds.names("analyses")):
        if kinds.constant("analyses", name, "INPUT") == "images":
            raise ConfigError(
                f"{path}: analyses.{name}: it shows images, and {dataset} holds features"
            )


def refuse_networks(study: Study, path: Path) -> None:
    """Refuse an analysis that does not support one of the study's networks, or its loss."""
    for analysis in study.analyses:
        networks = kinds.constant("analyses", analysis, "NETWORKS")
        loss = kinds.constant("analyses", analysis, "LOSS")
        for name, model in study.models.items():
            for value, supported in ((model.kind, networks), (model.loss, loss and (loss,))):
                if supported and value not in supported:
                    raise ConfigError(
                        f"{path}: analyses.{analysis}: models.{name} is a {value!r}, and the "
                        f"analysis supports {', '.join(supported)} only"
                    )


def refuse_decays(study: Study, path: Path) -> None:
    """Refuse an analysis or a figure of a λ that some optimizer is not trained with."""
    named = [("analyses", "against", *item) for item in study.analyses.items()]
    named += [("figures", "weight_decay", *item) for item in study.figures.items()]
    for family, option, name, kind in named:
        label = kind.options.get(option)
        for optimizer in study.optimizers if label else ():
            where = f"{family}.{name}.{option}"
            what = f"weight decay of optimizers.{optimizer}"
            schema.refuse_unknown(label, study.decays(optimizer), path, where, what)


def refuse_one_unit(study: Study, path: Path) -> None:
    """Refuse an analysis of backbones or seeds in a study that has one of each."""
    for analysis in study.analyses:
        several = max(len(study.backbones), len(study.seeds)) > 1
        if kinds.constant("analyses", analysis, "NEEDS_UNITS") and not several:
            raise ConfigError(
                f"{path}: analyses.{analysis}: needs two or more backbones in backbones, or seeds "
                "in seeds"
            )


def left_out(
    one_lambda: bool, only_last: bool, dataset: recipes.Kind, known: Mapping[str, str]
) -> list[str]:
    """Return the figures that the default leaves out.

    one_lambda: whether each optimizer has one λ. only_last: whether each run keeps its last
    checkpoint alone. known: as of `figures`.
    """
    by_epoch = [name for name in known if kinds.constant("figures", known[name], "BY_EPOCH")]
    options = kinds.options("datasets", dataset.kind)
    sizes = getattr(options, "sizes", None)
    classes = sizes(recipes.parse(options, dataset.options)).get("classes") if sizes else None
    few = classes is not None and classes < FEW_CLASSES
    return [
        *(OVER_LAMBDA if one_lambda else ()),
        *(by_epoch if only_last else ()),
        *(("confusion-zoom",) if few else ()),
    ]


def figures(
    given: Given,
    makers: Iterable[str],
    known: Mapping[str, str],
    left_out: Iterable[str],
    path: Path,
) -> dict[str, recipes.Kind]:
    """Return the figures of a study: name → kind with its options.

    makers: who makes the study's tables: its analyses, and `table_names.DERIVED`. known: every
    figure's name → kind. left_out: of the default.
    """
    if given is None:
        wanted = [name for name in LAST_LAYER_FIGURES if name not in left_out]
        drawn = [name for name in wanted if not table_names.lacking(known[name], makers)]
        given = dict.fromkeys(drawn)
    chosen = {}
    for name, options in given.items():
        schema.refuse_unknown(name, known, path, "figures", "figure")
        kind = known[name]
        if lacking := table_names.lacking(kind, makers):
            wanted = (
                "derived runs" if lacking == table_names.DERIVED else f"{lacking!r} in analyses"
            )
            raise ConfigError(f"{path}: figures.{name}: needs {wanted}")
        defaults = kinds.constant("figures", kind, "NAMES")[name]
        if "split" in defaults and "split" in (options or {}):
            raise ConfigError(f"{path}: figures.{name}.split: the figure's name states it")
        asked = {**defaults, **(options or {})}
        chosen[name] = schema.checked_kind("figures", kind, asked, path, f"figures.{name}")
    return chosen
