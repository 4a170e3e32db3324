"""The tables of `measures` agree with numbers computed otherwise: confidence apart from error."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye.analyses import _sweeps, measures
from cobaye.models.scoring import probability_scores
from cobaye.models.temperature import fit_temperature
from tests.test_calibration_error import by_loop

LABELS = ["0", "1e-3", "1e-2"]
CLASSES, IMAGES = 8, 30
OPTIONS = measures.Options(draws=200)


def scored(logits, labels, temperature):
    found = probability_scores(torch.tensor(logits), torch.tensor(labels), temperature)
    scores = {name: values.numpy() for name, values in found.items()}
    loss = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(labels), reduction="none"
    )
    return {"loss": loss.numpy(), "predicted": logits.argmax(1).astype(np.int32), **scores}


def sweep(factors, seeds=1):
    """Return runs whose logits are those of one calibrated classifier, times a factor per λ.

    Classes are not equally hard. With their temperatures.
    """
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), IMAGES)
    strength = np.linspace(1, 4, CLASSES)[labels, None]
    temperatures, by_split = {}, {"val": [], "test": []}
    for seed in range(seeds):
        logits = {
            split: strength * np.eye(CLASSES)[labels] + rng.normal(size=(len(labels), CLASSES))
            for split in by_split
        }
        for split, runs in by_split.items():
            runs.append([])
            for label, factor in zip(LABELS, factors, strict=True):
                fitted = fit_temperature(torch.tensor(factor * logits["val"]), torch.tensor(labels))
                temperatures["m", "o", label, seed] = fitted
                runs[seed].append(scored(factor * logits[split], labels, fitted))
    splits = {}
    for split, runs in by_split.items():
        columns = {
            name: np.array([[run[name] for run in seed] for seed in runs]) for name in runs[0][0]
        }
        known = labels, columns.pop("loss"), columns.pop("predicted")
        splits[split] = _sweeps.Predictions(*known, columns)
    return _sweeps.Sweep(("m", "o"), LABELS, list(range(seeds)), splits), temperatures


def analysed(of, temperatures, options=OPTIONS):
    return measures.tables([of], [f"c{n}" for n in range(CLASSES)], options, temperatures)


def test_mere_overconfidence_is_gone_after_one_temperature():
    """Logits four times as large at λ = 0: losses differ between classes, answers do not."""
    made = analysed(*sweep([8.0, 2.0, 2.0]))
    table = made["measures"].set_index(["measure", "weight_decay"])
    assert (table["best"] == "1e-2").all()
    assert table.loc[("loss", "0"), "between_sd_low"] > 0.1
    assert table.loc[("brier", "0"), "rise_low"] > 0
    for name in ("scaled_loss", "error"):
        assert table.loc[(name, "0"), ["rise", "between_variance", "noise_sd"]].abs().max() < 1e-6
    rows = made["calibration"].set_index("weight_decay")
    assert rows.loc["0", "temperature"] == pytest.approx(4 * rows.loc["1e-2", "temperature"])
    assert rows.loc["0", "ece_low"] > rows.loc["1e-2", "ece_high"]
    assert rows.loc["0", "scaled_ece"] == pytest.approx(rows.loc["1e-2", "scaled_ece"], abs=1e-3)


def test_numbers_are_those_of_the_images():
    of, temperatures = sweep([3.0, 1.0, 0.3], seeds=2)
    made = analysed(of, temperatures)
    test = of.splits["test"]
    values = {
        "loss": test.loss,
        "error": test.predicted != test.labels,
        **{name: test.more[name] for name in ("scaled_loss", "brier")},
    }
    table = made["measures"].set_index(["measure", "weight_decay"])
    reference = LABELS.index(table["best"].iloc[0])
    for name, each in values.items():
        images = each.mean(axis=0, dtype=np.float64)
        differences = images - images[reference]
        means = differences.reshape(len(LABELS), CLASSES, IMAGES).mean(axis=2)
        noise = differences.reshape(len(LABELS), CLASSES, IMAGES).var(axis=2, ddof=1) / IMAGES
        for place, label in enumerate(LABELS):
            row = table.loc[(name, label)]
            assert row["mean"] == pytest.approx(images[place].mean())
            assert row["rise"] == pytest.approx(differences[place].mean(), abs=1e-12)
            spread = means[place].var(ddof=1) - noise[place].mean()
            assert row["between_variance"] == pytest.approx(spread, abs=1e-12)
            assert row["rise_low"] <= row["rise"] <= row["rise_high"]
    rows = made["calibration"].set_index("weight_decay")
    for place, label in enumerate(LABELS):
        fitted = [temperatures["m", "o", label, seed] for seed in (0, 1)]
        assert rows.loc[label, "temperature"] == pytest.approx(np.mean(fitted))
        for prefix in ("", "scaled_"):
            confidence = test.more[f"{prefix}confidence"][:, place]
            right = test.predicted[:, place] == test.labels
            errors = [by_loop(confidence[seed], right[seed]) for seed in (0, 1)]
            assert rows.loc[label, f"{prefix}ece"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_classes_are_those_of_the_labels_or_of_the_predictions():
    of, temperatures = sweep([3.0, 1.0, 0.3])
    table = analysed(of, temperatures)["class-calibration"]
    test = of.splits["test"]
    keyed = table.set_index(["by", "class", "weight_decay"])
    assert len(keyed) == 2 * CLASSES * len(LABELS)
    confidence, predicted = test.more["confidence"][0, 1], test.predicted[0, 1]
    for by, groups in (("label", test.labels), ("predicted", predicted)):
        for one in range(CLASSES):
            mine = groups == one
            row = keyed.loc[(by, one, "1e-3")]
            gap = confidence[mine].mean() - (predicted == test.labels)[mine].mean()
            assert (row["n"], row["name"]) == (mine.sum(), f"c{one}")
            assert row["gap"] == pytest.approx(gap)
            assert row["gap_low"] < row["gap"] < row["gap_high"]
    # The hardest class, whose images are often taken for others', and the easiest.
    calibrated = keyed.xs("1e-3", level="weight_decay")["scaled_gap"]
    assert calibrated["label", 0] > 0.2 > 0 > calibrated["label", CLASSES - 1]
    assert calibrated["predicted"].abs().max() < calibrated["label"].abs().max()


def test_a_run_that_diverged_is_left_out_of_the_means():
    of, temperatures = sweep([3.0, 1.0, 0.3], seeds=2)
    alone = dataclasses.replace(of, seeds=[0], splits={k: only(v, 1) for k, v in of.splits.items()})
    lost = {}
    for split, each in of.splits.items():
        arrays = {"loss": each.loss.copy(), "predicted": each.predicted.copy()}
        more = {name: values.copy() for name, values in each.more.items()}
        for values in (arrays["loss"], *more.values()):
            values[1, 0] = np.nan
        arrays["predicted"][1, 0] = -1
        lost[split] = _sweeps.Predictions(each.labels, **arrays, more=more)
    temperatures["m", "o", "0", 1] = None
    found = analysed(dataclasses.replace(of, splits=lost), temperatures)
    expected = analysed(alone, temperatures)
    columns = ["temperature", "accuracy", "confidence", "ece", "scaled_ece", "scaled_ece_by_chance"]
    for table, kept in (
        ("calibration", columns),
        ("class-calibration", ["n", "gap", "scaled_ece"]),
    ):
        first = (each[table].query("weight_decay == '0'")[kept] for each in (found, expected))
        pd.testing.assert_frame_equal(*first)
    assert found["measures"].notna().all(axis=None)


def only(predictions, seeds):
    more = {name: values[:seeds] for name, values in predictions.more.items()}
    return _sweeps.Predictions(
        predictions.labels, predictions.loss[:seeds], predictions.predicted[:seeds], more
    )


def test_a_squared_error_has_loss_and_error_alone():
    of, _ = sweep([3.0, 1.0, 0.3])
    none = {name: np.full_like(values, np.nan) for name, values in of.splits["test"].more.items()}
    splits = {k: dataclasses.replace(v, more=none) for k, v in of.splits.items()}
    made = analysed(dataclasses.replace(of, splits=splits), {})
    assert list(made["measures"]["measure"].unique()) == ["loss", "error"]
    assert made["calibration"].empty
    assert list(made["class-calibration"].columns) == ["model", "optimizer"]


@pytest.mark.parametrize("wrong", [{"draws": 5}, {"level": 1.0}, {"seed": -1}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        measures.Options(**wrong)
