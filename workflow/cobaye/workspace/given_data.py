"""What a workspace is made for: features, images, or a study that is shipped.

Each function returns the files to write, name → text, and raises CobayeError for data that
the workflow could not use, with the message that its job would give.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cobaye import kinds
from cobaye.config import yaml_files
from cobaye.data import suggestion
from cobaye.data.datasets import Prepared, check
from cobaye.errors import ConfigError, DataError, nearest
from cobaye.storage import own_code
from cobaye.workspace import templates, texts
from cobaye.workspace.location import shipped

FRACTIONS = {"test": 0.3, "val": 0.2}
IMAGE_SIZE = 32
PARTS = ("train", "val", "test")


def of_features(name: str, features: Path, labels: Path | None) -> dict[str, str]:
    """Return the files for features (N, D) and labels (N,) of one's own.

    labels: needed beside an .npy; other formats may hold them.
    """
    options: dict[str, Any] = {"parts": {"all": str(features)}, "splits": _drawn_from("all")}
    if labels is not None:
        options["labels"] = {"all": str(labels)}
    prepared = _prepared("features", options)
    check(prepared)
    inputs, answers = prepared.splits["train"]
    rows = np.random.default_rng(0).permutation(len(answers))[: suggestion.ROWS]
    scale = suggestion.scale_of(
        inputs[np.sort(rows)], answers[np.sort(rows)], len(prepared.classes), len(answers)
    )
    if scale.is_zero:
        raise DataError(
            f"{features}: every class has the same mean features: no λ can be suggested"
        )
    return {
        "config/datasets.yaml": templates.dataset(name, "features", options),
        "config/backbones.yaml": texts.NO_BACKBONE,
        f"config/studies/{name}.yaml": templates.study_of_features(name, scale),
    }


def of_images(name: str, folder: Path, backbone: str | None = None) -> dict[str, str]:
    """Return the files for a folder of images: one folder per class, or train/ and test/ with them.

    backbone: a callable; else a small ResNet, trained on the training images by a study of its own.
    """
    if backbone is not None:
        _refuse_missing(backbone)
    options = {"folder": str(folder), **_parts_of(folder)}
    prepared = _prepared("image-folder", options)
    check(prepared)
    if backbone is not None:
        return {
            "config/datasets.yaml": templates.dataset(name, "image-folder", options),
            "config/backbones.yaml": templates.callable_backbone(name, backbone),
            f"config/studies/{name}.yaml": templates.study_of_callable(name, backbone),
        }
    images = len(prepared.splits["train"][1])
    stored = {"folder": options.pop("folder"), "size": IMAGE_SIZE, **options}
    return {
        "config/datasets.yaml": templates.dataset(name, "image-folder-resized", stored),
        "config/backbones.yaml": templates.trained_backbone(name),
        f"config/studies/{name}-backbone.yaml": templates.study_of_backbone(name, images),
        f"config/studies/{name}.yaml": templates.study_of_images(name),
    }


def _refuse_missing(backbone: str) -> None:
    """Raise ConfigError unless a callable has a known form, and its code is in this folder."""
    if not own_code.is_form(backbone):
        raise ConfigError(f"--backbone: {backbone!r}: give {own_code.FORMS}")
    try:
        own_code.source(backbone)
    except ConfigError as error:
        raise ConfigError(f"--backbone: {error}") from None


def _parts_of(folder: Path) -> dict[str, Any]:
    """Return the options of a folder of images, beside `folder`, or with another one."""
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: name a folder that holds one folder per class")
    parts = {entry.name for entry in folder.iterdir() if entry.is_dir()} & set(PARTS)
    if parts == set(PARTS):
        return {}
    if "train" not in parts:
        return {"folder": str(folder.parent), "splits": _drawn_from(folder.name)}
    if "test" in parts:
        val = {"of": "train", "fraction": FRACTIONS["val"], "stratified": True}
        return {"splits": {"train": {"of": "train"}, "val": val, "test": {"of": "test"}}}
    if "val" in parts:
        val = {"of": "val", "fraction": 0.5, "stratified": True}
        return {"splits": {"train": {"of": "train"}, "val": val, "test": {"of": "val"}}}
    return {"splits": _drawn_from("train")}


def _drawn_from(part: str) -> dict[str, dict[str, Any]]:
    drawn = {
        split: {"of": part, "fraction": share, "stratified": True}
        for split, share in FRACTIONS.items()
    }
    return {"train": {"of": part}, **drawn}


def _prepared(kind: str, given: Mapping[str, Any]) -> Prepared:
    """Return a dataset as its job will prepare it."""
    try:
        options = kinds.options("datasets", kind)(**given)
    except ValueError as error:
        raise DataError(str(error)) from None
    module = kinds.load("datasets", kind)
    if problems := module.problems(options):
        raise DataError("\n".join(problems))
    return module.prepare(options)


def of_shipped(name: str, like: str) -> dict[str, str]:
    """Return the files of a study that comes with the workflow, under another name.

    Its datasets and backbones come along, and the studies that train these.
    """
    known = [file.stem for file in shipped("config/studies").glob("*.yaml")]
    if like not in known:
        raise ConfigError(f"--like: no study {like!r}: {nearest(like, known)}")
    entries = {
        kind: yaml_files.read_yaml(shipped(f"config/{kind}.yaml"))
        for kind in ("datasets", "backbones")
    }
    datasets: dict[str, Any] = {}
    backbones: dict[str, Any] = {}
    studies, waiting, seen = {}, [like], {like}
    while waiting:
        study = waiting.pop()
        file = shipped(f"config/studies/{study}.yaml")
        content = yaml_files.read_yaml(file)
        called = name if study == like else study
        if called in studies:
            raise ConfigError(f"{name!r} is a study that {like!r} needs: take another name")
        text = file.read_text(encoding="utf-8")
        studies[called] = templates.renamed(text, study, called)
        datasets[content["dataset"]] = entries["datasets"][content["dataset"]]
        for backbone in _backbones(content):
            backbones[backbone] = entry = entries["backbones"][backbone]
            datasets |= {seen: entries["datasets"][seen] for seen in entry.get("never_saw", ())}
            trained_by = entry.get("run", {}).get("study")
            if trained_by and trained_by not in seen:
                waiting.append(trained_by)
                seen.add(trained_by)
    return {
        "config/datasets.yaml": templates.entries("Datasets", datasets),
        "config/backbones.yaml": templates.entries("Backbones", backbones),
        **{f"config/studies/{study}.yaml": text for study, text in studies.items()},
        **_scripts(datasets),
    }


def _backbones(content: Mapping[str, Any]) -> list[str]:
    """Return the backbones that a study names: for its features, and to start models from."""
    starts = [model.get("start", {}).get("backbone") for model in content["models"].values()]
    named = [content.get("backbone"), *content.get("backbones", ()), *starts]
    return [backbone for backbone in dict.fromkeys(named) if backbone]


def _scripts(datasets: Mapping[str, Any]) -> dict[str, str]:
    """Return the shipped scripts that make the files of datasets."""
    words = [word for entry in datasets.values() for word in shlex.split(entry.get("made_by", ""))]
    files = {word: shipped(word) for word in words if word.startswith("config/")}
    return {word: file.read_text(encoding="utf-8") for word, file in files.items()}
