"""An analysis of single runs gets the network and images of its run, and no diverged ones."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest
import torch

from cobaye import errors, recipes
from cobaye.data import splits
from cobaye.inside import inspecting
from cobaye.inside.opened_run import Inside
from cobaye.storage import checkpoints, manifests, paths
from tests import chain
from tests.jobs import job

RUN, OTHER = chain.RUNS
PLACE = paths.RUN.format(**RUN)
TABLES = paths.TABLES.format(study="s")


@pytest.fixture
def root(chained, tmp_path):
    """Both runs trained and looked at, their tables not yet joined."""
    rules = [stage.rule for stage in chain.stages()]
    return chain.clone(chained[rules.index("analyse") - 1], tmp_path / "root")


def stage(rule, manifest=""):
    """The first stage of a rule that writes a manifest whose path begins so."""
    return next(s for s in chain.stages() if s.rule == rule and s.manifest.startswith(manifest))


def opened(root, state, split="test"):
    trained = manifests.read_manifest(root / PLACE / "train.json", "train", RUN)
    data = splits.load(chain.FEATURES, split, root) if split else None
    return Inside(root / PLACE, trained, chain.MODEL, "cross-entropy", state, data)


def test_its_network_is_the_one_of_its_state(root):
    for state, epoch in (("initial", 0), ("trained", 1)):
        run = opened(root, state)
        network, prepare = run.forward()
        tensors = checkpoints.load(root / PLACE / f"checkpoints/{paths.checkpoint(epoch)}")
        inputs = run.split.inputs[:3]
        expected = inputs @ tensors["head.weight"].T + tensors["head.bias"]
        torch.testing.assert_close(network(prepare(inputs)), expected)
        assert not network.training
        assert run.epoch == epoch


def test_what_prepares_images_is_what_the_training_did(root):
    run = opened(root, "trained")
    trained = manifests.read_manifest(
        root / paths.RUN.format(**chain.BACKBONE_RUN) / "train.json", "train", chain.BACKBONE_RUN
    )
    folder = root / paths.RUN.format(**chain.BACKBONE_RUN)
    images = splits.load(chain.IMAGES, "test", root)
    run = Inside(folder, trained, chain.MODEL, "cross-entropy", "trained", images)
    _, prepare = run.forward()
    train = splits.load(chain.IMAGES, "train", root).inputs.double() / 255
    expected = (images.inputs.double() / 255 - train.mean()) / train.std(correction=0)
    torch.testing.assert_close(prepare(images.inputs).double(), expected, rtol=1e-4, atol=1e-4)


def test_without_a_split_there_is_no_forward_pass(root):
    with pytest.raises(ValueError, match="reads a split"):
        opened(root, "trained", split=None).forward()


def test_a_damaged_checkpoint_is_refused(root):
    path = root / PLACE / "checkpoints/epoch-001.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1])
    with pytest.raises(errors.CorruptFile, match="epoch-001"):
        opened(root, "trained").tensors(1)


def diverge(root):
    """Have the manifest of the first run say that it diverged."""
    path = root / PLACE / "train.json"
    manifest = manifests.read_manifest(path, "train", RUN)
    path.unlink()
    dataclasses.replace(manifest, info={**manifest.info, "finite": False}).write(path)


def joined(root):
    stage("analyse").run(root)
    return pd.read_csv(root / TABLES / "rotation.csv", dtype={"weight_decay": str})


def test_a_run_that_diverged_has_no_rows_and_stops_nothing(root):
    assert set(joined(root)["weight_decay"]) == set(chain.LABELS)
    diverge(root)
    stage("inspect_run", PLACE).run(root)
    table = joined(root)
    assert set(table["weight_decay"]) == {OTHER["weight_decay"]}


def test_where_all_runs_diverged_there_is_an_empty_table(root, monkeypatch):
    diverge(root)
    stage("inspect_run", PLACE).run(root)
    monkeypatch.setattr(chain, "RUNS", [RUN])
    table = joined(root)
    assert list(table.columns[:5]) == ["model", "optimizer", "weight_decay", "seed", "epoch"]
    assert "cosine_distance" in table
    assert table.empty


def test_what_was_inspected_of_another_training_is_not_joined(root):
    diverge(root)
    with pytest.raises(errors.StaleFile, match=r"train\.json|manifest\.json"):
        joined(root)


def test_a_measure_of_other_options_is_not_joined(root, monkeypatch):
    path = root / paths.INSIDE.format(**RUN, analysis="weights", state="trained")
    content = json.loads((path / "manifest.json").read_text())
    assert content["recipe"]["options"] == {"near": 0.1}
    identity, recipe = chain.inspection_of(RUN)
    other = {**recipe, "options": {"near": 0.2}}
    trained = manifests.stage_fingerprint(recipes.plain(chain.training_of(RUN)), chain.CODE)
    inspecting.inspect_run(
        job("inspect_run", identity, other, root, expected=trained, code=chain.CODE)
    )
    with pytest.raises(errors.StaleFile):
        joined(root)
