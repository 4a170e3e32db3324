"""A kind that is added as one file is tested by the tests of its family, none of them edited."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT, copy_code

pytestmark = pytest.mark.slow
NETWORK = '''"""Fully connected layers whose outputs are added to their inputs (He et al., 2016)."""

import math
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Options:
    """width: of the hidden layers."""

    width: int = 16


class ResidualMLP(nn.Module):
    def __init__(self, options, inputs, classes):
        super().__init__()
        self.stem = nn.Linear(inputs, options.width)
        self.block = nn.Linear(options.width, options.width)
        self.head = nn.Linear(options.width, classes)

    def forward(self, inputs):
        hidden = self.stem(inputs.flatten(1)).relu()
        return self.head(hidden + self.block(hidden).relu())


def build(options, shape, classes):
    return ResidualMLP(options, math.prod(shape), classes)
'''
OPTIMIZER = '''"""Lion: steps of the sign of an interpolated momentum (Chen et al., 2023)."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Options:
    """beta1: of the gradient that steps. beta2: of the running mean."""

    beta1: float = 0.9
    beta2: float = 0.99


class Lion(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * mean.lerp(p.grad, 1 - group["beta1"]).sign())
                mean.lerp_(p.grad, 1 - group["beta2"])


def build(groups, options, learning_rate):
    return Lion(groups, {"lr": learning_rate, "beta1": options.beta1, "beta2": options.beta2})
'''
FILES = {
    "models/networks/residual_mlp": NETWORK,
    "training/optimizers/lion": OPTIMIZER,
}
# What is wrong with a second kind of each, and the test that notices.
FAULTS = [
    ("hidden + self", "hidden.detach() + self", "test_gradients_are_those_of_the_loss"),
    (
        '* group["weight_decay"]',
        "* 0",
        "test_weight_decay_is_part_of_the_gradient_or_shrinks_the_weights",
    ),
]


def test_the_tests_of_its_family_run_on_a_new_kind_and_notice_what_is_wrong_with_it(tmp_path):
    for name in ("workflow", "tests", "pyproject.toml"):
        copy_code(ROOT / name, tmp_path / name)
    for (name, right), (part, wrong, _) in zip(FILES.items(), FAULTS, strict=True):
        assert part in right
        library = tmp_path / "workflow/cobaye"
        library.joinpath(f"{name}.py").write_text(right)
        library.joinpath(f"{name}_spoilt.py").write_text(right.replace(part, wrong))
    files = [f"tests/test_{name}.py" for name in ("networks", "optimizers", "kinds")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-k", "residual-mlp or lion", *files],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    said = re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)(.*)", done.stdout, re.M)
    good = [end for end, _, kind in said if "spoilt" not in kind]
    assert set(good) == {"PASSED"}, done.stdout + done.stderr
    assert len(good) > 15
    noticed = {test for end, test, kind in said if "spoilt" in kind and end == "FAILED"}
    assert noticed >= {test for *_, test in FAULTS}, done.stdout
