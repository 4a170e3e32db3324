"""ZCA whitening makes the training split white, and evaluation applies the same."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import recipes
from cobaye.data.normalization import fit_zca, without_normalization
from cobaye.errors import ConfigError
from cobaye.models import backbones, networks
from tests import test_training as base

root = base.root
ZCA = dataclasses.replace(
    base.TRAINING, optimizer=dataclasses.replace(base.OPTIMIZER, normalize="zca", zca_epsilon=1e-5)
)


def images(count=900, shape=(3, 4, 5)):
    """Correlated images: white noise, smoothed, uint8."""
    noise = np.random.default_rng(0).normal(size=(count, *shape))
    smooth = noise + 0.7 * np.roll(noise, 1, 2) + 0.5 * np.roll(noise, 1, 1)
    return torch.from_numpy(np.clip(128 + 30 * smooth, 0, 255).astype(np.uint8))


def test_whitened_training_images_have_the_identity_for_covariance():
    raw = images()
    found = fit_zca(raw, 1e-9)(raw)
    assert found.shape == raw.shape
    assert found.dtype == torch.float32
    flat = found.flatten(1).double()
    np.testing.assert_allclose(flat.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(flat.T, bias=True), np.eye(60), atol=1e-3)


def test_its_matrix_is_the_symmetric_root_and_epsilon_bounds_it():
    raw, epsilon = images(), 0.01
    found = fit_zca(raw, epsilon)
    flat = raw.flatten(1).double().numpy() / 255
    covariance = np.cov(flat.T, bias=True) + epsilon * np.eye(60)
    matrix = found.matrix.double().numpy()
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    np.testing.assert_allclose(matrix @ covariance @ matrix, np.eye(60), atol=1e-4)
    np.testing.assert_allclose(found.mean.flatten(), flat.mean(0), rtol=1e-6)
    # Of all whitenings the one nearest to the image itself: its matrix is positive definite.
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_pixels_that_never_change_are_scaled_by_no_more_than_epsilon_says():
    raw = images()
    raw[:, 0, 0, 0] = 0
    found = fit_zca(raw, 1e-4)
    assert found(raw).isfinite().all()
    changed = raw.clone()
    changed[:, 0, 0, 0] = 255
    moved = (found(changed) - found(raw)).flatten(1).norm(dim=1)
    np.testing.assert_allclose(moved, 100, rtol=1e-3)


def test_large_images_are_refused_with_their_size():
    with pytest.raises(ConfigError, match=r"zca: images of 3×64×64 = 12288 numbers: at most 4096"):
        fit_zca(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), 1e-6)


def test_a_checkpoint_carries_it_and_evaluation_applies_it(root):
    folder, manifest = base.train(root, ZCA)
    base.evaluation_of(root, ZCA, manifest)
    own = {name: t.double().numpy() for name, t in base.weights(folder, 4).items()}
    raw = np.load(root / "resources/datasets/d/test/images.npy").reshape(40, -1) / 255
    labels = np.load(root / "resources/datasets/d/test/labels.npy")
    white = (raw - own["normalization.mean"].reshape(-1)) @ own["normalization.matrix"].T
    logits = white @ own["head.weight"].T + own["head.bias"]
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(40), labels]
    metrics = pd.read_parquet(folder / "metrics.parquet").set_index(["epoch", "split"])
    assert metrics.loc[(4, "test"), "loss"] == pytest.approx(loss.mean(), rel=1e-4)
    _, normalization = without_normalization(base.weights(folder, 4))
    assert torch.equal(normalization.matrix, base.weights(folder, 0)["normalization.matrix"])


def test_an_interrupted_run_on_whitened_images_ends_the_same(root):
    recipe = dataclasses.replace(ZCA, engine="network")
    folder, _ = base.train(root, recipe)
    expected = base.products(folder)
    shutil.rmtree(folder)
    base.interrupt(root, recipe)
    base.train(root, recipe)
    assert base.products(folder) == expected


def test_a_backbone_that_was_trained_on_whitened_images_whitens_them():
    model = recipes.Kind("resnet-small", {"stem": 4, "widths": [4], "features": 4})
    network, raw = networks.build(model, (3, 8, 8), 5).eval(), images(200, (3, 8, 8))
    normalization = fit_zca(raw, 0.1)
    tensors = {**network.state_dict(), **normalization.tensors()}
    found = backbones.Penultimate(model, tensors, (3, 8, 8))(raw[:20])
    network.head = torch.nn.Identity()
    torch.testing.assert_close(found, network(normalization(raw[:20])), rtol=1e-4, atol=1e-4)
