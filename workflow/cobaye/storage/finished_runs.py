"""Finished runs of a study, known to be right before anything is read from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cobaye.storage import files, manifests, paths


@dataclass(frozen=True)
class Finished:
    """A run's folder and the manifests of its training and evaluation."""

    folder: Path
    trained: manifests.Manifest
    evaluated: manifests.Manifest


def finished(
    identity: Mapping[str, Any],
    expected: Mapping[str, tuple[str, str]],
    inputs: dict[str, str],
    root: Path = Path(),
) -> Finished:
    """Return a run once its manifests are known to be what the config gives now.

    expected: run folder → the fingerprints of its training and evaluation; others raise StaleFile,
    and so does a run made from inputs that have changed. Adds the manifests' sha256 to `inputs`.
    """
    place = paths.RUN.format(**identity)
    folder = root / place
    trained = manifests.read_manifest(folder / "train.json", "train", identity)
    evaluated = manifests.read_manifest(folder / "evaluate.json", "evaluate", identity)
    for name, manifest, fingerprint in zip(
        ("train.json", "evaluate.json"), (trained, evaluated), expected[place], strict=True
    ):
        manifests.require_fresh(folder / name, manifest, fingerprint)
        manifests.require_inputs(folder / name, manifest, root)
        inputs[f"{place}/{name}"] = files.sha256(folder / name)
    return Finished(folder, trained, evaluated)
