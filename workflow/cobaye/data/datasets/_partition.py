"""Splits from config: which images of a dataset's own parts make train, val and test.

A part is what a dataset comes in (``train`` and ``test`` of CIFAR-10). Each of the three splits
has a rule: ``of`` (a part, or a list of parts that are pooled), and, if not all of it, ``last: n``
rows or a ``fraction`` drawn with a ``seed``, class by class if ``stratified``. Splits with ``last``
claim their rows first, then fractions are drawn (test, val, train; each a share of *all* images of
its parts, from those still free), and a split with neither takes what is left. No image is in two
splits, unless `val` says ``in_train: true``: its share is then drawn from train's images at the
end, and they stay there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cobaye.errors import DataError, nearest
from cobaye.storage.paths import SPLITS

KEYS = ("of", "last", "fraction", "seed", "stratified", "in_train")
# Test first: how much is kept for validation then does not change what is reported on.
DRAWN = ("test", "val", "train")


def problems(splits: Mapping[str, Mapping[str, Any]], parts: Iterable[str] | None) -> list[str]:
    """Return what is wrong with the rules of a config, one sentence each.

    parts: the names of the dataset's parts; None if they are not known yet.
    """
    sentences = [
        f"splits.{name}: there is no such split: {nearest(name, SPLITS)}"
        for name in splits
        if name not in SPLITS
    ]
    sentences += [
        f"splits.{name}: missing: say which images it takes, as in {{of: part}}"
        for name in SPLITS
        if name not in splits
    ]
    known = None if parts is None else list(parts)
    for name in SPLITS:
        if name in splits:
            sentences += [f"splits.{name}.{said}" for said in _rule_problems(splits[name], known)]
            if name != "val" and splits[name].get("in_train"):
                sentences.append(f"splits.{name}.in_train: only val may have it")
    return sentences or _shared_rests(splits)


def _rule_problems(rule: Mapping[str, Any], parts: list[str] | None) -> list[str]:
    sentences = [f"{key}: unknown key: {nearest(key, KEYS)}" for key in rule if key not in KEYS]
    parts_taken = pooled(rule)
    if (
        not parts_taken
        or not all(isinstance(part, str) for part in parts_taken)
        or len(set(parts_taken)) < len(parts_taken)
    ):
        return [*sentences, f"of: {rule.get('of')!r} must be a part, or a list of different parts"]
    if parts is not None:
        sentences += [
            f"of: there is no part {part!r}: {nearest(part, parts)}"
            for part in parts_taken
            if part not in parts
        ]
    if "last" in rule and "fraction" in rule:
        return [*sentences, "last: give last or fraction, not both"]
    return sentences + [
        f"{key}: {rule[key]!r} must be {what}"
        for key, what, holds in _value_rules(rule)
        if key in rule and not holds
    ]


def _value_rules(rule: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return (key, what it must be, whether it is) for the keys beside `of`."""
    last, fraction = rule.get("last"), rule.get("fraction")
    seed, stratified = rule.get("seed"), rule.get("stratified")
    drawn, in_train = "fraction" in rule, rule.get("in_train")
    return [
        ("last", "a number of images, at least 1", type(last) is int and last >= 1),
        ("fraction", "above 0 and below 1", type(fraction) is float and 0 < fraction < 1),
        ("seed", "an integer of at least 0, beside a fraction", _is_seed(seed) and drawn),
        ("stratified", "true or false, beside a fraction", type(stratified) is bool and drawn),
        ("in_train", "true or false, beside a fraction", type(in_train) is bool and drawn),
    ]


def _is_seed(value: Any) -> bool:
    return type(value) is int and value >= 0


