"""The story of a study in its own numbers: every number comes from a table, none is typed."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from cobaye.storage import files, manifests
from cobaye.storage.jobs import Job
from cobaye.story import rivals, template
from cobaye.tables import reading

_LOSSES = {"cross-entropy": "mean cross-entropies in nats", "squared-error": "mean squared errors"}


def tell_story(job: Job) -> Path:
    """Write a study's story.md; return its manifest.

    job.recipe: {"data": dataset and backbone, "tables": those that it reads}.
    """
    frames = reading.read_tables(job, job.recipe["tables"])
    text = story(job.identity["study"], job.recipe["data"], frames)
    path = job.folder / "story.md"
    return job.publish(
        {path.name: manifests.describe(path, files.write_bytes(path, text.encode()))}
    )


def story(study: str, data: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the story, in Markdown: a section per configuration with a run that stayed finite."""
    configurations = []
    for _, test in tables["class-tests"].iterrows():
        rows = {name: _plain(_rows(table, test)) for name, table in tables.items()}
        configurations.append(_values(test, rows))
    losses = tables["runs"].get("loss_name", pd.Series(["cross-entropy"])).unique()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters |= _FILTERS
    paragraphs = template.STORY.split("\n\n")
    source = "\n\n".join(paragraph.rstrip().replace("\n", " ") for paragraph in paragraphs)
    return environment.from_string(source + "\n").render(
        study=study,
        dataset=data["dataset"],
        backbone=data["backbone"],
        losses=" or ".join(_LOSSES[loss] for loss in losses) or _LOSSES["cross-entropy"],
        configurations=configurations,
    )


def _rows(table: pd.DataFrame, configuration: pd.Series) -> pd.DataFrame:
    keys = reading.CONFIGURATION
    return table[(table[keys] == configuration[keys]).all(axis=1)]


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose names of classes are text in Markdown, whatever they hold."""
    named = table.columns.intersection(["name", "first", "second", "worst"])
    escaped = {column: table[column].map(_escaped, na_action="ignore") for column in named}
    return table.assign(**escaped)


def _escaped(name: object) -> str:
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", html.escape(str(name), quote=False))


def _values(test: pd.Series, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return what the template names of one configuration. test: its row of `class-tests`."""
    runs, images = tables["runs"], tables["class-effects"].drop_duplicates("class")["n"]
    loss = tables["compromise"].query("measure == 'loss'")
    gains = {drawn: rows.set_index("choice") for drawn, rows in loss.groupby("resampled")}
    ways = ("honest", "shrunk")
    return {
        **{key: test[key] for key in ("model", "optimizer", "seeds")},
        "runs": len(runs),
        "diverged": int((~runs["finite"].astype(bool)).sum()),
        "lambdas": len(tables["class-inference"]),
        "classes": len(images),
        "images": " to ".join(f"{count}" for count in sorted({images.min(), images.max()})),
        "best": tables["best-lambda"].iloc[0].to_dict(),
        "end": _end(test["best"], tables["class-inference"]["weight_decay"].tolist()),
        "minima": _minima(test, tables["null-best-lambda"]),
        "effect": _effect(test, tables["class-inference"]),
        "change": _change(test, tables["helped-harmed"].sort_values("rank")),
        "gains": {drawn: rows.to_dict("index") for drawn, rows in gains.items()},
        "wins": _above(gains["val and test"].loc[:, "low"], ways),
        "wins_elsewhere": _above(gains["classes"].loc[:, "low"], ways),
        "loses": _above(-gains["val and test"].loc[:, "high"], ways),
        **_worst(test, tables),
        "confidence": rivals.confidence(tables, tables["helped-harmed"]["against"].iloc[0]),
        "rivals": rivals.rivals(tables),
    }


def _above(values: pd.Series, ways: Sequence[str]) -> list[str]:
    return [way for way in ways if values[way] > 0]


def _end(best: str, labels: Sequence[str]) -> str:
    """Return "largest" or "smallest" where the best λ ends the grid; no λ is below 0."""
    if len(labels) < 2 or best not in (labels[0], labels[-1]):
        return ""
    if best == labels[-1]:
        return "largest"
    return "smallest" if float(best) > 0 else ""


def _minima(test: pd.Series, null: pd.DataFrame) -> dict[str, Any]:
    """Return how many classes have their lowest test loss away from the best λ, and by chance.

    curve, shape: the expected number and its band, of classes with one curve and with one shape.
    """
    row = null[(null["split"] == "test") & (null["weight_decay"] == test["best"])].iloc[0]
    # Those at the best λ, counted from the other side.
    ends = {"curve": ("expected", "high", "low")}
    ends["shape"] = tuple(f"shape_{end}" for end in ends["curve"])
    away = {name: [row["classes"] - row[end] for end in columns] for name, columns in ends.items()}
    return {"classes": int(row["classes"]), "away": row["classes"] - row["observed"], **away}


