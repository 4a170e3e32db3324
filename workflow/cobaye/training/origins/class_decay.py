"""A table of chosen λ: one for each class (S0.14)."""

from __future__ import annotations

from cobaye import recipes
from cobaye.errors import DataError
from cobaye.storage import paths
from cobaye.storage.jobs import Job
from cobaye.tables import reading
from cobaye.training.origins import Origin


def resolve(job: Job) -> tuple[recipes.Training, Origin]:
    """Return the recipe of a run with a λ for each class.

    job.recipe: {"way", "training": a plain `recipes.Training` whose λ counts for nothing}. Raises
    DataError if no λ was chosen because no run of this model and optimizer stayed finite.
    """
    identity, way = job.identity, job.recipe["way"]
    table = reading.read_chosen(job, way)
    table = table[
        (table["model"] == identity["model"]) & (table["optimizer"] == identity["optimizer"])
    ]
    if table.empty:
        place = paths.manifest("choose_weight_decay", {**identity, "way": way})
        raise DataError(
            f"{place}: no λ is chosen for {identity['model']}/{identity['optimizer']}: none of its "
            "runs stayed finite"
        )
    decays = table.sort_values("class")["weight_decay"].astype(float).tolist()
    recipe = recipes.parse(recipes.Training, {**job.recipe["training"], "weight_decay": decays})
    return recipe, Origin({"way": way, "weight_decay": decays})
