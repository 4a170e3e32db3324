"""Every kind of every family keeps the promises of its family, engines and analyses more."""

from __future__ import annotations

import dataclasses
import inspect
import re

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import kinds, recipes
from cobaye.data import splits
from cobaye.data.normalization import fit_normalization
from cobaye.inside.opened_run import Inside
from cobaye.models import networks
from cobaye.storage import manifests, paths
from cobaye.training import engines
from tests import chain
from tests import test_training as base
from tests.examples import example, parsed

root = base.root
# The constants that config, plan and these tests read without an import.
READ = (
    *("COLUMNS", "DEVICE", "ENGINE", "EXAMPLE", "FORM", "HISTORY", "INPUT", "LOSS", "NAMES"),
    *(
        "NEEDS_EPOCHS",
        "NEEDS_UNITS",
        "NETWORKS",
        "OPTIONAL_TABLES",
        "OVER",
        "PARTS",
        "PASSES",
        "READS",
    ),
    *("REFUSES", "SCRATCH", "SPLIT", "SPLITS", "STATES", "SUPPORTS", "TABLES", "TOGETHER"),
    "TRAIN_SPLITS",
)
EVERY = [(family, name) for family in kinds.FAMILIES for name in kinds.names(family)]


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_a_kind_is_read_as_python_would_import_it(family, name):
    """Options, EXAMPLE and other plain constants are read from the source without an import."""
    module = kinds.load(family, name)
    assert module.__doc__
    given = parsed(family, name, **kinds.constant(family, name, "EXAMPLE", {}))
    imported = getattr(module, "Options", None)
    assert type(given).__dataclass_params__.frozen
    if imported:
        assert imported.__doc__
        assert repr(given) == repr(imported(**dataclasses.asdict(given)))
    for constant in re.findall(rf"^({'|'.join(READ)})\b", inspect.getsource(module), re.M):
        assert kinds.constant(family, name, constant) == getattr(module, constant), constant


# Engines. Those that train many runs at once have no `build`.
OF_ONE_RUN = [
    name for name in kinds.names("engines") if hasattr(kinds.load("engines", name), "build")
]
SOLVERS = {kinds.constant("optimizers", k, "ENGINE"): k for k in kinds.names("optimizers")}


def engine_of(root, name):
    """Return a new engine on the small dataset, with the optimizer that belongs to it."""
    algorithm = example("optimizers", SOLVERS.get(name, "sgd"))
    optimizer = dataclasses.replace(base.OPTIMIZER, algorithm=algorithm)
    recipe = dataclasses.replace(base.TRAINING, engine=name, optimizer=optimizer)
    split = splits.load(base.DATA, "train", root)
    network = networks.build(recipe.model, (1, base.SIZE, base.SIZE), base.CLASSES, seed=0)
    normalization = fit_normalization(split, optimizer)
    return engines.build(recipe, network, split, normalization, "cpu"), network.state_dict()


def epoch(engine, number):
    torch.manual_seed(number)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(number))
    return engine.epoch(order, 0.05)


def copied(tensors):
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", OF_ONE_RUN)
def test_an_engine_lowers_the_objective_and_goes_on_from_its_state(root, name):
    engine, start = engine_of(root, name)
    keys = {field.name for field in dataclasses.fields(recipes.Optimizer)}
    assert set(kinds.constant("engines", name, "SUPPORTS", ())) <= keys
    assert kinds.constant("engines", name, "DEVICE", "cpu") in ("cpu", "cuda")
    torch.testing.assert_close(copied(engine.tensors()), start, check_dtype=False)
    first = epoch(engine, 1)
    kept = copied(engine.tensors()), copied(engine.state())
    second = epoch(engine, 2)
    assert second.loss + second.penalty <= first.loss + first.penalty
    assert 0.5 < second.accuracy <= 1
    assert len(engine.parameters()) == len(engine.tensors()) == 2
    squares = sum(theta.double().square().sum().item() for theta in engine.parameters())
    assert engine.penalty() == pytest.approx(base.TRAINING.weight_decay / 2 * squares, rel=1e-6)
    resumed, _ = engine_of(root, name)
    resumed.restore(*kept)
    again = epoch(resumed, 2)
    assert {**vars(again), "losses": None} == {**vars(second), "losses": None}
    torch.testing.assert_close(resumed.tensors(), engine.tensors(), rtol=0, atol=0)


# Analyses.
OF_RUNS = [name for name in kinds.names("analyses") if kinds.constant("analyses", name, "STATES")]


@pytest.mark.parametrize("name", kinds.names("analyses"))
def test_an_analysis_states_its_tables_and_who_makes_them(name):
    for table, file in kinds.constant("analyses", name, "TABLES").items():
        assert file in (f"{table}.csv", f"{table}.parquet")
    function = "inspect" if name in OF_RUNS else "analyse"
    assert callable(getattr(kinds.load("analyses", name), function))
    assert set(kinds.constant("analyses", name, "NETWORKS", ())) <= set(kinds.names("networks"))


@pytest.mark.parametrize("name", OF_RUNS)
def test_an_analysis_of_single_runs_measures_the_columns_that_it_states(name, chained):
    """A linear model on features after one epoch, unless the analysis is not for such."""
    columns, split = (kinds.constant("analyses", name, key) for key in ("COLUMNS", "SPLIT"))
    states = kinds.constant("analyses", name, "STATES")
    assert set(columns) == set(kinds.constant("analyses", name, "TABLES"))
    assert set(states) <= set(paths.STATES)
    if "linear" not in kinds.constant("analyses", name, "NETWORKS", ["linear"]):
        return
    root, run = chained[-2], chain.RUNS[1]
    folder = root / paths.RUN.format(**run)
    trained = manifests.read_manifest(folder / "train.json", "train", run)
    data = splits.load(chain.FEATURES, split, root) if split else None
    for state in states:
        opened = Inside(folder, trained, chain.MODEL, "cross-entropy", state, data)
        first, again = (
            kinds.load("analyses", name).inspect(opened, parsed("analyses", name)) for _ in range(2)
        )
        assert set(first) == set(columns)
        for table, frame in first.items():
            assert list(frame.columns) == columns[table].split() or frame.empty
            pd.testing.assert_frame_equal(frame, again[table])
            assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any()
