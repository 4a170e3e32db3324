"""What a study analyses and draws: checked, its defaults filled in. For `config`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cobaye import kinds, recipes
from cobaye.config import schema
from cobaye.errors import ConfigError
from cobaye.recipes.study import Study
from cobaye.storage import table_names
from cobaye.storage.paths import SPLITS

# What a last-layer study draws unless its file says otherwise.
LAST_LAYER_FIGURES = (
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
    "class-gain",
    "helped-harmed",
    "worst-classes",
)
# Those of them that show nothing where there is one λ.
OF_LAMBDA = (
    "three-classes",
    *(f"best-lambda-{split}" for split in SPLITS),
    *(f"class-loss-{split}" for split in SPLITS),
    "class-effects",
    "class-gain",
    "helped-harmed",
    "worst-classes",
)
# What it analyses.
LAST_LAYER_ANALYSES = ("classes",)

# Names, each with its options or None; None where the study file does not say.
Given = Mapping[str, Mapping[str, Any] | None] | None


def analyses(given: Given, path: Path) -> dict[str, recipes.Kind]:
    """Return the analyses of a study file, given as names, or name → options; None: the default."""
    asked = dict.fromkeys(LAST_LAYER_ANALYSES) if given is None else given
    for name in asked:
        schema.refuse_unknown(name, kinds.names("analyses"), path, "analyses", "analysis")
        reads = kinds.constant("analyses", name, "READS", asked)
        if not set(reads) & set(asked):
            raise ConfigError(f"{path}: analyses.{name}: it needs one of {', '.join(reads)} beside")
    return {
        name: schema.checked_kind("analyses", name, options or {}, path, f"analyses.{name}")
        for name, options in asked.items()
    }


def refuse_networks(study: Study, path: Path) -> None:
    """Refuse an analysis of a network that it cannot look into."""
    for analysis in study.analyses:
        looked_into = kinds.constant("analyses", analysis, "NETWORKS")
        for name, model in study.models.items():
            if looked_into and model.kind not in looked_into:
                raise ConfigError(
                    f"{path}: analyses.{analysis}: models.{name} is a {model.kind!r}, and it looks "
                    f"only into {', '.join(looked_into)}"
                )


def figures(
    given: Given, made: Iterable[str], known: Mapping[str, str], one_lambda: bool, path: Path
) -> dict[str, recipes.Kind]:
    """Return the figures of a study file; None: those of a last-layer study that it can draw.

    made: its analyses. known: figure name → kind, of every figure that can be asked for.
    one_lambda: whether each optimizer has one λ only, and the default leaves out those about λ.
    """
    if given is None:
        left_out = OF_LAMBDA if one_lambda else ()
        wanted = [name for name in LAST_LAYER_FIGURES if name not in left_out]
        drawn = [name for name in wanted if not table_names.lacking(known[name], made)]
        given = dict.fromkeys(drawn)
    found = {}
    for name, options in given.items():
        schema.refuse_unknown(name, known, path, "figures", "figure")
        kind = known[name]
        if lacking := table_names.lacking(kind, made):
            wanted = (
                "derived runs" if lacking == table_names.DERIVED else f"{lacking!r} in analyses"
            )
            raise ConfigError(f"{path}: figures.{name}: it needs {wanted}")
        defaults = kinds.constant("figures", kind, "NAMES")[name]
        if "split" in defaults and "split" in (options or {}):
            raise ConfigError(f"{path}: figures.{name}.split: the figure's name says it")
        chosen = {**defaults, **(options or {})}
        found[name] = schema.checked_kind("figures", kind, chosen, path, f"figures.{name}")
    return found
