"""The estimators for notebooks: scikit-learn's conventions, its optima, and bad arguments."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

import cobaye
from cobaye.errors import CorruptFile, DataError
from tests import chain
from tests.conftest import ROOT

SGD = {
    "algorithm": {"kind": "sgd"},
    "learning_rate": 0.5,
    "batch_size": 16,
    "epochs": 3,
}
SHORT = cobaye.WeightDecayPath([0.1, 0.001])


@pytest.fixture(scope="module")
def data():
    """Four classes of eight features; the last 40 rows are for validation."""
    generator = np.random.default_rng(0)
    labels = np.arange(160) % 4
    means = 1.5 * generator.standard_normal((4, 8))
    spread = np.array([0.5, 0.5, 2.0, 4.0])[labels, None]
    features = means[labels] + spread * generator.standard_normal((160, 8))
    names = np.array(["ant", "bee", "cat", "dog"])[labels]
    return features[:120], names[:120], features[120:], names[120:]


@pytest.fixture(scope="module")
def path(data):
    return cobaye.WeightDecayPath([0.001, 1.0, 0.1]).fit(*data)


@parametrize_with_checks([SHORT, cobaye.PerClassWeightDecay("val", path=SHORT)])
def test_conventions_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        # Of scikit-learn's own checks, in versions that warn of what they skip.
        warnings.simplefilter("ignore")
        check(estimator)


def test_the_path_is_scikit_learns(data):
    X, y, X_val, _ = data
    optimizer = {"algorithm": {"kind": "exact", "gradient_norm": 1e-9}}
    ours = cobaye.WeightDecayPath([0.1], optimizer=optimizer, penalize_bias=False).fit(*data)
    narrow = X.astype(np.float32).astype(np.float64)
    theirs = LogisticRegression(C=1 / (0.1 * len(X)), tol=1e-10, max_iter=10_000).fit(narrow, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    expected = theirs.predict_proba(X_val)
    np.testing.assert_allclose(ours.predict_proba(X_val), expected, atol=1e-6)
    assert ours.score(X_val, data[3]) == theirs.score(X_val, data[3])


def test_validation_losses_are_those_of_the_predictions(data, path):
    """Overall and by class, of every λ; `best_` has the lowest."""
    _, _, X_val, y_val = data
    assert path.weight_decays_.tolist() == [0.001, 0.1, 1.0]
    for place in range(3):
        path_at = clone(path)
        path_at.__dict__.update(vars(path))
        path_at.coef_, path_at.intercept_ = path.coefs_[place], path.intercepts_[place]
        shares = path_at.predict_proba(X_val)
        own = np.searchsorted(path.classes_, y_val)
        losses = pd.Series(-np.log(shares[np.arange(len(own)), own]))
        assert path.val_losses_[place] == pytest.approx(losses.mean(), rel=1e-5)
        np.testing.assert_allclose(path.class_losses_[place], losses.groupby(own).mean(), rtol=1e-5)
        assert path.val_accuracies_[place] == (shares.argmax(axis=1) == own).mean()
    assert path.best_ == path.weight_decays_[path.val_losses_.argmin()]
    assert (path.coef_ == path.coefs_[path.best_index_]).all()


def test_the_same_seed_gives_the_same_weights_and_disturbs_nobody(data):
    torch.manual_seed(5)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    fits = [cobaye.WeightDecayPath([0.01], optimizer=SGD).fit(*data) for _ in range(2)]
    other = cobaye.WeightDecayPath([0.01], optimizer=SGD, random_state=1).fit(*data)
    assert fits[0].coef_.tobytes() == fits[1].coef_.tobytes() != other.coef_.tobytes()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_nothing_is_printed_unless_asked_for(data, capfd):
    cobaye.WeightDecayPath([0.1]).fit(*data)
    quiet = capfd.readouterr()
    assert quiet.out + quiet.err == ""
    cobaye.WeightDecayPath([0.1], verbose=True).fit(*data)
    assert "epoch" in capfd.readouterr().err


def test_a_warm_start_ends_at_the_same_optima(data, path):
    optimizer = {"algorithm": {"kind": "exact", "warm_start": True}}
    warm = cobaye.WeightDecayPath([0.001, 1.0, 0.1], optimizer=optimizer).fit(*data)
    np.testing.assert_allclose(warm.coefs_, path.coefs_, atol=1e-2)
    assert warm.best_ == path.best_


def test_a_share_of_each_class_is_kept_where_no_validation_is_given(data):
    X, y, *_ = data
    fitted = cobaye.WeightDecayPath([0.1]).fit(X, y)
    assert np.isfinite(fitted.class_losses_).all()
    assert fitted.val_losses_[0] == pytest.approx(fitted.class_losses_[0].mean())


def test_the_suggested_grid_is_that_of_a_workspace(data):
    fitted = cobaye.WeightDecayPath().fit(*data)
    steps = np.diff(np.log10(fitted.weight_decays_))
    assert len(fitted.weight_decays_) == 11
    np.testing.assert_allclose(steps, 0.5, atol=1e-3)


@pytest.mark.parametrize("way", ["val", "shrunk", "groups", "hypergradient", "refit"])
def test_a_weight_decay_per_class(data, way):
    short = cobaye.WeightDecayPath([0.001, 0.1, 1.0])
    fitted = cobaye.PerClassWeightDecay(way, path=short).fit(*data)
    assert fitted.weight_decays_.shape == (4,)
    assert (fitted.weight_decays_ > 0).all()
    if way == "val":
        lowest = fitted.path_.class_losses_.argmin(axis=0)
        assert fitted.weight_decays_.tolist() == fitted.path_.weight_decays_[lowest].tolist()
    if way == "refit":
        assert (fitted.weight_decays_ == fitted.path_.best_).all()
        assert not np.allclose(fitted.coef_, fitted.path_.coef_)
    if way == "shrunk":
        assert set(fitted.weight_decays_) <= set(fitted.path_.weight_decays_)
    assert fitted.score(*data[2:]) > 0.6


def test_each_class_is_penalised_by_its_own(data):
    """At the optimum, the gradient of the mean cross-entropy is −λ_c w_c, class by class."""
    X, y, *_ = data
    optimizer = {"algorithm": {"kind": "exact", "gradient_norm": 1e-8}}
    short = cobaye.WeightDecayPath([0.01, 0.05, 0.2], optimizer=optimizer)
    fitted = cobaye.PerClassWeightDecay("val", path=short).fit(*data)
    assert len(set(fitted.weight_decays_)) > 1
    residuals = fitted.predict_proba(X.astype(np.float32)) - (y[:, None] == fitted.classes_)
    gradient = residuals.T @ X.astype(np.float32) / len(X)
    np.testing.assert_allclose(gradient, -fitted.weight_decays_[:, None] * fitted.coef_, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"weight_decays": [0.1, 0.1]}, "one or more different λ"),
        ({"weight_decays": []}, "one or more different λ"),
        ({"weight_decays": [-1.0]}, "each at least 0"),
        ({"optimizer": {"learning_rate": 1.0}}, "algorithm: missing"),
        ({"optimizer": {**SGD, "normalize": "zca"}}, r"unknown keys \['normalize'\]"),
        ({"optimizer": {"algorithm": {"kind": "sdg"}}}, "did you mean 'sgd'"),
        ({"optimizer": {"algorithm": {"kind": "exact", "tolerance": 1}}}, "tolerance"),
        ({"optimizer": {"algorithm": {"kind": "sgd"}}}, "needs learning_rate and batch_size"),
        ({"optimizer": {**SGD, "learning_rate": 1e30}}, "every training diverged"),
    ],
)
def test_bad_parameters_are_value_errors(data, changed, said):
    with pytest.raises(ValueError, match=said):
        cobaye.WeightDecayPath(**{"weight_decays": [0.1], **changed}).fit(*data)


def test_bad_arrays_are_value_errors(data):
    X, y, X_val, y_val = data
    path = cobaye.WeightDecayPath([0.1])
    with pytest.raises(ValueError, match="y_val has 'eel', which y has not"):
        path.fit(X, y, X_val, np.where(y_val == "ant", "eel", y_val))
    with pytest.raises(ValueError, match="both X_val and y_val"):
        path.fit(X, y, X_val)
    with pytest.raises(ValueError, match="give weight_decays"):
        cobaye.WeightDecayPath().fit(np.zeros_like(X), y)
    with pytest.raises(ValueError, match="no way named 'best'"):
        cobaye.PerClassWeightDecay("best", path=path).fit(*data)


@pytest.fixture
def results(chained, tmp_path):
    """A finished study of two λ; `s` is its name."""
    return chain.clone(chained[-2], tmp_path / "copy") / "results/s"


def test_read_gives_tables_and_weights_by_name(results):
    read = cobaye.read(results)
    assert read.study == "s"
    assert read.runs["weight_decay"].tolist() == [*chain.LABELS]
    assert "runs" in read.tables
    best = pd.read_csv(results / "tables/best-lambda.csv", dtype={"weight_decay": str})
    pd.testing.assert_frame_equal(read.tables["best-lambda"], best)
    table = read.tables["best-lambda"]
    table["weight_decay"] = "changed"
    pd.testing.assert_frame_equal(read.tables["best-lambda"], best)
    assert read.checkpoints["epoch"].tolist() == [0, 1, 0, 1]
    last = load_file(read.checkpoints["path"].iloc[3])
    for found in (read.weights(weight_decay="1e-2"), read.weights(weight_decay="1e-2", epoch=1)):
        np.testing.assert_array_equal(found["head.weight"], last["head.weight"])
    first = read.weights(weight_decay="1e-2", epoch=0)
    assert not (first["head.weight"] == last["head.weight"]).all()


def test_what_read_cannot_give_is_one_message(results):
    read = cobaye.read(results)
    with pytest.raises(KeyError, match="no table 'run': did you mean 'runs'"):
        _ = read.tables["run"]
    with pytest.raises(DataError, match="2 checkpoints, not one"):
        read.weights(seed=0)
    with pytest.raises(DataError, match="no column 'lambda': known: model"):
        read.weights(**{"lambda": 1})
    for damaged in (
        "tables/best-lambda.csv",
        "runs/m/o/wd-1e-2/seed-0/checkpoints/epoch-001.safetensors",
    ):
        content = bytearray((results / damaged).read_bytes())
        content[-1] ^= 1
        (results / damaged).unlink()
        (results / damaged).write_bytes(content)
    with pytest.raises(CorruptFile, match=r"best-lambda.csv: expected sha256"):
        _ = read.tables["best-lambda"]
    with pytest.raises(CorruptFile, match=r"epoch-001.safetensors: expected sha256"):
        read.weights(weight_decay="1e-2")


def test_import_is_fast_and_loads_nothing():
    code = (
        "import sys, time; start = time.perf_counter(); import cobaye; "
        "print(time.perf_counter() - start); "
        "print(sorted({'torch', 'pandas', 'sklearn', 'pydantic', 'snakemake'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "workflow", capture_output=True)
    seconds, loaded = done.stdout.decode().splitlines()
    assert float(seconds) <= 0.3
    assert loaded == "[]"


def test_no_snakemake_and_no_pydantic_are_needed():
    code = (
        "import sys; sys.modules['snakemake'] = sys.modules['pydantic'] = None\n"
        "import numpy, cobaye\n"
        "X = numpy.random.default_rng(0).standard_normal((40, 3)); y = numpy.arange(40) % 2\n"
        "X[:, 0] += y\n"
        "path = cobaye.WeightDecayPath([0.1, 1.0])\n"
        "print(cobaye.PerClassWeightDecay(path=path).fit(X, y).weight_decays_.shape)\n"
        "print(cobaye.read.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "workflow", capture_output=True, text=True
    )
    assert done.stdout == "(2,)\nread\n", done.stderr


@pytest.mark.slow
def test_the_notebook_of_the_docs_runs(capsys):
    first, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "docs/notebook.md").read_text(), re.S)
    exec(first, {})
    shares = re.findall(r"accuracy on test: (0\.\d+)", capsys.readouterr().out)
    assert len(shares) == 2
    assert min(map(float, shares)) > 0.9


def test_the_command_line_asks_for_what_it_lacks():
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        "from cobaye.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "workflow", capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "cobaye: no pydantic: pip install 'cobaye[workflow]'\n"


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Path'"):
        _ = cobaye.Path
    assert {getattr(cobaye, name).__name__ for name in cobaye.__all__} == set(cobaye.__all__)


def test_no_results_is_one_message(tmp_path):
    with pytest.raises(DataError, match="no tables there: name the results of a finished study"):
        cobaye.read(tmp_path / "glyphs")
