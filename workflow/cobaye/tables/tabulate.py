"""A study's tables: small, checked, the only thing that figures read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cobaye.data import datasets
from cobaye.storage import files, finished_runs, manifests, paths, table_names
from cobaye.tables import grid_table, optimality
from cobaye.tables.reading import CONFIGURATION, KEYS, MEASURES, read_checked, write


def tabulate(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    dataset: str,
    expected: Mapping[str, tuple[str, ...]],
    root: Path = Path(),
) -> Path:
    """Make all tables of a study from its evaluated runs; return their manifest.

    recipe: {"runs": the identities of the runs, in the order of the config, "baseline": whether the
    study has one, "grid": what it varies, if it does (see `grid_table`)}. expected: run folder →
    the fingerprints that the config gives its training and evaluation, and the baseline's folder →
    that of its evaluation; others raise StaleFile.
    """
    collected: dict[str, list[pd.DataFrame]] = {name: [] for name in _READ}
    inputs: dict[str, str] = {}
    for run in recipe["runs"]:
        for name, frame in read_run({**identity, **run}, expected, inputs, root).items():
            keyed = pd.DataFrame({key: run[key] for key in KEYS}, index=frame.index)
            collected[name].append(pd.concat([keyed, frame], axis=1))
    raw = {name: pd.concat(parts, ignore_index=True) for name, parts in collected.items()}
    raw["baseline"] = pd.DataFrame(columns=MEASURES)
    if recipe["baseline"]:
        raw["baseline"] = _read_baseline(identity, expected, inputs, root)
    tables = _tables(raw, datasets.names(dataset, root))
    tables["grid"] = grid_table.table(raw, recipe.get("grid"))
    folder = root / paths.TABLES.format(**identity)
    made = {
        table_names.FILES[name]: write(folder / table_names.FILES[name], table)
        for name, table in tables.items()
    }
    manifest = manifests.Manifest("tabulate", identity, recipe, code, inputs, made)
    manifest.write(folder / "tables.json")
    return folder / "tables.json"


_READ = ("runs", "history", "metrics", "classes", "predictions", "facts")


def read_run(
    identity: dict[str, Any],
    expected: Mapping[str, tuple[str, ...]],
    inputs: dict[str, str],
    root: Path,
) -> dict[str, pd.DataFrame]:
    """Return a run's frames, once its files and what they were made from are known to be right."""
    done = finished_runs.finished(identity, expected, inputs, root)
    folder, trained, evaluated = done.folder, done.trained, done.evaluated
    classes = read_checked(pd.read_parquet, evaluated.check(folder, "classes.parquet"))
    last = trained.info["epochs"]
    history = read_checked(pd.read_csv, trained.check(folder, "history.csv"))
    predictions = read_checked(pd.read_parquet, evaluated.check(folder, "predictions.parquet"))
    images = int((predictions["split"] == "train").sum())
    return {
        "runs": pd.DataFrame(
            [
                {k: trained.info[k] for k in ("epochs", "stopped", "finite")}
                | {"loss_name": trained.info.get("recipe", trained.recipe)["loss"]}
            ]
        ),
        "history": history,
        "metrics": read_checked(pd.read_parquet, evaluated.check(folder, "metrics.parquet")),
        "classes": classes[classes["epoch"] == last].drop(columns="epoch"),
        "predictions": predictions,
        "facts": pd.DataFrame([optimality.facts(trained, history, images)]),
    }


def _read_baseline(
    identity: dict[str, Any],
    expected: Mapping[str, tuple[str, ...]],
    inputs: dict[str, str],
    root: Path,
) -> pd.DataFrame:
    """Return the baseline's mean scores, a row per split, checked like a run's."""
    place = paths.BASELINE.format(**identity)
    path = root / place / "baseline.json"
    manifest = manifests.read_manifest(path, "evaluate_baseline", identity)
    manifests.require_fresh(path, manifest, *expected[place])
    manifests.require_inputs(path, manifest, root)
    inputs[f"{place}/{path.name}"] = files.sha256(path)
    return read_checked(pd.read_parquet, manifest.check(path.parent, "metrics.parquet"))[MEASURES]