def _shared_rests(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each part of which two splits want all that is left."""
    rests = [name for name in SPLITS if not {"last", "fraction"} & set(splits[name])]
    return [
        f"splits.{first} and splits.{second} both take all that is left of {part!r}: "
        "give one of them last or fraction"
        for i, first in enumerate(rests)
        for second in rests[i + 1 :]
        for part in pooled(splits[first])
        if part in pooled(splits[second])
    ]


def pooled(rule: Mapping[str, Any]) -> list[str]:
    """Return the parts of a rule as a list."""
    named = rule.get("of", [])
    return list(named) if isinstance(named, list | tuple) else [named]


def most(splits: Mapping[str, Mapping[str, Any]], parts: Mapping[str, int]) -> dict[str, int]:
    """Return how many images each split has at most.

    parts: part → how many it has. A split that takes what is left counts all images of its parts.
    """
    counts = {}
    for name, rule in splits.items():
        pool = sum(parts[part] for part in pooled(rule))
        counts[name] = rule.get("last", round(rule.get("fraction", 1) * pool))
    return counts


def divide(
    labels: Mapping[str, np.ndarray], splits: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Return split → row numbers (int64, rising) over all parts one after the other.

    labels: part → (N,) integers, in the order in which rows are numbered. Raises DataError for a
    part that does not exist, sizes that do not fit, overlapping claims and an empty split.
    """
    if sentences := problems(splits, labels):
        raise DataError("\n".join(sentences))
    every = np.concatenate(list(labels.values()))
    starts = np.cumsum([0, *(len(part) for part in labels.values())])
    ranges = {part: np.arange(*starts[i : i + 2], dtype=np.int64) for i, part in enumerate(labels)}
    pools = {
        name: np.concatenate([ranges[part] for part in pooled(splits[name])]) for name in SPLITS
    }
    owner = np.full(len(every), "", dtype="<U5")
    for name in SPLITS:
        if "last" in splits[name]:
            _claim(owner, name, _last(pools[name], name, splits[name]))
    for name in DRAWN:
        if "fraction" in splits[name] and not splits[name].get("in_train"):
            free = owner[pools[name]] == ""
            _claim(owner, name, _drawn(pools[name], free, every, name, splits[name]))
    for name in SPLITS:
        if not {"last", "fraction"} & set(splits[name]):
            _claim(owner, name, pools[name][owner[pools[name]] == ""])
    rows = {name: np.flatnonzero(owner == name) for name in SPLITS}
    if splits["val"].get("in_train"):
        learned = owner[pools["val"]] == "train"
        rows["val"] = np.sort(_drawn(pools["val"], learned, every, "val", splits["val"]))
        _refuse_none(rows["val"], "val")
    return rows


def _refuse_none(rows: np.ndarray, name: str) -> None:
    if len(rows) == 0:
        raise DataError(f"splits.{name}: no image is left for it")


def _claim(owner: np.ndarray, name: str, rows: np.ndarray) -> None:
    _refuse_none(rows, name)
    taken = rows[owner[rows] != ""]
    if len(taken):
        raise DataError(
            f"splits.{name}: overlapping claims: {len(taken)} of the {len(rows)} images it takes "
            f"are those of splits.{owner[taken[0]]}"
        )
    owner[rows] = name


def _last(pool: np.ndarray, name: str, rule: Mapping[str, Any]) -> np.ndarray:
    if rule["last"] > len(pool):
        raise DataError(
            f"splits.{name}.last: {rule['last']} is more than the {len(pool)} images of "
            f"{' and '.join(map(repr, pooled(rule)))}"
        )
    return pool[-rule["last"] :]


def _drawn(
    pool: np.ndarray, free: np.ndarray, labels: np.ndarray, name: str, rule: Mapping[str, Any]
) -> np.ndarray:
    """Draw a share of a pool from its free rows, over all of them or in each class."""
    generator = np.random.default_rng([rule.get("seed", 0), SPLITS.index(name)])
    groups = labels[pool] if rule.get("stratified", False) else np.zeros(len(pool), np.int64)
    drawn_rows = []
    for group in np.unique(groups):
        of_class = f" of class {group}" if rule.get("stratified", False) else ""
        wanted = round(rule["fraction"] * np.count_nonzero(groups == group))
        candidates = pool[(groups == group) & free]
        if wanted > len(candidates):
            raise DataError(
                f"splits.{name}.fraction: {rule['fraction']} is {wanted} images{of_class}, "
                f"but the other splits leave {len(candidates)}"
            )
        drawn_rows.append(generator.permutation(candidates)[:wanted])
    return np.concatenate(drawn_rows)
