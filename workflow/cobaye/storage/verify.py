"""Verification: every manifest under results/ and resources/, and every file that they cover."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cobaye.errors import CobayeError, CorruptFile, StaleFile
from cobaye.storage import manifests, paths, sources
from cobaye.storage.files import sha256


def verify(root: Path = Path()) -> tuple[int, list[str]]:
    """Return how many files were checked, and a message for each damaged one, with its cure.

    root: the project's folder. A manifest that was made from another one than stands now counts as
    damaged, unless that one is damaged itself. A missing manifest does not: Snakemake makes it. A
    file that no manifest names is not looked at.
    """
    checked = _Checked(root)
    for place in _places(root):
        checked.problems_of(place)
    return checked.count, [said for problems in checked.found.values() for said in problems]


class _Checked:
    """The manifests of a project that were checked so far. found: place → problems."""

    def __init__(self, root: Path):
        self.root, self.count = root, 0
        self.found: dict[str, list[str]] = {}

    def problems_of(self, place: str) -> list[str]:
        """Return the problems of a manifest and its files, once it was looked at what it read."""
        if place not in self.found:
            self.found[place] = []
            try:
                manifest = manifest_at(place, self.root)
                self._refuse_other_inputs(place, manifest)
                self.found[place] += self._damaged(place, manifest)
            except CobayeError as error:
                self.found[place].append(manifests.with_repair(error, self.root / place))
        return self.found[place]

    def _refuse_other_inputs(self, place: str, manifest: manifests.Manifest) -> None:
        for name, expected in manifest.inputs.items():
            path = self.root / name
            # The inputs of a dataset are its sources: its job compares them.
            known = manifest.stage != "prepare_dataset" and path.is_file()
            if known and not self.problems_of(name) and sha256(path) != expected:
                raise StaleFile(f"{self.root / place}: made from another {name} than stands now")

    def _damaged(self, place: str, manifest: manifests.Manifest) -> Iterator[str]:
        """Yield a message for each damaged file that a manifest covers."""
        self.count += 1
        for name in manifest.files:
            self.count += 1
            try:
                manifest.check((self.root / place).parent, name)
            except CorruptFile as error:
                yield str(error)


def _places(root: Path) -> Iterator[str]:
    """Yield the place of every manifest that there is, sorted."""
    patterns = {re.sub(r"{\w+}", "*", template) for template in paths.MANIFESTS.values()}
    found = {path for pattern in patterns for path in root.glob(pattern)}
    for path in sorted(found):
        if not path.name.startswith(".") and not path.name.endswith(".sources.json"):
            yield path.relative_to(root).as_posix()


def manifest_at(place: str, root: Path = Path()) -> manifests.Manifest:
    """Return the manifest at a place; raises CorruptFile for a damaged one or one of elsewhere."""
    content = manifests.read_sealed(root / place)
    stage, identity = content.get("stage"), content.get("identity")
    manifest = manifests.read_manifest(root / place, stage, identity)
    if place != (of := paths.manifest(stage, identity)):
        raise CorruptFile(f"{root / place}: expected the manifest of this path, found that of {of}")
    sources.check(root / place)
    return manifest
