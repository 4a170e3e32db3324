"""Schedules against torch's own, and their first and last epochs."""

from __future__ import annotations

import math

import pytest
import torch

from cobaye import kinds, recipes, schedules

EPOCHS = 7


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (
            recipes.Kind("step", {"step_size": 3, "gamma": 0.5}),
            lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
        ),
        (
            recipes.Kind("exponential", {"decay": 0.2}),
            lambda o: torch.optim.lr_scheduler.ExponentialLR(o, math.exp(-0.2)),
        ),
        (
            recipes.Kind("time-based", {"decay": 0.2}),
            lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda done: 1 / (1 + 0.2 * done)),
        ),
        (
            recipes.Kind("cosine", {"final": 0.1, "warmup": 0}),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, EPOCHS, 0.1),
        ),
        (recipes.Kind("constant", {}), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
    ],
)
def test_as_torch_has_it(schedule, make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
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


def test_every_schedule_has_its_name_in_the_config():
    named = {"constant", "step", "exponential", "time-based", "cosine"}
    assert set(kinds.names("schedules")) == named