def _tables(raw: dict[str, pd.DataFrame], names: list[str]) -> dict[str, pd.DataFrame]:
    classes = raw["classes"]
    classes.insert(
        classes.columns.get_loc("class") + 1, "name", classes["class"].map(dict(enumerate(names)))
    )
    final = final_metrics(raw["metrics"], raw["runs"])
    best = best_lambda(final)
    return {
        "runs": raw["runs"],
        "history": raw["history"],
        "metrics": raw["metrics"],
        "classes": classes,
        "baseline": raw["baseline"],
        "confusion": confusion(raw["predictions"], best),
        "best-lambda": best,
        "best-lambda-per-class": best_lambda_per_class(classes, raw["runs"], best),
        "optimality-gap": optimality.gaps(raw["facts"], final, raw["predictions"]),
    }


def final_metrics(metrics: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of each run's last epoch, finite runs only."""
    final = metrics.merge(runs[[*KEYS, "epochs", "finite"]], on=KEYS)
    return final[(final["epoch"] == final["epochs"]) & final["finite"]]


def mean_over_seeds(table: pd.DataFrame, keys: list[str], values: list[str]) -> pd.DataFrame:
    """Return the mean of `values` over everything but `keys`, groups in order of appearance."""
    return table.groupby(keys, sort=False, as_index=False)[values].mean()


def lowest(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Return, per group of `keys`, the row of lowest `value`; ties go to the larger λ."""
    order = table.assign(_lambda=table["weight_decay"].astype(float))
    order = order.sort_values([value, "_lambda"], ascending=[True, False], kind="stable")
    return order.drop_duplicates(keys).sort_index().drop(columns="_lambda")


def best_lambda(final: pd.DataFrame) -> pd.DataFrame:
    """Return, per configuration, the λ of lowest mean validation cross-entropy, and its test.

    Columns: model, optimizer, weight_decay, val_loss, test_loss, test_accuracy, test_top5, means
    over the finite seeds; those of test are empty where it was not evaluated.
    """
    measures = ["loss", "accuracy", "top5"]
    means = mean_over_seeds(final, [*CONFIGURATION, "weight_decay", "split"], measures)
    val = means[means["split"] == "val"].rename(columns={"loss": "val_loss"})
    test = means[means["split"] == "test"].rename(columns={m: f"test_{m}" for m in measures})
    chosen = lowest(val[[*CONFIGURATION, "weight_decay", "val_loss"]], CONFIGURATION, "val_loss")
    columns = [*CONFIGURATION, "weight_decay", *(f"test_{m}" for m in measures)]
    return chosen.merge(test[columns], on=[*CONFIGURATION, "weight_decay"], how="left")


def best_lambda_per_class(
    classes: pd.DataFrame, runs: pd.DataFrame, best: pd.DataFrame
) -> pd.DataFrame:
    """Return, per class, the λ chosen on val, its test loss, and what the overall best costs it.

    Columns: model, optimizer, class, name, weight_decay, test_loss, overall_test_loss, and paid =
    overall_test_loss − test_loss, in nats; a class loses by the compromise where paid > 0.
    """
    finite = classes.merge(runs[[*KEYS, "finite"]], on=KEYS)
    finite = finite[finite["finite"]]
    keys = [*CONFIGURATION, "class", "name"]
    means = mean_over_seeds(finite, [*keys, "weight_decay", "split"], ["loss"])
    val, test = (means[means["split"] == split] for split in ("val", "test"))
    chosen = lowest(val.dropna(subset="loss"), keys, "loss")[[*keys, "weight_decay"]]
    own = chosen.merge(
        test[[*keys, "weight_decay", "loss"]].rename(columns={"loss": "test_loss"}),
        on=[*keys, "weight_decay"],
    )
    overall = test.merge(
        best[[*CONFIGURATION, "weight_decay"]], on=[*CONFIGURATION, "weight_decay"]
    )
    overall = overall[[*keys, "loss"]].rename(columns={"loss": "overall_test_loss"})
    table = own.merge(overall, on=keys)
    return table.assign(paid=table["overall_test_loss"] - table["test_loss"])


def confusion(predictions: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """Return how many test images of each label were given each class, at the best λ, all seeds."""
    keys = [*CONFIGURATION, "weight_decay"]
    test = predictions[predictions["split"] == "test"].merge(best[keys], on=keys)
    counts = test.groupby([*keys, "label", "predicted"], sort=False).size()
    return counts.rename("n").reset_index()