def _effect(test: pd.Series, table: pd.DataFrame) -> dict[str, Any] | None:
    """Return whether λ acts alike on all classes; None where there is nothing to compare."""
    others = table[table["weight_decay"] != test["best"]]
    if others.empty or pd.isna(test["p_between"]):
        return None
    place = table["weight_decay"].tolist().index(test["best"])
    near = table.iloc[[i for i in (place - 1, place + 1) if 0 <= i < len(table)]]
    alpha = 1 - test["level"]
    return {
        "real": test["p_between"] <= alpha,
        "alpha": f"{100 * alpha:.3g}",
        "p_between": f"{test['p_between']:.2g}",
        "steps": near.to_dict("records"),
        "named": others.loc[others["classes_bh"].idxmax()].to_dict(),
        **test[["agreement", "agreement_by_chance", "kappa", "kappa_low", "kappa_high"]],
    }


def _change(test: pd.Series, table: pd.DataFrame) -> dict[str, Any]:
    """Return the names of those surely helped and harmed, who changed most first."""
    elsewhere = (table["own"] != test["best"]) & table["own_surely"].astype(bool)
    return {
        "against": table["against"].iloc[0],
        "alpha": f"{100 * (1 - test['level']):.3g}",
        "helped": table.loc[table["surely"] == "helped", "name"].tolist(),
        "harmed": table.loc[table["surely"] == "harmed", "name"].tolist()[::-1],
        "elsewhere": int(elsewhere.sum()),
    }


def _worst(test: pd.Series, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return the classes worst off at the best λ, and the pair most confused, if any is."""
    rows = tables["worst-classes"]
    rows = rows[(rows["weight_decay"] == test["best"]) & (rows["chosen_on"] == "test")]
    rows = rows.set_index("measure")
    pair = tables["worst-pairs"].set_index("weight_decay").loc[test["best"]]
    return {
        "lowest": rows.loc["lowest"].to_dict(),
        "tenth": rows.loc["tenth"].to_dict(),
        "pair": pair.to_dict() if pair["rate"] > 0 else None,
    }


def _round_to(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _signed(interval: Sequence[float], digits: int) -> str:
    """Return a mean with its interval; NaN ends, of one image per class, are left out."""
    mean, low, high = (f"{value:+.{digits}f}".replace("-", "−") for value in interval)
    return mean if pd.isna(interval[1]) else f"{mean} ({low} to {high})"


def _gain(row: Mapping[str, float]) -> str:
    return _signed([row[name] for name in ("gain", "low", "high")], 4)


def _spread(interval: Sequence[float], digits: int) -> str:
    """Return a value with its interval, without a plus."""
    value, low, high = (_round_to(each, digits) for each in interval)
    return value if pd.isna(interval[1]) else f"{value} ({low} to {high})"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rivals as a table in Markdown."""
    head = ["rival", "chosen on val", "loss (nats)", "accuracy (points)", "worst tenth (points)"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        values = [_signed(row["loss"], 4), _signed(row["accuracy"], 1), _signed(row["tenth"], 1)]
        lines.append([row["name"], str(row["chosen"]), *values])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _names(names: Sequence[str], none: str, one: str, several: str) -> str:
    """Return names with their verb, in the number that they need."""
    return f"{', '.join(names)} {one if len(names) == 1 else several}" if names else none


def _ends(row: Mapping[str, float]) -> str:
    return f"{row['low']:+.4f} to {row['high']:+.4f}".replace("-", "−")


def _shares(counts: Sequence[float], whole: float) -> str:
    """Return a share with its band, in %."""
    share, low, high = (_share(count, whole) for count in counts)
    return f"{share} ({low} to {high})"


def _share(number: float, whole: float = 1) -> str:
    """Return a share in %: 0 % means none, and 100 % all."""
    share = 100 * number / whole
    if 0 < share < 0.5:
        return "< 1 %"
    return "> 99 %" if 99.5 <= share < 100 else f"{share:.0f} %"


def _count(number: float, thing: str) -> str:
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{int(number)} {thing if number == 1 else plural}"


def _some(names: Sequence[str], classes: int) -> str:
    """Return how many classes these are, and the names of the first few."""
    if not names:
        return "none"
    first = ", ".join(f"“{name}”" for name in names[:5])
    return f"{len(names)} of {classes} ({first}{' …' if len(names) > 5 else ''})"


_FILTERS = {
    "count": _count,
    "ends": _ends,
    "extract": lambda key, mapping: mapping[key],
    "gain": _gain,
    "names": _names,
    "round_to": _round_to,
    "share": _share,
    "shares": _shares,
    "signed": _signed,
    "some": _some,
    "spread": _spread,
    "table": _table,
}
