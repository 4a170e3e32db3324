"""The tables of a study's runs: small, checked, all that figures read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cobaye.data import datasets
from cobaye.storage import finished_runs, paths, table_names
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import training_recipe
from cobaye.tables import grid_table, optimality, reported_epoch
from cobaye.tables.reading import CONFIGURATION, KEYS, MEASURES, read_checked
from cobaye.tables.writing import write_tables


def tabulate(job: Job) -> Path:
    """Make the tables of a study from its evaluated runs; return their manifest.

    job.identity: {"study", "maker"}: `tables`, of all runs that the config states, or `derived`, of
    those that take their recipe from the table `grid`. job.recipe: {"runs": the identities of the
    runs, in the order of the config}; of `tables` also "dataset", "baseline": whether the study has
    one, "grid": the hyperparameters of a grid (see `grid_table`) or None, and "confusion": the λ
    whose confusions are counted beside those at the best λ.
    """
    raw = collected(job)
    made = _derived if job.identity["maker"] == table_names.DERIVED else _tables
    return write_tables(job, made(job, raw))


_READ = ("runs", "history", "metrics", "classes", "predictions", "facts", "class_losses")
_PREDICTED = ["split", "image", "label", "predicted"]


def collected(job: Job) -> dict[str, pd.DataFrame]:
    """Return the tables of all runs together, each with the columns that name the run.

    job.recipe["runs"]: the identities of the runs, in the order of the rows.
    """
    collected: dict[str, list[pd.DataFrame]] = {name: [] for name in _READ}
    for run in job.recipe["runs"]:
        for name, frame in _read_run(job, run).items():
            keyed = pd.DataFrame({key: run[key] for key in KEYS}, index=frame.index)
            collected[name].append(pd.concat([keyed, frame], axis=1))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in collected.items()}


def _read_run(job: Job, run: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the tables of one run, once its files are checked (`finished_runs`)."""
    done = finished_runs.finished(job, run)
    folder, trained, evaluated = done.folder, done.trained, done.evaluated
    classes = read_checked(pd.read_parquet, evaluated.check(folder, "classes.parquet"))
    history = read_checked(pd.read_csv, trained.check(folder, "history.csv"))
    path = evaluated.check(folder, "predictions.parquet")
    predictions = read_checked(pd.read_parquet, path, columns=_PREDICTED)
    images = int((predictions["split"] == "train").sum())
    ended = {key: trained.info[key] for key in ("epochs", "stopped", "finite")}
    ended |= {"loss_name": training_recipe(trained)["loss"]}
    if "epoch" in evaluated.info:
        ended["epoch"] = done.epoch
    return {
        "runs": pd.DataFrame([ended]),
        "history": history,
        "metrics": read_checked(pd.read_parquet, evaluated.check(folder, "metrics.parquet")),
        "classes": classes[classes["epoch"] == done.epoch].drop(columns="epoch"),
        "predictions": predictions,
        "facts": pd.DataFrame([optimality.facts(trained, history, images)]),
        "class_losses": _class_losses(done),
    }


def _class_losses(done: finished_runs.Finished) -> pd.DataFrame:
    """Return each class's mean loss while each epoch was trained; no row if it was not recorded."""
    losses = np.empty((0, 0))
    if paths.CLASS_LOSSES in done.trained.files:
        losses = read_checked(np.load, done.trained.check(done.folder, paths.CLASS_LOSSES))
    epochs, classes = losses.shape
    return pd.DataFrame(
        {
            "epoch": np.repeat(np.arange(1, epochs + 1), classes),
            "class": np.tile(np.arange(classes), epochs),
            "loss": losses.ravel(),
        }
    )


def _baseline(job: Job) -> pd.DataFrame:
    """Return the baseline's mean scores, a row per split; no row for a study without one."""
    if not job.recipe["baseline"]:
        return pd.DataFrame(columns=MEASURES)
    manifest = job.read("evaluate_baseline", {"study": job.identity["study"]})
    folder = job.root / paths.BASELINE.format(**job.identity)
    return read_checked(pd.read_parquet, manifest.check(folder, "metrics.parquet"))[MEASURES]


