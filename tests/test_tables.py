"""The tables choose the λ that is known to be best, on numbers made for it."""

from __future__ import annotations

import pandas as pd
import pytest

from cobaye.tables import tabulate

RUN = {"model": "m", "optimizer": "o"}


def runs(labels, seeds=(0,), diverged=()):
    return pd.DataFrame(
        [
            {
                **RUN,
                "weight_decay": label,
                "seed": seed,
                "epochs": 2,
                "finite": label not in diverged,
            }
            for label in labels
            for seed in seeds
        ]
    )


def metrics(val, test, seeds=(0,)):
    return pd.DataFrame(
        [
            {
                **RUN,
                "weight_decay": label,
                "seed": seed,
                "epoch": epoch,
                "split": split,
                # Earlier epochs look better; only the last counts.
                "loss": loss + seed / 100 - (2 - epoch),
                "accuracy": 0.5,
                "top5": 0.9,
            }
            for split, losses in (("val", val), ("test", test))
            for label, loss in losses.items()
            for seed in seeds
            for epoch in (1, 2)
        ]
    )


def best(val, test, **more):
    table = metrics(val, test)
    return tabulate.best_lambda(tabulate.final_metrics(table, runs(val, **more)))


def test_best_is_chosen_on_val_and_reported_on_test():
    found = best({"0": 1.0, "1e-3": 0.5, "1e-2": 0.7}, {"0": 2.0, "1e-3": 3.0, "1e-2": 1.0})
    assert list(found["weight_decay"]) == ["1e-3"]
    assert found["val_loss"].item() == pytest.approx(0.5)
    assert found["test_loss"].item() == pytest.approx(3.0)


def test_ties_go_to_the_larger_lambda():
    losses = {"1e-2": 0.5, "0": 0.5, "2e-2": 0.5, "1e-3": 0.5}
    assert best(losses, losses)["weight_decay"].item() == "2e-2"


def test_only_finite_runs_are_compared():
    losses = {"0": 0.1, "1e-3": 0.5}
    assert best(losses, losses, diverged=("0",))["weight_decay"].item() == "1e-3"
    assert best(losses, losses, diverged=("0", "1e-3")).empty


def test_seeds_are_averaged():
    losses = {"0": 0.5, "1e-3": 0.4}
    final = tabulate.final_metrics(metrics(losses, losses, (0, 1)), runs(losses, (0, 1)))
    assert tabulate.best_lambda(final)["val_loss"].item() == pytest.approx(0.405)


def test_what_a_class_pays():
    losses = {
        # class → λ → (val, test)
        0: {"0": (1.0, 1.5), "1e-3": (2.0, 2.5)},
        1: {"0": (5.0, 0.5), "1e-3": (1.0, 1.0)},
    }
    classes = pd.DataFrame(
        [
            {
                **RUN,
                "weight_decay": label,
                "seed": 0,
                "split": split,
                "class": c,
                "name": f"c{c}",
                "n": 3,
                "loss": pair[split == "test"],
                "accuracy": 0.5,
            }
            for c, by_lambda in losses.items()
            for label, pair in by_lambda.items()
            for split in ("val", "test")
        ]
    )
    overall = pd.DataFrame([{**RUN, "weight_decay": "1e-3"}])
    found = tabulate.best_lambda_per_class(classes, runs(["0", "1e-3"]), overall).set_index("class")
    assert list(found["weight_decay"]) == ["0", "1e-3"]
    assert found.loc[0, "paid"] == pytest.approx(2.5 - 1.5)
    assert found.loc[1, "paid"] == pytest.approx(0.0)


@pytest.mark.slow
def test_the_tables_of_the_tiny_study(built):
    """Through the whole workflow: every sum holds."""
    folder = built.path("results/tiny/tables")
    classes = pd.read_csv(folder / "classes.csv", dtype={"weight_decay": str})
    confusion = pd.read_csv(folder / "confusion.csv")
    found = pd.read_csv(folder / "metrics.csv", dtype={"weight_decay": str})
    last = found[(found["epoch"] == 4) & (found["split"] == "test")].set_index("weight_decay")
    for label, part in classes[classes["split"] == "test"].groupby("weight_decay"):
        whole = (part["n"] * part["loss"]).sum() / part["n"].sum()
        assert whole == pytest.approx(last.loc[label, "loss"], rel=1e-6)
    sizes = classes[classes["split"] == "test"].drop_duplicates("class").set_index("class")["n"]
    assert confusion.groupby("label")["n"].sum().to_dict() == sizes.to_dict()
    assert (sizes == 6).all()


def by_class(losses):
    """The table `classes` of class → λ → (val, test)."""
    columns = {"seed": 0, "n": 3, "accuracy": 0.5}
    return pd.DataFrame(
        [
            {**RUN, **columns, "weight_decay": label, "split": split, "class": c, "name": f"c{c}"}
            | {"loss": pair[split == "test"]}
            for c, by_lambda in losses.items()
            for label, pair in by_lambda.items()
            for split in ("val", "test")
        ]
    )


def test_no_class_chooses_a_diverged_run_or_chooses_without_images_in_val():
    nan = float("nan")
    classes = by_class(
        {
            0: {"0": (0.1, 0.1), "1e-3": (2.0, 2.5), "1e-2": (3.0, 3.0)},
            1: {"0": (0.1, 0.1), "1e-3": (nan, 1.0), "1e-2": (nan, 1.0)},
        }
    )
    overall = pd.DataFrame([{**RUN, "weight_decay": "1e-3"}])
    table = runs(["0", "1e-3", "1e-2"], diverged=("0",))
    found = tabulate.best_lambda_per_class(classes, table, overall)
    assert found[["class", "weight_decay"]].to_numpy().tolist() == [[0, "1e-3"]]


def test_lambdas_are_compared_as_numbers():
    losses = {"2e-3": 0.5, "1e-2": 0.5, "9e-4": 0.5}
    assert best(losses, losses)["weight_decay"].item() == "1e-2"
