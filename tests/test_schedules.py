"""Schedules are torch's of the same name, from the first epoch to the last."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch.optim import lr_scheduler

from cobaye import kinds, recipes
from cobaye.training import phases, schedules
from cobaye.training.history import COLUMNS
from tests.examples import example

EPOCHS = 7


@pytest.mark.parametrize("kind", kinds.names("schedules"))
def test_a_factor_follows_from_the_epoch_and_the_history_alone(kind):
    """At its example's options the first epoch has the recipe's rate."""
    schedule = example("schedules", kind)
    if kinds.constant("schedules", kind, "HISTORY"):
        assert schedule.options["quantity"] in COLUMNS
    # Nothing improves; rows of later epochs are never there.
    rows = [dict.fromkeys(COLUMNS, 0.5) for _ in range(11)]
    first, again, longer = (
        {n: schedules.factor(schedule, n, epochs, tuple(rows[: n - 1])) for n in order}
        for order, epochs in [(range(1, 13), 12), (range(12, 0, -1), 12), (range(1, 13), 24)]
    )
    assert first == again
    assert all(math.isfinite(each) and each > 0 for each in first.values())
    assert first[1] == 1
    assert (first != longer) == bool(kinds.constant("schedules", kind, "NEEDS_EPOCHS"))
    assert rows == [dict.fromkeys(rows[0], 0.5)] * 11


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (("step", {"step_size": 3, "gamma": 0.5}), lambda o: lr_scheduler.StepLR(o, 3, 0.5)),
        (("exponential", {"decay": 0.2}), lambda o: lr_scheduler.ExponentialLR(o, math.exp(-0.2))),
        (
            ("time-based", {"decay": 0.2}),
            lambda o: lr_scheduler.LambdaLR(o, lambda done: 1 / (1 + 0.2 * done)),
        ),
        (("cosine", {"final": 0.1}), lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS, 0.1)),
        (("constant", {}), lambda o: lr_scheduler.ConstantLR(o, 1.0)),
    ],
)
def test_as_torch_has_it(schedule, make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = example("schedules", schedule[0], **schedule[1])
    theirs, found, expected = make(optimizer), [], []
    for epoch in range(1, EPOCHS + 1):
        found.append(schedules.factor(schedule, epoch, EPOCHS))
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert found == pytest.approx(expected)


def test_cosine_rises_then_starts_from_one():
    schedule = recipes.Kind("cosine", {"final": 0.1, "warmup": 4})
    factors = [schedules.factor(schedule, epoch, 6) for epoch in range(1, 7)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.55])


# Losses of epochs 1, 2, …: improvements, small ones, a tie, NaN, long waits.
LOSSES = [1.0, 0.9, 0.89995, 0.95, 0.9, 0.85, 0.86, math.nan, 0.87, 0.88, 0.89, 0.7, 0.71, 0.7, 0.7]


plateau = functools.partial(example, "schedules", "plateau")


def along(schedule, quantity, values):
    """Return the factors of epochs 1, 2, …, each after the rows of those before it."""
    rows = [{quantity: value} for value in values]
    epochs = len(values) + 1
    return [schedules.factor(schedule, n + 1, epochs, rows[:n]) for n in range(epochs)]


@pytest.mark.parametrize("quantity", ["val_loss", "loss", "val_accuracy", "accuracy"])
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_is_torchs_with_one_epoch_less_of_patience(quantity, patience):
    rises = quantity.endswith("accuracy")
    values = [1 - value if rises else value for value in LOSSES]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="max" if rises else "min",
        factor=0.2,
        patience=patience - 1,
        threshold=1e-4,
        threshold_mode="abs",
        min_lr=0.01,
        eps=0.0,
    )
    expected = [1.0]
    for value in values:
        optimizer.step()
        theirs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    found = along(
        plateau(quantity=quantity, patience=patience, minimum=0.01),
        quantity,
        values,
    )
    assert found == pytest.approx(expected)
    assert len(set(found)) > 2


def test_plateau_divides_by_five_after_two_epochs_without_improvement():
    """As the report had it (Keras), by its defaults: validation accuracy, +1e-4."""
    accuracies = [0.5, 0.6, 0.60005, 0.6, 0.7, 0.7, 0.69, 0.7, 0.68]
    found = along(plateau(), "val_accuracy", accuracies)
    assert found == pytest.approx([1, 1, 1, 1, 0.2, 0.2, 0.2, 0.04, 0.04, 0.008])


def test_a_plateaus_rate_is_a_multiple_of_the_recipes():
    optimizer = recipes.Optimizer(
        recipes.Kind("sgd", {}),
        0.5,
        plateau(quantity="loss", patience=1),
        8,
        4,
        "none",
    )
    rows = [{"loss": 1.0}, {"loss": 1.0}]
    assert phases.learning_rate(optimizer, 3, rows) == pytest.approx(0.1)
    assert phases.learning_rate(optimizer, 2, rows[:1]) == 0.5


@pytest.mark.parametrize(
    "options",
    [{"factor": 1.0}, {"factor": 0.0}, {"patience": 0}, {"threshold": -1.0}, {"minimum": 2.0}],
)
def test_plateau_refuses_what_makes_no_sense(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        plateau(**options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("cosine", {"final": -0.1}),
        ("cosine", {"warmup": -1}),
        ("step", {"step_size": 0}),
        ("step", {"gamma": 0.0}),
        ("step", {"gamma": 1.5}),
        ("exponential", {"decay": -0.1}),
        ("time-based", {"decay": math.nan}),
    ],
)
def test_options_out_of_range_are_refused(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kinds.options("schedules", kind)(**options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("exponential", {"decay": 0.0}), ("time-based", {"decay": 0.0}), ("step", {"step_size": 1})],
)
def test_options_at_their_limits_are_allowed(kind, options):
    assert vars(kinds.options("schedules", kind)(**options)).items() >= options.items()
