"""Verification: every manifest under results/ and resources/, and every file that they cover."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cobaye.errors import CobayeError, CorruptFile
from cobaye.storage import files, manifests, paths, sources


def verify(root: Path = Path()) -> tuple[int, list[str]]:
    """Return how many files were checked, and a message for each damaged one, with its cure.

    root: the project's folder. A manifest that is whole, and was made from another one than stands
    now, counts as damaged. A file that no manifest names is not looked at.
    """
    count, problems, whole = 0, [], {}
    for place in _places(root):
        try:
            manifest = _manifest(root, place)
        except CobayeError as error:
            problems.append(_with_repair(str(error), root / place))
            continue
        count += 1 + len(manifest.files)
        found = list(_damaged(root / place, manifest))
        problems += found
        if not found:
            whole[place] = files.sha256(root / place), manifest.inputs
    for place, (_, inputs) in whole.items():
        for name, expected in inputs.items():
            if whole.get(name, (expected,))[0] != expected:
                said = f"{root / place}: made from another {name} than stands now"
                problems.append(_with_repair(said, root / place))
    return count, problems


def _with_repair(said: str, path: Path) -> str:
    repair = manifests.repair(path)
    return said if repair in said else f"{said}\n{repair}"


def _damaged(path: Path, manifest: manifests.Manifest) -> Iterator[str]:
    """Yield a message for each damaged file that a manifest covers."""
    for name in manifest.files:
        try:
            manifest.check(path.parent, name)
        except CorruptFile as error:
            yield str(error)


def _places(root: Path) -> Iterator[str]:
    """Yield the place of every manifest that there is, sorted."""
    patterns = {re.sub(r"{\w+}", "*", template) for template in paths.MANIFESTS.values()}
    found = {path for pattern in patterns for path in root.glob(pattern)}
    for path in sorted(found):
        if not path.name.startswith(".") and not path.name.endswith(".sources.json"):
            yield path.relative_to(root).as_posix()


def _manifest(root: Path, place: str) -> manifests.Manifest:
    """Return the manifest at a place; raises CorruptFile for a damaged one or one of elsewhere."""
    content = manifests.read_sealed(root / place)
    stage, identity = content.get("stage"), content.get("identity")
    manifest = manifests.read_manifest(root / place, stage, identity)
    if place != (of := paths.manifest(stage, identity)):
        raise CorruptFile(f"{root / place}: expected the manifest of this path, found that of {of}")
    sources.check(root / place)
    return manifest
