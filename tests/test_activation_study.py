"""A study's `activations` looks at an untrained network once and at trained ones each."""

from __future__ import annotations

import pandas as pd
import pytest

from cobaye.analyses import activations

STUDY = "config/studies/tiny-images.yaml"
TABLES = "results/tiny-images/tables"


@pytest.mark.slow
def test_untrained_networks_are_looked_at_once_and_trained_ones_each(built, tmp_path):
    project = built.clone(tmp_path / "copy")
    project.edit(STUDY, "analyses: []", "analyses: {activations: {images: 100, trials: 2}}")
    project.edit(STUDY, '["1e-3"]', '["1e-3", "1e-2"]')
    project.run(f"{TABLES}/activations.csv")
    table = pd.read_csv(project.path(f"{TABLES}/activations.csv"), dtype={"weight_decay": str})
    assert list(zip(table["state"], table["weight_decay"], strict=True)) == [
        ("initial", "1e-3"),
        ("trained", "1e-3"),
        ("trained", "1e-2"),
    ]
    assert table["neurons"].eq(10).all()
    assert table["images"].eq(100).all()
    # Outputs of a network that has learnt say more of the digits.
    untrained, *trained = table["label_information"]
    assert min(trained) > untrained
    for file in activations.TABLES.values():
        assert project.path(f"{TABLES}/{file}").exists()
