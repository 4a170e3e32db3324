"""The exact optimum is that of autograd and scikit-learn, and its certificate bounds its error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from cobaye import objective, recipes
from cobaye.objective import full_batch, preconditioning, solvers
from cobaye.objective.full_batch import FullBatch
from cobaye.objective.implicit_gradient import hypergradient
from cobaye.storage.manifests import Manifest
from cobaye.storage.mapped_rows import MappedRows
from cobaye.tables import optimality
from cobaye.training.engines import exact, linear
from tests import reference

K, D, N = 5, 6, 230
PER_CLASS = torch.linspace(0.01, 0.3, K, dtype=torch.float64)
F64 = {"curvature": torch.float64}


def data(seed=0, n=N, overlap=1.5):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(K, (n,), generator=generator)
    centres = torch.randn(K, D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    noise = torch.randn(n, D, generator=generator, dtype=torch.float64)
    return centres[labels] + overlap * noise + 0.5, labels


def theta_of(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(K, D + 1, generator=generator, dtype=torch.float64)


def split(theta):
    return theta[:, :-1], theta[:, -1]


def joined(pair):
    return torch.cat((pair[0], pair[1][:, None]), 1)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("penalize_bias", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.3, PER_CLASS], ids=["0", "0.3", "per-class"])
def test_blocks_give_what_the_objective_states(monkeypatch, kept, penalize_bias, decay):
    monkeypatch.setattr(full_batch, "BLOCK", 100)
    monkeypatch.setattr(full_batch, "KEPT", 2**28 if kept else 0)
    inputs, labels = data()
    own = FullBatch(inputs, labels, K, decay, penalize_bias=penalize_bias, **F64)
    theta, direction = theta_of(1), theta_of(2)
    point = own.evaluate(theta)
    told, bias = (*split(theta), inputs, labels), {"penalize_bias": penalize_bias}
    assert point.value == pytest.approx(reference.value(*told, decay, **bias).item(), rel=1e-13)
    assert point.loss + point.penalty == pytest.approx(point.value, rel=1e-15)
    gradient = joined(reference.gradient(*told, decay, **bias))
    torch.testing.assert_close(point.gradient, gradient, rtol=0, atol=1e-13)
    product = reference.hessian_vector_product(*told, split(direction), decay, **bias)
    torch.testing.assert_close(own.curvature_along(direction), joined(product), rtol=0, atol=1e-13)
    right = (inputs @ theta[:, :-1].T + theta[:, -1]).argmax(1) == labels
    assert point.accuracy == pytest.approx(right.double().mean().item())


def test_rows_on_disk_give_the_same_bytes(monkeypatch, tmp_path):
    monkeypatch.setattr(full_batch, "BLOCK", 50)
    inputs, labels = data(n=200)
    inputs = inputs.float()
    for number, part in enumerate(inputs.split(100)):
        np.save(tmp_path / f"{number}.npy", part.numpy())
    mapped = MappedRows([tmp_path / "0.npy", tmp_path / "1.npy"])
    ours, theirs = (FullBatch(x, labels, K, 0.1) for x in (inputs, mapped))
    a, b = ours.evaluate(theta_of(1)), theirs.evaluate(theta_of(1))
    assert a.value == b.value
    assert torch.equal(a.gradient, b.gradient)
    direction = theta_of(2).float()
    assert torch.equal(ours.preconditioner()(direction), theirs.preconditioner()(direction))
    assert torch.equal(ours.curvature_along(direction), theirs.curvature_along(direction))


def blocks(inputs, labels, theta, decay):
    """Return each class's block of the Hessian, (K, D + 1, D + 1), by autograd of its own row."""

    def of_row(row, number):
        moved = theta.clone()
        moved[number] = row
        return reference.value(*split(moved), inputs, labels, decay)

    hessian = torch.autograd.functional.hessian
    return torch.stack([hessian(lambda row, c=c: of_row(row, c), theta[c]) for c in range(K)])


