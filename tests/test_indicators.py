"""Indicators are ranked against test accuracy as known ranks say, gaps left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cobaye.analyses import indicators
from cobaye.tables import reading

RUNS = 9
ACCURACY = np.array([0.64, 0.75, 0.84, 0.66, 0.74, 0.86, 0.65, 0.73, 0.85])


def runs(**columns):
    """Return a table with one row per run."""
    keys = {"model": "m", "optimizer": [f"o-{i}" for i in range(RUNS)], "weight_decay": "0"}
    return pd.DataFrame({**keys, "seed": 0, **columns})


def read(rng):
    """Return tables in which `near_zero` rises with test accuracy in layer 1, falls in layer 2."""
    metrics = pd.concat(
        [
            runs(epoch=0, split="test", accuracy=0.1),
            runs(epoch=1, split="val", accuracy=0.0),
            runs(epoch=1, split="test", accuracy=ACCURACY),
        ]
    )
    signs = {1: 1, 2: -1}
    layers = [
        runs(
            epoch=epoch,
            layer=layer,
            cosine_distance=rng.random(RUNS),
            norm_ratio=np.nan if layer == 1 else rng.random(RUNS),
            projection=0.5,
            near_own_zero=rng.random(RUNS),
            near_zero=ACCURACY**3 * sign * (epoch == 1),
        )
        for epoch in (0, 1)
        for layer, sign in signs.items()
    ]
    return {"metrics": metrics, "rotation": pd.concat(layers)}


@pytest.fixture
def found():
    return indicators.indicators(read(np.random.default_rng(0)))


def rank(table, indicator, layer):
    (own,) = table[(table["indicator"] == indicator) & (table["layer"] == layer)].itertuples()
    return own


def test_ranks_of_an_indicator_that_follows_accuracy(found):
    table = indicators.ranks(found)
    assert rank(table, "near_zero", "1").spearman == pytest.approx(1)
    assert rank(table, "near_zero", "2").spearman == pytest.approx(-1)
    assert rank(table, "near_zero", "1").runs == RUNS
    own = found[(found["indicator"] == "cosine_distance") & (found["layer"] == "2")]
    expected = stats.spearmanr(own["value"], own["test_accuracy"])
    seen = rank(table, "cosine_distance", "2")
    assert (seen.spearman, seen.p_value) == pytest.approx(tuple(expected))
    assert seen.p_bh >= seen.p_value


def test_only_the_last_epoch_and_the_test_split_count(found):
    assert sorted(found["test_accuracy"].unique()) == sorted(ACCURACY)
    own = found[(found["indicator"] == "near_zero") & (found["layer"] == "1")]
    np.testing.assert_allclose(own["value"], ACCURACY**3)


def test_a_layer_without_a_value_is_left_out_of_the_mean(found):
    by_layer = found[found["indicator"] == "norm_ratio"].set_index("layer")["value"]
    assert by_layer["1"].isna().all()
    np.testing.assert_allclose(by_layer["all"], by_layer["2"])


def test_what_does_not_vary_or_is_missing_has_no_rank(found):
    table = indicators.ranks(found)
    assert np.isnan(rank(table, "projection", "all").spearman)
    assert np.isnan(rank(table, "norm_ratio", "1").spearman)
    assert rank(table, "norm_ratio", "1").runs == 0


def test_pruning_counts_as_a_share_of_what_was_there():
    fractions = {0.0: 1.0, 0.5: 0.5, 0.9: 0.25}
    rows = [
        runs(
            how=how,
            fraction=fraction,
            repeat=0,
            accuracy=ACCURACY * (kept if how == "random" else 1),
        )
        for how in ("random", "magnitude")
        for fraction, kept in fractions.items()
    ]
    found = indicators.indicators({**read(np.random.default_rng(0)), "pruning": pd.concat(rows)})
    for how, expected in (("random", 0.375), ("magnitude", 1.0)):
        own = found[found["indicator"] == f"pruned_{how}"]
        np.testing.assert_allclose(own["value"], expected)
        assert len(own) == RUNS
        assert set(own["layer"]) == {"all"}


def activity(state, value, neurons=20, layer=1):
    columns = dict.fromkeys(indicators.OF_ACTIVATIONS, value)
    counted = dict.fromkeys(indicators.CLUSTERS.values(), neurons)
    return runs(state=state, layer=layer, **columns, **counted)


def test_silhouettes_of_few_neurons_do_not_count():
    few = indicators.NEURONS - 1
    tables = pd.concat([activity("trained", 0.2), activity("trained", 0.9, few, layer=2)])
    found = indicators.indicators({**read(np.random.default_rng(0)), "activations": tables})
    means = found[found["layer"] == "all"].groupby("indicator")["value"].mean()
    assert means["silhouette_cosine"] == pytest.approx(0.2)
    assert means["active_around_euclidean"] == pytest.approx(0.2)
    assert means["label_information"] == pytest.approx(0.55)


def test_activations_of_untrained_networks_do_not_count():
    activations = pd.concat([activity("trained", 0.25), activity("initial", 7.0)])
    found = indicators.indicators({**read(np.random.default_rng(0)), "activations": activations})
    own = found[found["indicator"].isin(indicators.OF_ACTIVATIONS)]
    assert (own["value"] == 0.25).all()
    assert len(own) == 2 * RUNS * len(indicators.OF_ACTIVATIONS)


def test_a_run_is_known_by_the_keys_of_all_tables(found):
    assert list(found.columns[:4]) == reading.KEYS
