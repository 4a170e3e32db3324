"""Classes that are taken for each other are found, merged by their probabilities, and compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cobaye import recipes
from cobaye.analyses import ambiguity
from cobaye.data import datasets
from cobaye.errors import DataError
from cobaye.statistics import merging
from cobaye.statistics.sample import by_class
from tests import chain
from tests.jobs import job


def test_rates_of_pairs_are_those_counted_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 1, 1, 2, 0, 1, 2, 0])
    found = merging.pair_rates(labels, predicted, 4)
    assert found[0, 1] == found[1, 0] == 3 / 6
    assert found[0, 2] == found[2, 0] == 2 / 6
    assert found[1, 2] == found[3].max() == np.trace(found) == 0


def test_links_chain_and_groups_are_numbered_by_their_first_class():
    linked = np.zeros((6, 6), bool)
    linked[4, 1] = linked[1, 2] = linked[0, 5] = True
    assert merging.groups(linked).tolist() == [0, 1, 1, 2, 1, 0]
    assert merging.groups(np.zeros((3, 3), bool)).tolist() == [0, 1, 2]


def test_merged_probabilities_are_the_sums_of_the_members():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)) * 20 + 300
    group = torch.tensor([0, 1, 0, 2, 1])
    found = torch.softmax(ambiguity.merged(logits, group), 1).numpy()
    each = torch.softmax(logits.double(), 1).numpy()
    expected = np.column_stack([each[:, [0, 2]].sum(1), each[:, [1, 4]].sum(1), each[:, 3]])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def differences(effect, noise, classes=300, images=40, seed=0):
    """Return images' differences at two λ, the first being the reference."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), images)
    own = effect[labels] + noise * rng.standard_normal(len(labels))
    return by_class(np.array([np.zeros(len(labels)), own]), labels, classes)


def test_the_share_that_is_left_is_the_one_that_was_planted():
    rng = np.random.default_rng(0)
    effect = rng.standard_normal(300)
    found = [
        merging.share_left(differences(effect, 1.0), differences(0.6 * effect, noise), 400, rng)
        for noise in (0.0, 3.0)
    ]
    for each in found:
        assert each.low[1] < 0.36 < each.high[1]
        assert each.estimate[1] == pytest.approx(0.36, abs=0.08)
        # The reference has no effect before, so there is no share of it.
        assert np.isnan([each.estimate[0], each.low[0]]).all()
    assert found[0].high[1] - found[0].low[1] < found[1].high[1] - found[1].low[1]


def analysed(root, **options):
    runs = [
        {key: run[key] for key in ("model", "optimizer", "weight_decay", "seed")}
        for run in chain.RUNS
    ]
    asked = job("analyse", {"study": "s", "maker": "ambiguity"}, {"runs": runs}, root)
    return ambiguity.analyse(asked, ambiguity.Options(draws=100, **options))


def test_without_a_merge_nothing_changes_and_with_one_class_nothing_is_left(chained):
    root = chained[-3]
    table = analysed(root, share=2.0)["ambiguity"]
    before, after = (table[table["state"] == state] for state in ambiguity.LABELLINGS)
    for column in ("loss", "accuracy", "between_estimate", "gain"):
        np.testing.assert_allclose(before[column], after[column], rtol=1e-6, equal_nan=True)
    names = datasets.names(chain.FEATURES.dataset, root)
    found = analysed(root, share=2.0, merge=(tuple(names),))
    table, classes = found["ambiguity"], found["ambiguity-classes"]
    whole = table[(table["of"] == "all") & (table["state"] == "merged")]
    np.testing.assert_allclose(whole["loss"], 0, atol=1e-9)
    assert (whole["accuracy"] == 1).all()
    assert set(table["of"]) == {"all"}
    assert set(classes["merged_with"].str.count(", ")) == {len(names) - 2}


def test_a_name_that_is_no_class_and_a_share_of_nothing_are_refused(chained):
    with pytest.raises(DataError, match=r"analyses\.ambiguity\.merge: no class 'nobody'"):
        analysed(chained[-3], merge=(("nobody", "else"),))
    with pytest.raises(ValueError, match="share: 0: above 0"):
        ambiguity.Options(share=0)
    with pytest.raises(ValueError, match="two or more different names"):
        ambiguity.Options(merge=(("a", "a"),))
    assert recipes.parse(ambiguity.Options, {"merge": [["a", "b"]]}).merge == (("a", "b"),)
