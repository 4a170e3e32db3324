"""Files that are whole or absent, and manifests that say what they must hold.

Everything this project writes goes through :func:`write_bytes` or :func:`publish_directory`: a
temporary name beside the target, fsync, rename, fsync of the folder. Everything it reads is checked
against a :class:`Manifest` written after the files it names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from cobaye.errors import CorruptFile, StaleFile, writable

FORMAT = 1
TEMPORARY = ".tmp-"


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[BinaryIO]:
    """Open ``path`` for writing so that it appears whole, at the end, or not at all.

    Temporary files that a killed process left for the same target are removed first, so one target
    has one writer at a time (Snakemake, or the lock of a run, sees to that).
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(path)
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_bytes(path: Path | str, data: bytes) -> str:
    """Write a file whole or not at all; return the sha256 of ``data`` in hex."""
    with writing(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path | str, value: Any) -> str:
    """Write JSON that two equal values give byte for byte; return its sha256."""
    return write_bytes(path, _encoded(value))


def _encoded(value: Any) -> bytes:
    return (canonical(value, indent=1) + "\n").encode()


def read_json(path: Path | str) -> Any:
    """Read JSON; a missing file, or one that :func:`write_json` did not make, is a CorruptFile."""
    try:
        data = Path(path).read_bytes()
        if data != _encoded(value := json.loads(data)):
            raise ValueError("other bytes than this project writes")
        return value
    except FileNotFoundError:
        raise CorruptFile(f"{path}: missing") from None
    except ValueError as error:
        raise CorruptFile(f"{path}: expected JSON of this project: {error}") from None


def canonical(value: Any, indent: int | None = None) -> str:
    """Return the one JSON text of a value: sorted keys, no NaN (use None)."""
    return json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the sha256, in hex, of a JSON value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def sha256(path: Path | str) -> str:
    """Return the sha256 of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_directory(source: Path, target: Path) -> None:
    """Rename a finished folder to its published name, replacing what an orphan may have left."""
    with writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(target)
        if target.exists():
            old = target.with_name(f"{TEMPORARY}{os.getpid()}-{target.name}")
            os.replace(target, old)
            shutil.rmtree(old)
        os.replace(source, target)
        _sync_folder(target.parent)


def link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no such thing, a copy."""
    try:
        os.link(source, target)
    except OSError:
        with open(source, "rb") as original, writing(target) as file:
            shutil.copyfileobj(original, file)


def remove_temporaries(path: Path) -> None:
    """Remove what killed writers of ``path`` left beside it."""
    pattern = re.compile(re.escape(TEMPORARY) + r"\d+-" + re.escape(path.name))
    for name in os.listdir(path.parent):
        if pattern.fullmatch(name):
            leftover = path.with_name(name)
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a stage made, from what, and the sha256 of every file of it. Holds no time.

    stage: the rule's name. identity: what its path says. recipe, code: what the config and the
    library gave. inputs: path → sha256 of each manifest it read. files: path relative to the
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
        """Return the path of a file of this manifest once its bytes are known to be right."""
        path, expected = Path(folder) / name, self.files[name]
        # A file that another stage made is mended by that stage: its entry names the manifest.
        own = self.info.get("manifest") or MANIFESTS.get(self.stage, "")
        mend = repair(Path(folder) / expected.get("manifest", own))
        if not path.is_file():
            raise CorruptFile(f"{path}: missing\n{mend}")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise CorruptFile(f"{path}: expected {expected['bytes']} bytes, found {size}\n{mend}")
        if (found := sha256(path)) != expected["sha256"]:
            raise CorruptFile(
                f"{path}: expected sha256 {expected['sha256']}, found {found}\n{mend}"
            )
        return path


# The name of each stage's manifest; cache_features and prepare_backbone name theirs in `info`.
MANIFESTS = {
    "prepare_dataset": "manifest.json",
    "gather_features": "manifest.json",
    "train": "train.json",
    "evaluate": "evaluate.json",
    "evaluate_baseline": "baseline.json",
    "evaluate_best": "best.json",
    "tabulate_derived": "derived.json",
    "tabulate": "tables.json",
}


def read_manifest(path: Path | str, stage: str, identity: Mapping[str, Any]) -> Manifest:
    """Read a manifest and check its seal, format version, stage and identity.

    Raises CorruptFile, naming the file, what was expected, what was found and the repair.
    """
    try:
        content = read_json(path)
    except CorruptFile as error:
        raise CorruptFile(f"{error}\n{repair(path)}") from None
    seal = content.pop("seal", None) if isinstance(content, dict) else None
    if seal is None or seal != digest(content):
        raise CorruptFile(
            f"{path}: expected a manifest sealed with its own sha256, found seal {seal}\n"
            f"{repair(path)}"
        )
    version = content.pop("format")
    for what, expected, found in [
        ("format version", FORMAT, version),
        ("stage", stage, content.get("stage")),
        ("identity", dict(identity), content.get("identity")),
    ]:
        if expected != found:
            raise CorruptFile(f"{path}: expected {what} {expected}, found {found}\n{repair(path)}")
    return Manifest(**content)


def require_fresh(path: Path | str, manifest: Manifest, fingerprint: str) -> None:
    """Raise StaleFile unless a manifest was made from the recipe and code the config gives."""
    if fingerprint != (found := stage_fingerprint(manifest.recipe, manifest.code)):
        raise StaleFile(
            f"{path}: made from another recipe or code than the config gives now "
            f"(fingerprint {found[:12]}, expected {fingerprint[:12]})\n{repair(path)}"
        )


def require_inputs(path: Path | str, manifest: Manifest, root: Path = Path()) -> None:
    """Raise StaleFile unless the manifests that a stage read are those that stand now."""
    for name, expected in manifest.inputs.items():
        if (root / name).exists() and sha256(root / name) != expected:
            raise StaleFile(f"{path}: made from another {name} than stands now\n{repair(path)}")


def stage_fingerprint(recipe: Mapping[str, Any], code: str) -> str:
    """Return the sha256 of what a stage is made from, its inputs aside."""
    return digest({"recipe": recipe, "code": code})


def describe(path: Path | str, known_sha256: str | None = None) -> dict[str, Any]:
    """Return a file's entry in a manifest."""
    return {"sha256": known_sha256 or sha256(path), "bytes": os.path.getsize(path)}


def repair(target: Path | str) -> str:
    """Return the command that makes a file again, and nothing else."""
    return f"to repair: snakemake --cores all {target} --forcerun {target}"
