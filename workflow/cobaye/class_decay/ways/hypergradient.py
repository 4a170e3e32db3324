"""Each class's λ by descent along the hypergradient, cross-fitted: `class_decay.descent`."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.class_decay import descent
from cobaye.class_decay.ways import Choice, Given
from cobaye.errors import DataError

TABLES = ()
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Options:
    """The folds and the descent."""

    #: Folds of val.
    folds: int = 4
    #: Largest number of steps of each descent.
    steps: int = 5
    #: Seed of the folds.
    seed: int = 0

    def __post_init__(self):
        if self.folds < 2 or self.steps < 1:
            raise ValueError("folds: at least 2; steps: at least 1")
        if self.seed < 0:
            raise ValueError("seed: not below 0")


def choose(given: Given, options: Options) -> Choice:
    """Return the λ that the descent from the best single λ ends at; none of them is 0."""
    if not float(given.best) > 0:
        raise DataError(
            f"the best λ is {given.best}: a descent along the hypergradient starts above 0; give "
            "the study smaller weight_decays, or leave this way out"
        )
    train, val = given.images("train"), given.images("val")
    if len(val) < options.folds:
        raise DataError(f"val has {len(val)} images: too few for {options.folds} folds")
    parts = descent.folds(train, val, options.folds, options.seed, train_too=given.unseen)
    chosen = descent.choose(
        parts,
        given.classes,
        float(given.best),
        steps=options.steps,
        penalize_bias=given.training.penalize_bias,
        device=given.device,
        report=lambda done: print(done, flush=True),
    )
    info = {
        "shrinkage": chosen.shrinkage,
        "steps": chosen.steps,
        "train_joins": given.unseen,
        "left_out_loss": chosen.losses.mean(axis=0).tolist(),
    }
    return Choice(chosen.weight_decays, info)
