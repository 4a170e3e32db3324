"""The story of a study in its own numbers: every number comes from a table, none is typed."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markdown_it import MarkdownIt

from cobaye.storage import files, manifests
from cobaye.storage.jobs import Job
from cobaye.story import rivals, template, words
from cobaye.tables import grid_ends, reading, reported_epoch

_LOSSES = {
    "cross-entropy": "mean cross-entropies in nats",
    "squared-error": "mean squared errors",
    "softmax-squared-error": "mean softmax squared errors",
}
_NAMES = {
    "cross-entropy": "cross-entropy",
    "squared-error": "squared error",
    "softmax-squared-error": "softmax squared error",
}


def tell_story(job: Job) -> Path:
    """Write a study's story.md, and the same as a page, story.html; return its manifest.

    job.recipe: {"data": dataset and backbone, "tables": those that it reads}.
    """
    frames = reading.read_tables(job, job.recipe["tables"])
    text, summary = story(job.identity["study"], job.recipe["data"], frames)
    entries = {}
    for name, content in (("story.md", text), ("story.html", page(text))):
        path = job.folder / name
        entries[name] = manifests.describe(path, files.write_bytes(path, content.encode()))
    return job.publish(entries, {"summary": summary})


def page(text: str) -> str:
    """Return Markdown as a page of HTML. Its author's HTML stays text."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return template.PAGE.replace("{body}", body)


def story(
    study: str, data: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]
) -> tuple[str, list[str]]:
    """Return the story, in Markdown, and its summary, lines of plain text.

    Both have a part for each configuration with a run that stayed finite.
    """
    configurations = []
    for _, test in tables["class-tests"].iterrows():
        rows = {
            name: _plain(reading.of_configuration(table, test)) for name, table in tables.items()
        }
        configurations.append(_values(study, test, rows))
    losses = tables["runs"].get("loss_name", pd.Series(["cross-entropy"])).unique()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters |= words.FILTERS
    values = {
        "study": study,
        "dataset": data["dataset"],
        "backbone": data["backbone"],
        "losses": " or ".join(_LOSSES[loss] for loss in losses) or _LOSSES["cross-entropy"],
        "epoch": reported_epoch.words(tables["runs"]),
        "configurations": configurations,
    }
    text, summary = (
        environment.from_string(_flowing(source)).render(values)
        for source in (template.STORY, template.SUMMARY)
    )
    return text, [line for line in summary.splitlines() if line]


def _flowing(source: str) -> str:
    """Return a template whose paragraphs are one line each."""
    paragraphs = [paragraph.rstrip().replace("\n", " ") for paragraph in source.split("\n\n")]
    return "\n\n".join(paragraphs) + "\n"


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose names of classes are text in Markdown, whatever they hold."""
    named = table.columns.intersection(["name", "first", "second", "worst"])
    escaped = {column: table[column].map(_escaped, na_action="ignore") for column in named}
    return table.assign(**escaped)


def _escaped(name: object) -> str:
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", html.escape(str(name), quote=False))


def _values(study: str, test: pd.Series, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return what the template names of one configuration. test: its row of `class-tests`."""
    runs, images = tables["runs"], tables["class-effects"].drop_duplicates("class")["n"]
    loss = tables["compromise"].query("measure == 'loss'")
    gains = {drawn: rows.set_index("choice") for drawn, rows in loss.groupby("resampled")}
    ways = ("honest", "shrunk")
    return {
        **{key: test[key] for key in ("model", "optimizer", "seeds")},
        "loss": _NAMES[runs["loss_name"].iloc[0] if "loss_name" in runs else "cross-entropy"],
        "runs": len(runs),
        "diverged": int((~runs["finite"].astype(bool)).sum()),
        "lambdas": len(tables["class-inference"]),
        "classes": len(images),
        "images": " to ".join(f"{count}" for count in sorted({images.min(), images.max()})),
        "best": tables["best-lambda"].iloc[0].to_dict(),
        "ends": _ends(study, test, tables),
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


def _ends(study: str, test: pd.Series, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return what is said where the best λ stand at an end of the grid."""
    own, grid = tables["class-gains"]["shrunk"], tables["class-inference"]["weight_decay"].tolist()
    return grid_ends.sentences(study, grid_ends.ends(test["best"], own, grid), len(own))


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