def _derived(job: Job, raw: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the tables of derived runs.

    `derived` has the columns of the table `grid`, and `taken`: the run that each one repeats.
    """
    rows = [_derived_row(job, run, raw) for run in job.recipe["runs"]]
    table = pd.concat(rows, ignore_index=True)
    return {
        "derived": table.assign(rank=grid_table.rank(table)),
        "derived-history": raw["history"],
        "derived-metrics": raw["metrics"],
    }


def _derived_row(job: Job, run: Mapping[str, Any], raw: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a run's row of the table `derived`, with the hyperparameters that it took."""
    frames = {}
    for name in ("runs", "history", "metrics"):
        frame = raw[name]
        frames[name] = frame[(frame[KEYS] == pd.Series(run)[KEYS]).all(axis=1)]
    info = job.read("train", {"study": job.identity["study"], **run}).info
    taken, known = info["origin"], {*KEYS, *grid_table.RESULTS}
    grid = {
        "models": {run["model"]: {key: value for key, value in taken.items() if key not in known}},
        "optimizers": {run["optimizer"]: {}},
        "epochs": {run["optimizer"]: [info["recipe"]["optimizer"]["epochs"]]},
    }
    return grid_table.table(frames, grid).assign(taken=f"{taken['model']}/{taken['optimizer']}")


def _tables(job: Job, raw: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    names = dict(enumerate(datasets.names(job.recipe["dataset"], job.root)))
    classes = raw["classes"]
    for table in (classes, raw["class_losses"]):
        table.insert(table.columns.get_loc("class") + 1, "name", table["class"].map(names))
    asked = job.recipe.get("confusion", ())
    final = final_metrics(raw["metrics"], raw["runs"])
    best = best_lambda(final)
    if "epoch" in raw["runs"]:
        best = with_last_epoch(best, raw["metrics"], raw["runs"])
    return {
        "runs": raw["runs"],
        "history": raw["history"],
        "metrics": raw["metrics"],
        "classes": classes,
        "baseline": _baseline(job),
        "confusion": confusion(raw["predictions"], raw["runs"], best, asked),
        "best-lambda": best,
        "best-lambda-per-class": best_lambda_per_class(classes, raw["runs"], best),
        "optimality-gap": optimality.gaps(raw["facts"], final, raw["predictions"]),
        "grid": grid_table.table(raw, job.recipe.get("grid")),
        "classes-while-training": raw["class_losses"],
    }


def final_metrics(metrics: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of each run's reported epoch, finite runs only."""
    return of_finite_runs(reported_epoch.rows(metrics, runs), runs)


def of_finite_runs(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table with a row per run and more that are of finite runs."""
    merged = table.merge(runs[[*KEYS, "finite"]], on=KEYS)
    return merged[merged["finite"]]


def mean_over_seeds(table: pd.DataFrame, keys: list[str], values: list[str]) -> pd.DataFrame:
    """Return the mean of `values` over everything but `keys`, groups in order of appearance."""
    return table.groupby(keys, sort=False, as_index=False)[values].mean()


def lowest(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Return, per group of `keys`, the row of lowest `value`; ties go to the larger λ."""
    order = table.assign(_lambda=table["weight_decay"].astype(float))
    order = order.sort_values([value, "_lambda"], ascending=[True, False], kind="stable")
    return order.drop_duplicates(keys).sort_index().drop(columns="_lambda")


def best_lambda(final: pd.DataFrame) -> pd.DataFrame:
    """Return, per configuration, the λ of lowest mean validation loss, and its scores.

    Columns: model, optimizer, weight_decay, val_loss, val_accuracy, test_loss, test_accuracy,
    test_top5, means over the finite seeds. The test columns are empty where test was not evaluated.
    """
    keys, measures = [*CONFIGURATION, "weight_decay"], ["loss", "accuracy", "top5"]
    means = mean_over_seeds(final, [*keys, "split"], measures)
    val, test = (
        means[means["split"] == split].rename(columns={m: f"{split}_{m}" for m in measures})
        for split in ("val", "test")
    )
    chosen = lowest(val[[*keys, "val_loss", "val_accuracy"]], CONFIGURATION, "val_loss")
    return chosen.merge(test[[*keys, *(f"test_{m}" for m in measures)]], on=keys, how="left")


def with_last_epoch(best: pd.DataFrame, metrics: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the table `best-lambda` with the scores of the same runs at their last epoch.

    Columns: last_val_loss, last_val_accuracy, last_test_loss, last_test_accuracy: what would be
    reported without early stopping, the λ being the same.
    """
    keys, measures = [*CONFIGURATION, "weight_decay"], ["loss", "accuracy"]
    last = final_metrics(metrics, runs.drop(columns="epoch"))
    means = mean_over_seeds(last, [*keys, "split"], measures)
    for split in ("val", "test"):
        names = {measure: f"last_{split}_{measure}" for measure in measures}
        of_split = means[means["split"] == split].drop(columns="split").rename(columns=names)
        best = best.merge(of_split, on=keys, how="left")
    return best


def best_lambda_per_class(
    classes: pd.DataFrame, runs: pd.DataFrame, best: pd.DataFrame
) -> pd.DataFrame:
    """Return, per class, the λ chosen on val, its test loss, and the cost of the overall best λ.

    Columns: model, optimizer, class, name, weight_decay, test_loss, overall_test_loss, and paid =
    overall_test_loss − test_loss, in nats; a class loses by the compromise where paid > 0. Losses
    on test are empty where test was not evaluated.
    """
    finite = of_finite_runs(classes, runs)
    keys = [*CONFIGURATION, "class", "name"]
    means = mean_over_seeds(finite, [*keys, "weight_decay", "split"], ["loss"])
    val, test = (means[means["split"] == split] for split in ("val", "test"))
    chosen = lowest(val.dropna(subset="loss"), keys, "loss")[[*keys, "weight_decay"]]
    at_chosen = chosen.merge(
        test[[*keys, "weight_decay", "loss"]].rename(columns={"loss": "test_loss"}),
        on=[*keys, "weight_decay"],
        how="left",
    )
    overall = test.merge(
        best[[*CONFIGURATION, "weight_decay"]], on=[*CONFIGURATION, "weight_decay"]
    )
    overall = overall[[*keys, "loss"]].rename(columns={"loss": "overall_test_loss"})
    table = at_chosen.merge(overall, on=keys, how="left")
    return table.assign(paid=table["overall_test_loss"] - table["test_loss"])


def confusion(
    predictions: pd.DataFrame, runs: pd.DataFrame, best: pd.DataFrame, labels: Sequence[str] = ()
) -> pd.DataFrame:
    """Return how many test images of each label were given each class, over the finite seeds.

    Of each configuration at its best λ, and at the λ in `labels`.
    """
    keys = [*CONFIGURATION, "weight_decay"]
    finite = runs[runs["finite"]][KEYS]
    asked = finite[finite["weight_decay"].isin(labels)]
    counted = pd.concat([finite.merge(best[keys], on=keys), asked]).drop_duplicates()
    test = predictions[predictions["split"] == "test"].merge(counted, on=KEYS)
    counts = test.groupby([*keys, "label", "predicted"], sort=False).size()
    return counts.rename("n").reset_index()
