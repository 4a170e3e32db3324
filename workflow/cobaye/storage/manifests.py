"""Manifests: the outputs of a stage, what they were made from, and the sha256 of every file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cobaye import recipes
from cobaye.errors import CobayeError, CorruptFile, StaleFile
from cobaye.storage import paths
from cobaye.storage.files import digest, read_json, sha256, write_json

# 2: stage and identity name the maker of tables; a derived run names its origin.
FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The outputs of a stage, with the sha256 of each file, and what they were made from; no time.

    stage: the rule's name. identity: the wildcards of the path. recipe, code: from the config and
    the library. inputs: path → sha256 of each manifest that was read. files: path relative to the
    manifest → {"sha256", "bytes"}. info: whatever the next stage needs to know.
    """

    stage: str
    identity: dict[str, Any]
    recipe: dict[str, Any]
    code: str
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)
    files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    info: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, path: Path | str) -> None:
        """Write the manifest, sealed with its own sha256."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        write_json(path, {**content, "seal": digest(content)})

    def check(self, folder: Path | str, name: str) -> Path:
        """Return the path of a file of this manifest once its bytes are checked."""
        path, expected = Path(folder) / name, self.files[name]
        # A file that another stage made is mended by that stage: its entry names the manifest.
        manifest = Path(paths.manifest(self.stage, self.identity)).name
        mend = repair(Path(folder) / expected.get("manifest", manifest))
        if not path.is_file():
            raise CorruptFile(f"{path}: {'no file' if path.exists() else 'missing'}\n{mend}")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise CorruptFile(f"{path}: expected {expected['bytes']} bytes, found {size}\n{mend}")
        if (actual := sha256(path)) != expected["sha256"]:
            raise CorruptFile(
                f"{path}: expected sha256 {expected['sha256']}, found {actual}\n{mend}"
            )
        return path


def read_manifest(path: Path | str, stage: str, identity: Mapping[str, Any]) -> Manifest:
    """Read a manifest and check its seal, format version, stage and identity.

    Raises CorruptFile, naming the file, what was expected, what was found and the repair.
    """
    try:
        content = read_sealed(path)
    except CorruptFile as error:
        raise CorruptFile(f"{error}\n{repair(path)}") from None
    version = content.pop("format")
    for key, expected, actual in [
        ("format version", FORMAT, version),
        ("stage", stage, content.get("stage")),
        ("identity", dict(identity), content.get("identity")),
    ]:
        if expected != actual:
            raise CorruptFile(f"{path}: expected {key} {expected}, found {actual}\n{repair(path)}")
    return Manifest(**content)


def is_of_an_earlier_format(path: Path | str) -> bool:
    """Tell whether a manifest was written by an earlier version; raises CorruptFile if damaged."""
    return read_sealed(path)["format"] < FORMAT


def read_sealed(path: Path | str) -> dict[str, Any]:
    """Return the content of a manifest without its seal, which was found right."""
    content = read_json(path)
    seal = content.pop("seal", None) if isinstance(content, dict) else None
    if seal is None or seal != digest(content):
        raise CorruptFile(
            f"{path}: expected a manifest sealed with its own sha256, found seal {seal}"
        )
    return content


def training_recipe(trained: Manifest) -> dict[str, Any]:
    """Return the whole recipe of a training, whatever its origin, as a plain `Training`."""
    return trained.info.get("recipe", trained.recipe)


def trained_model(trained: Manifest) -> tuple[recipes.Kind, str]:
    """Return the network of a finished training, and the loss that it minimised."""
    recipe = training_recipe(trained)
    return recipes.parse(recipes.Kind, recipe["model"]), recipe["loss"]


def reported_epoch(trained: Manifest, evaluated: Manifest | None = None) -> int:
    """Return the epoch whose weights stand for a run: what its evaluation chose, or the last."""
    last: int = trained.info["epochs"]
    return last if evaluated is None else evaluated.info.get("epoch", last)


def kept_epochs(trained: Manifest) -> list[int]:
    """Return the epochs that a finished training left checkpoints of, rising."""
    names = [Path(name) for name in trained.files]
    return sorted(
        int(name.stem.removeprefix("epoch-")) for name in names if name.suffix == ".safetensors"
    )


def require_fresh(path: Path | str, manifest: Manifest, fingerprint: str) -> None:
    """Raise StaleFile unless a manifest has the fingerprint of the config's recipe and code."""
    if fingerprint != (actual := stage_fingerprint(manifest.recipe, manifest.code)):
        raise StaleFile(
            f"{path}: made from another recipe or code than the config gives now "
            f"(fingerprint {actual[:12]}, expected {fingerprint[:12]})\n{repair(path)}"
        )


def require_inputs(path: Path | str, manifest: Manifest, root: Path = Path()) -> None:
    """Raise StaleFile if a manifest that a stage read has changed since."""
    for name, expected in manifest.inputs.items():
        if (root / name).exists() and sha256(root / name) != expected:
            raise StaleFile(f"{path}: made from another {name} than stands now\n{repair(path)}")


def stage_fingerprint(recipe: Mapping[str, Any], code: str) -> str:
    """Return the sha256 of a stage's recipe and code, its inputs aside."""
    return digest({"recipe": recipe, "code": code})


def describe(path: Path | str, known_sha256: str | None = None) -> dict[str, Any]:
    """Return a file's entry in a manifest."""
    return {"sha256": known_sha256 or sha256(path), "bytes": os.path.getsize(path)}


def with_repair(error: CobayeError, path: Path | str) -> str:
    """Return the message of an error, with the command that makes a manifest again."""
    said = str(error)
    return said if repair(path) in said else f"{said}\n{repair(path)}"


def repair(target: Path | str) -> str:
    """Return the command that makes a file again."""
    return f"to repair: snakemake --cores all {target} --forcerun {target}"
