"""The story of a study in its own numbers: every number comes from a table, none is typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cobaye.storage import files, manifests
from cobaye.storage.jobs import Job
from cobaye.story import class_decay
from cobaye.tables import reading

_SURE = 0.975  # probability from which a class counts as helped or harmed


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


def story(study: str, data: Mapping[str, Any], frames: Mapping[str, pd.DataFrame]) -> str:
    """Return the story, in Markdown: a section per (model, optimizer)."""
    origin = f"features of the backbone `{data['backbone']}` on" if data["backbone"] else ""
    lines = [
        f"# {study}: what λ does to a class, and what chance does",
        f"Learned from {origin} the dataset `{data['dataset']}`. Losses are mean cross-entropies "
        "in "
        "nats at the last epoch; the best λ is chosen on the validation split; intervals are at "
        "the "
        "level of the analysis. Every number comes from the study's tables.".replace("  ", " "),
    ]
    for _, test in frames["class-tests"].iterrows():
        group = {
            name: frame[
                (frame["model"] == test["model"]) & (frame["optimizer"] == test["optimizer"])
            ]
            for name, frame in frames.items()
        }
        lines.append(f"## {test['model']} · {test['optimizer']}")
        parts = [_setting, _histogram, _effect, _helped, _compromise, _worst]
        if class_decay.TABLE in frames:
            parts.append(class_decay.tell)
        lines += [part(test, group) for part in parts]
    if frames["class-tests"].empty:
        lines.append("No run stayed finite: there is nothing to tell.")
    return "\n\n".join(lines) + "\n"


def _setting(test: pd.Series, group: Mapping[str, pd.DataFrame]) -> str:
    best, runs = group["best-lambda"].iloc[0], group["runs"]
    images = group["class-effects"].drop_duplicates("class")["n"]
    each = (
        f"{images.min()}" if images.min() == images.max() else f"{images.min()} to {images.max()}"
    )
    bad = int((~runs["finite"].astype(bool)).sum())
    diverged = f" {_count(bad, 'run')} diverged and {'is' if bad == 1 else 'are'} left out." * (
        bad > 0
    )
    return (
        f"{_count(len(runs), 'run')}, {_count(test['seeds'], 'seed')}; {len(images)} classes with "
        f"{each} test images each.{diverged} The best λ overall is **{best['weight_decay']}**: "
        "test "
        f"loss {best['test_loss']:.3f}, accuracy {100 * best['test_accuracy']:.1f} %."
    )


def _histogram(test: pd.Series, group: Mapping[str, pd.DataFrame]) -> str:
    null = group["null-best-lambda"]
    null = null[null["split"] == "test"].set_index("weight_decay")
    classes = int(null["classes"].iloc[0])
    if not classes:
        return "No class has two test images: what noise does cannot be told."
    at_best = null.loc[test["best"]]
    away, chance = classes - at_best["observed"], classes - at_best["expected"]
    low, high = classes - at_best["high"], classes - at_best["low"]
    beyond = "more than" if away > high else "fewer than" if away < low else "no more than"
    verdict = f"{beyond} noise alone makes"
    return (
        f"**Counting minima.** {_share(away, classes)} of the classes have their lowest test "
        "loss away "
        f"from it. If all classes shared one curve over λ, resampling noise alone would move "
        f"{_share(chance, classes)} ({_share(low, classes)} to {_share(high, classes)}): {verdict}."
    )


def _effect(test: pd.Series, group: Mapping[str, pd.DataFrame]) -> str:
    table = group["class-inference"]
    others = table[table["weight_decay"] != test["best"]]
    if others.empty or pd.isna(test["p"]):
        return "**Is it real?** There is nothing to compare: one λ, or runs that do not differ."
    alpha = 1 - test["level"]
    real = (
        "does not act alike on all classes"
        if test["p"] <= alpha
        else ("may act alike on all classes: the test does not tell them apart")
    )
    labels = table["weight_decay"].tolist()
    place = labels.index(test["best"])
    near = [labels[i] for i in (place - 1, place + 1) if 0 <= i < len(labels)]
    steps = "; ".join(
        f"at {label}: {one['between_sd']:.3f} ({one['between_sd_low']:.3f} to "
        f"{one['between_sd_high']:.3f}) between classes against {one['noise_sd']:.3f} of noise, "
        f"reliability {one['reliability']:.2f}"
        for label, one in others.set_index("weight_decay").loc[near].iterrows()
    )
    named = others.loc[others["classes_bh"].idxmax()]
    return (
        f"**Is it real?** λ {real} (permutation test over all λ, p = {test['p']:.2g}; for means "
        f"alone, p = {test['p_welch']:.2g}). Standard deviation of a class's loss difference one "
        f"step from the best λ: {steps}. Most classes differ from 0 by a t test at λ = "
        f"{named['weight_decay']}: {named['classes_bh']} with the false discovery rate held at "
        f"{100 * alpha:.0f} % (Benjamini–Hochberg), {named['classes_holm']} with the probability "
        "of "
        f"any error held there (Holm). Random halves of the images agree on a class's best λ in "
        f"{100 * test['agreement']:.0f} % of the classes, "
        f"{100 * test['agreement_by_chance']:.0f} % "
        f"by chance: κ = {test['kappa']:.2f} ({test['kappa_low']:.2f} to {test['kappa_high']:.2f})."
    )


def _helped(test: pd.Series, group: Mapping[str, pd.DataFrame]) -> str:
    table = group["helped-harmed"].sort_values("rank")
    against = table["against"].iloc[0]
    if against == test["best"]:
        return "**Who is helped?** One λ: nobody can be helped or harmed."
    helped, harmed = table[table["helped"] >= _SURE], table[table["harmed"] >= _SURE]
    own = table[(table["own"] != test["best"]) & (table["own_better"] >= _SURE)]
    return (
        f"**Who is helped?** Compared with λ = {against}, and with every class's curve shrunk "
        "towards "
        f"the others, the best λ helps {_named(helped, table)} and harms "
        f"{_named(harmed[::-1], table)} "
        f"with probability {_SURE} or more each. {_count(len(own), 'class')} would be better "
        "off, as "
        "surely, at another λ of the study."
    )


def _compromise(test: pd.Series, group: Mapping[str, pd.DataFrame]) -> str:
    table = group["compromise"]
    loss = table[table["measure"] == "loss"].set_index(["choice", "resampled"])
    of = {way: loss.loc[(way, "test")] for way in ("naive", "chance", "honest", "shrunk")}
    said = {way: _interval(one) for way, one in of.items()}
    wins = [way for way in ("honest", "shrunk") if _procedure(loss, way)["low"] > 0]
    loses = [way for way in ("honest", "shrunk") if of[way]["high"] < 0]
    words = {"honest": "each class's lowest on val", "shrunk": "the lowest of its shrunk curve"}
    if wins:
        verdict = (
            f"Choosing by {' and by '.join(words[way] for way in wins)} pays, over other "
            "validation "
            "and test images too"
        )
    else:
        verdict = (
            "Neither way is known to beat one λ for all, over other validation and test images"
        )
    if loses:
        verdict += f"; choosing by {' and by '.join(words[way] for way in loses)} hurts"
    both = "; ".join(f"{words[way]}: {_interval(_procedure(loss, way))}" for way in words)
    seeds = [
        f" Over seeds, {words[way]}: {_interval(loss.loc[(way, 'seeds')])}."
        for way in words
        if (way, "seeds") in loss.index
    ]
    return (
        "**What does the compromise cost?** Read off the test images themselves, a λ per class "
        "seems "
        f"to gain {said['naive']}; it would seem to gain {said['chance']} if all classes were "
        "alike. "
        f"Chosen on validation and judged on test it gains {said['honest']} by each class's lowest "
        f"loss, and {said['shrunk']} by its shrunk curve. With the validation images drawn anew as "
        f"well, {both}.{''.join(seeds)} {verdict}. (Each class's loss is read off the run of its "
        "λ: "
        "side by side, not of one classifier.)"
    )


def _worst(test: pd.Series, group: Mapping[str, pd.DataFrame]) -> str:
    table = group["worst-classes"]
    table = table[(table["weight_decay"] == test["best"]) & (table["chosen_on"] == "test")]
    table = table.set_index("measure")
    lowest, tenth = table.loc["lowest"], table.loc["tenth"]
    pair = group["worst-pairs"].set_index("weight_decay").loc[test["best"]]
    confused = (
        f" Most confused: “{pair['first']}” and “{pair['second']}”, {100 * pair['rate']:.0f} % of "
        "whose images are taken for the other."
        if isinstance(pair["first"], str)
        else ""
    )
    return (
        f"**Who is worst off?** At the best λ, the lowest accuracy of a class is "
        f"{100 * lowest['accuracy']:.0f} % (“{lowest['worst']}”); the mean of the worst tenth "
        f"({_count(tenth['classes'], 'class')}) is {100 * tenth['accuracy']:.1f} %.{confused}"
    )


def _procedure(loss: pd.DataFrame, way: str) -> pd.Series:
    return loss.loc[(way, "val and test")]


def _interval(one: pd.Series) -> str:
    text = f"{one['gain']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})"
    return text.replace("-", "−")


def _share(number: float, whole: int) -> str:
    return f"{100 * number / whole:.0f} %"


def _count(number: float, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{int(number)} {what if number == 1 else plural}"


def _named(some: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return how many classes, and the names of the first few."""
    if some.empty:
        return "none"
    names = ", ".join(f"“{name}”" for name in some["name"].head(5))
    return f"{len(some)} of {len(table)} ({names}{' …' if len(some) > 5 else ''})"