@pytest.mark.parametrize("kept", [True, False])
def test_the_preconditioner_of_all_images_is_the_inverse_of_the_blocks(monkeypatch, kept):
    monkeypatch.setattr(full_batch, "BLOCK", 100)
    monkeypatch.setattr(full_batch, "KEPT", 2**28 if kept else 0)
    monkeypatch.setattr(preconditioning, "IMAGES", N)
    (inputs, labels), theta, residual = data(), theta_of(1), theta_of(2)
    own = FullBatch(inputs, labels, K, 0.3, **F64)
    own.evaluate(theta)
    mean = residual.mean(0)
    inverses = torch.linalg.inv(blocks(inputs, labels, theta, 0.3))
    expected = torch.einsum("kde,ke->kd", inverses, residual - mean)
    expected += mean / 0.3 - expected.mean(0)
    torch.testing.assert_close(own.preconditioner()(residual), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("decay", [1e-4, 0.0, PER_CLASS / 1e3], ids=["1e-4", "0", "per-class"])
@pytest.mark.parametrize("penalize_bias", [True, False])
def test_the_preconditioner_of_few_images_steers_to_the_same_with_less(
    monkeypatch, decay, penalize_bias
):
    monkeypatch.setattr(preconditioning, "IMAGES", 8)
    inputs, labels = data(overlap=0.3)
    inputs = inputs * torch.logspace(0, -2, D, dtype=torch.float64)
    own = FullBatch(inputs, labels, K, decay, penalize_bias=penalize_bias, **F64)
    right = -own.evaluate(theta_of(1)).gradient
    right -= right.mean(0)
    steer = own.preconditioner()
    one, other = theta_of(2), theta_of(3)
    assert (one * steer(other)).sum().item() == pytest.approx((other * steer(one)).sum().item())
    assert (one * steer(one)).sum() > 0
    solved, products = solvers.conjugate_gradients(own.curvature_along, right, 1e-8, steer)
    residual = right - own.curvature_along(solved)
    assert residual.norm() < 2e-8 * right.norm()
    assert products < solvers.conjugate_gradients(own.curvature_along, right, 1e-8)[1]


def test_where_lambda_is_0_what_all_classes_share_is_dropped():
    """The Hessian maps it to 0: what a residual has of it is rounding, and must not grow."""
    inputs, labels = data()
    shared = torch.ones(K, D + 1, dtype=torch.float64)
    for decay, penalize_bias, expected in ((0.0, True, 0), (0.3, False, shared / 0.3)):
        own = FullBatch(inputs, labels, K, decay, penalize_bias=penalize_bias, **F64)
        own.evaluate(theta_of(1))
        expected = expected * own.decay.sign()
        torch.testing.assert_close(own.preconditioner()(shared), expected, rtol=1e-9, atol=1e-12)


def test_a_path_that_ends_at_lambda_0_ends_soon():
    """Classes are separable, so the loss has no lowest point, and steps grow."""
    inputs, labels = data(n=1000, overlap=0.1)
    near = solvers.minimize(FullBatch(inputs, labels, K, 1e-7), torch.zeros(K, D + 1), 1e-7)
    solved = solvers.minimize(FullBatch(inputs, labels, K, 0.0), near.theta, 1e-7)
    assert solved.stopped == solvers.REACHED
    assert solved.passes < 100


@pytest.mark.parametrize("decay", [1e-3, 1e-1])
def test_the_optimum_is_that_of_scikit_learn(decay):
    """Its convention: C = 1/(λN), the intercept unpenalised."""
    inputs, labels = data()
    theirs = LogisticRegression(C=1 / (decay * N), tol=1e-9, max_iter=5000).fit(inputs, labels)
    own = FullBatch(inputs, labels, K, decay, penalize_bias=False)
    found = solvers.minimize(own, torch.zeros(K, D + 1), 1e-8)
    assert found.stopped == solvers.REACHED
    value = reference.value(
        torch.from_numpy(theirs.coef_),
        torch.from_numpy(theirs.intercept_),
        inputs,
        labels,
        decay,
        penalize_bias=False,
    )
    assert found.point.value == pytest.approx(value.item(), rel=1e-10)


@pytest.mark.parametrize("decay", [1e-2, PER_CLASS], ids=["0.01", "per-class"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_optimum_is_the_same_wherever_the_solver_starts(decay, dtype):
    inputs, labels = data()
    own = FullBatch(inputs, labels, K, decay, dtype=dtype)
    thetas = [
        solvers.minimize(own, start, 1e-5).theta
        for start in (torch.zeros(K, D + 1), 5 * theta_of(3))
    ]
    # ‖θ − θ*‖ ≤ ‖∇J‖ / λ.
    for theta in thetas[1:]:
        assert (theta - thetas[0]).norm() < 2 * 1.1e-5 / float(torch.as_tensor(decay).min())


def test_a_target_out_of_reach_ends_with_its_reason():
    inputs, labels = data()
    own = FullBatch(inputs, labels, K, 1e-2, dtype=torch.float32)
    evaluate, calls = own.evaluate, []
    own.evaluate = lambda theta: calls.append(theta) or evaluate(theta)
    stuck = solvers.minimize(own, torch.zeros(K, D + 1), 1e-30, report=lambda _: calls.clear())
    assert stuck.stopped == solvers.STUCK
    # A flat J is given up after a few halvings, and evaluated once more where it stays.
    assert len(calls) <= 6
    assert stuck.point.gradient_norm < 1e-5
    few = solvers.minimize(own, torch.zeros(K, D + 1), 1e-6, max_iterations=2)
    assert few.stopped == solvers.LIMIT


def test_separable_data_without_penalty_stop_at_the_limit():
    inputs, labels = data(overlap=0.01)
    own = FullBatch(inputs, labels, K, 0.0)
    found = solvers.minimize(own, torch.zeros(K, D + 1), 1e-12, max_iterations=6)
    assert found.stopped == solvers.LIMIT
    assert found.point.accuracy == 1
    assert found.theta.isfinite().all()


def engine(decay=0.05, penalize_bias=True, **options):
    inputs, labels = data()
    given = {"gradient_norm": 1e-7, "max_iterations": 100}
    given |= {"dtype": "float64", "warm_start": False, **options}
    return exact.Engine(
        inputs, labels, K, weight_decay=decay, options=given, penalize_bias=penalize_bias
    )


@pytest.mark.parametrize("decay", [0.05, tuple(PER_CLASS.tolist())], ids=["one", "per-class"])
def test_the_certificate_bounds_the_distance_to_the_minimum(decay):
    best = engine(decay, gradient_norm=1e-11).epoch(None, 0).certificate["objective"]
    for target in (1e-1, 1e-2, 1e-3):
        rough = engine(decay, gradient_norm=target)
        epoch = rough.epoch(None, 0)
        found = epoch.certificate
        assert found["gradient_norm"] <= target
        assert 0 < found["objective"] - best <= found["bound"]
        smallest = float(torch.as_tensor(decay).min())
        assert found["bound"] == pytest.approx(found["gradient_norm"] ** 2 / (2 * smallest))
        assert epoch.penalty == pytest.approx(rough.penalty(), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "why"), [({"decay": 0.0}, "λ = 0"), ({"penalize_bias": False}, "bias")]
)
def test_no_bound_where_nothing_is_strongly_convex(options, why):
    found = engine(gradient_norm=1e-3, **options).epoch(None, 0).certificate
    assert found["bound"] is None
    assert why in found["bound_is"]


def test_float32_weights_are_certified_as_they_are_stored():
    own = engine(dtype="float32", gradient_norm=1e-4)
    epoch = own.epoch(None, 0)
    inputs, labels = data()
    weight, bias = (p.double() for p in own.parameters())
    assert own.weight.dtype == torch.float32
    gradient = reference.gradient(weight, bias, inputs, labels, 0.05)
    assert epoch.certificate["gradient_norm"] == pytest.approx(
        joined(gradient).norm().item(), rel=1e-6
    )


def test_rows_count_passes_over_the_images():
    epoch = engine().epoch(None, 0)
    passes = [step.epoch for step in epoch.steps]
    assert passes == sorted(set(passes))
    assert len(epoch.certificate["gradient_norms"]) == len(passes)
    assert epoch.steps[-1].loss == pytest.approx(epoch.loss, rel=1e-9)


@pytest.mark.parametrize("penalize_bias", [True, False])
def test_hypergradient_against_solving_again(penalize_bias):
    train, val = data(0), data(1, n=90)
    options = {"penalize_bias": penalize_bias, **F64}

    def solved(decay):
        own = FullBatch(*train, K, decay, **options)
        found = solvers.minimize(own, torch.zeros(K, D + 1), 1e-11)
        return own, found.theta

    validation = FullBatch(*val, K, 0.0, **F64)

    def loss(decay):
        return validation.evaluate(solved(decay)[1]).loss

    found = hypergradient(*(solved(PER_CLASS)[0], validation, solved(PER_CLASS)[1]))
    assert found.loss == pytest.approx(loss(PER_CLASS))
    assert found.residual < 1e-7
    step = 1e-4
    for c in range(K):
        moved = step * PER_CLASS[c] * torch.eye(K, dtype=torch.float64)[c]
        slope = (loss(PER_CLASS + moved) - loss(PER_CLASS - moved)) / (2 * moved.sum())
        assert found.each[c].item() == pytest.approx(slope.item(), rel=1e-4)
    common = hypergradient(solved(0.02)[0], validation, solved(0.02)[1]).each.sum().item()
    slope = (loss(0.02 + 2e-6) - loss(0.02 - 2e-6)) / 4e-6
    assert common == pytest.approx(slope, rel=1e-4)


def test_hypergradient_refuses_what_has_none():
    own, theta = FullBatch(*data(), K, 0.0), torch.zeros(K, D + 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="λ > 0"):
        hypergradient(own, own, theta)
    penalised = FullBatch(*data(), K, 0.1)
    with pytest.raises(ValueError, match="no penalty"):
        hypergradient(penalised, penalised, theta)


@pytest.mark.parametrize("penalize_bias", [True, False])
def test_sgd_decays_each_class_by_its_own(penalize_bias):
    """One epoch against the stated gradient, and equal λ against the scalar, to the byte."""
    inputs, labels = data()
    options = {"batch_size": 64, "momentum": 0.9, "penalize_bias": penalize_bias}
    order, start = torch.arange(N), split(theta_of(1))
    begin = dict(zip(("head.weight", "head.bias"), start, strict=True))

    def run(decay):
        own = linear.Engine(inputs, labels, K, weight_decay=decay, **options)
        own.restore(begin, {})
        return own, own.epoch(order, 0.1)

    own, epoch = run(tuple(PER_CLASS.tolist()))
    theta, velocity, penalties = theta_of(1), torch.zeros(K, D + 1).double(), 0.0
    for batch in order.split(64):
        told = (*split(theta), inputs[batch], labels[batch])
        parameters = {"weight": theta[:, :-1], "bias": theta[:, -1]}
        bias = {"penalize_bias": penalize_bias}
        penalties += len(batch) * objective.penalty(parameters, PER_CLASS, **bias).item()
        velocity = 0.9 * velocity + joined(reference.gradient(*told, PER_CLASS, **bias))
        theta = theta - 0.1 * velocity
    torch.testing.assert_close(joined(own.parameters()), theta, rtol=0, atol=1e-12)
    assert epoch.penalty == pytest.approx(penalties / N, rel=1e-12)
    (one, a), (several, b) = run(0.1), run((0.1,) * K)
    assert torch.equal(one.theta, several.theta)
    assert (a.loss, a.penalty) == (b.loss, b.penalty)
    with pytest.raises(ValueError, match="weight decays for"):
        run((0.1, 0.2))


OPTIMIZER = recipes.Optimizer(
    recipes.Kind("exact", {}), None, recipes.Kind("constant", {}), None, 1, "none"
)


def test_a_recipe_with_a_decay_per_class_is_read_back():
    network, data = recipes.Kind("linear", {}), recipes.Data("d", None)
    recipe = recipes.Training(data, "linear", network, OPTIMIZER, (0.1, 0.2), True, 0)
    assert recipes.parse(recipes.Training, recipes.plain(recipe)) == recipe


def test_gaps_pair_each_run_with_its_own_optimum():
    keys = ["model", "optimizer", "weight_decay", "seed"]
    runs = [
        ("m", "sgd", "0.1", 0),
        ("m", "exact", "0.1", 0),
        ("m", "sgd", "0.2", 0),
        ("n", "exact", "0.2", 0),
    ]
    facts = pd.DataFrame(runs, columns=keys).assign(
        is_exact=[False, True, False, True],
        penalty=[0.2, 0.1, 0.0, 0.0],
        bound=[None, 1e-9, None, None],
        rate=[50.0, np.nan, 50.0, np.nan],
    )
    losses = {"train": [1.0, 0.9, 1, 1], "val": [1, 1, 1, 1], "test": [2.0, 2.5, 1, 1]}
    final = pd.concat(
        [pd.DataFrame(runs, columns=keys).assign(split=key, loss=losses[key]) for key in losses]
    )
    predictions = pd.concat(
        [
            pd.DataFrame(
                {
                    **dict(zip(keys, run, strict=True)),
                    "split": ["test"] * 4 + ["val"],
                    "image": [0, 1, 2, 3, 0],
                    "predicted": [0, 1, 2, 3 if run[1] == "sgd" else 4, 9],
                }
            )
            for run in runs
        ]
    )
    row = optimality.gaps(facts, final, predictions)
    assert list(row.columns) == optimality.COLUMNS
    row = row.iloc[0] if len(row) == 1 else pytest.fail(str(row))
    assert row["objective_gap"] == pytest.approx(1.2 - 1.0)
    assert row["test_loss_gap"] == pytest.approx(-0.5)
    assert row["test_disagreement"] == 0.25
    assert row["shrinkage"] == pytest.approx(5.0)
    assert row["bound"] == 1e-9
    alone = facts[~facts["is_exact"]]
    assert list(optimality.gaps(alone, final, predictions).columns) == optimality.COLUMNS


def test_facts_add_up_the_effective_rates_of_every_step():
    """10 images in batches of 4 are 3 steps; each of rate α/(1 − μ); epoch 0 takes none."""
    algorithm = {"kind": "sgd", "options": {"momentum": 0.75}}
    recipe = {"optimizer": {"algorithm": algorithm, "batch_size": 4}}
    trained = Manifest("train", {}, recipe, "", info={"penalty": 0.5})
    history = pd.DataFrame({"epoch": [0, 1, 2], "learning_rate": [9.0, 0.2, 0.1]})
    found = optimality.facts(trained, history, 10)
    assert found["rate"] == pytest.approx(3 * (0.2 + 0.1) / 0.25)
    assert (found["is_exact"], found["penalty"], found["bound"]) == (False, 0.5, None)
    assert np.isnan(optimality.facts(trained, history, 0)["rate"])
    info = {"penalty": 0.5, "certificate": {"bound": 1e-9}}
    recipe = {"optimizer": {"algorithm": {"kind": "exact", "options": {}}}}
    found = optimality.facts(Manifest("train", {}, recipe, "", info=info), history, 10)
    assert found["is_exact"]
    assert found["bound"] == 1e-9
    assert np.isnan(found["rate"])
