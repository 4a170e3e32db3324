"""Attack on the files of a finished project: each damaged in every way, found, refused and mended.

The project is that of `chain`. A damage counts as noticed if `verify` names the file; the job that
reads the file is run on top, and must refuse it or give what it gave before.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from cobaye.errors import CobayeError
from cobaye.storage import files
from cobaye.storage.verify import verify
from tests import chain
from tests.test_corruption import flipped, of_the_future, put

HOWS = (
    "empty", "cut", "bit", "bit", "bit", "longer", "gone", "swapped", "of another study", "future",
    "earlier time", "folder", "link to a copy", "link to another", "dangling link", "pipe",
)  # fmt: skip
# Changes that leave the content as it is.
HARMLESS = ("earlier time", "link to a copy")


class Project:
    """A finished project, and what its stages read and write."""

    def __init__(self, finished: Path, other: Path, generator: random.Random):
        self.finished, self.other, self.generator = finished, other, generator
        self.stages = {stage.manifest: stage for stage in chain.stages()}
        self.whole = chain.contents(finished)
        self.manifests = {name: files.read_json(finished / name) for name in self.stages}
        self.maker = {name: name for name in self.stages}
        for name, content in self.manifests.items():
            for entry in content["files"]:
                self.maker.setdefault(os.path.normpath(Path(name).parent / entry), name)

    def damage(self, root: Path, name: str, how: str) -> list[str]:
        """Damage a file; return the names of what was changed, [] if it cannot be done."""
        path, data = root / name, self.whole[name]
        if how == "earlier time":
            os.utime(path, (0, 0))
        elif how in ("swapped", "link to another"):
            return self._exchange(root, name, how)
        elif how in ("folder", "pipe", "gone", "link to a copy", "dangling link"):
            self._replace(root, path, how)
        elif (content := self._spoilt(name, data, how)) not in (data, None):
            put(path, content)
        else:
            return []
        return [name]

    def _spoilt(self, name: str, data: bytes, how: str) -> bytes | None:
        """Return other content for a file; None where there is no such."""
        place = self.generator.randrange(max(1, len(data)))
        if how == "future":
            return of_the_future(data) if name in self.stages else None
        if how == "bit":
            return flipped(data, place, 1 << self.generator.randrange(8)) if data else None
        if how == "of another study":
            return (self.other / name).read_bytes()
        return {"empty": b"", "cut": data[:place], "longer": data + b"\0"}[how]

    def _exchange(self, root: Path, name: str, how: str) -> list[str]:
        """Exchange a file with one of equal ending and other content, or link it there."""
        path, data = root / name, self.whole[name]
        ending = [other for other in self.maker if Path(other).suffix == path.suffix]
        alike = [other for other in ending if self.whole[other] != data]
        if not alike:
            return []
        partner = self.generator.choice(alike)
        path.unlink()
        if how == "link to another":
            path.symlink_to(root / partner)
            return [name]
        path.write_bytes(self.whole[partner])
        put(root / partner, data)
        return [name, partner]

    def _replace(self, root: Path, path: Path, how: str) -> None:
        """Replace a file by nothing, a folder, a link or a pipe."""
        path.rename(root / "moved")
        if how == "folder":
            path.mkdir()
        elif how == "pipe":
            os.mkfifo(path)
        elif "link" in how:
            path.symlink_to(root / ("moved" if how == "link to a copy" else "nowhere"))

    def repair(self, root: Path, problems: list[str]) -> None:
        """Do what the messages name: make each manifest again, its files removed before."""
        named = {
            os.path.relpath(found, root)
            for problem in problems
            for found in re.findall(r"--forcerun (\S+)$", problem)
        }
        for manifest in (name for name in self.stages if name in named):
            for name in [name for name, maker in self.maker.items() if maker == manifest]:
                remove(root / name)
            self.stages[manifest].run(root)

    def readers(self, name: str) -> Iterator[chain.Stage]:
        """Yield the stages that read what made a file."""
        for manifest, content in self.manifests.items():
            if self.maker[name] in content["inputs"]:
                yield self.stages[manifest]


def remove(path: Path) -> None:
    """Remove whatever stands at a path, as Snakemake does with the outputs of a job."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def attack(
    finished: Path,
    other: Path,
    folder: Path,
    count: int,
    seed: int,
    report: Callable[[str, str, str, str], None],
) -> Counter[str]:
    """Try `count` damages, every way and kind of file in turn; return the columns of the table.

    finished, other: two states that `chain.build` made, of different data. folder: to work in.
    report: called with each defect: file, damage, column, text.
    """
    generator, counts = random.Random(seed), Counter[str]()
    project = Project(finished, other, generator)
    names, made = sorted(project.maker), 0
    while made < count:
        name, how = generator.choice(names), HOWS[made % len(HOWS)]
        root = chain.clone(finished, folder / f"{made:05d}")
        changed = project.damage(root, name, how)
        if changed:
            made += 1
            try:
                column, said = _outcome(project, root, changed, how)
            except Exception:
                column, said = "traceback", traceback.format_exc()
            counts["tried"] += 1
            counts[column] += 1
            if column not in ("refused", "accepted rightly"):
                report(name, how, column, said)
        shutil.rmtree(root)
    return counts


def _outcome(project: Project, root: Path, changed: list[str], how: str) -> tuple[str, str]:
    """Return the column that a damage belongs to, and why."""
    _, problems = verify(root)
    unnoticed = [
        name
        for name in changed
        # A whole manifest of other data does not fit its files: they are named, and its remaking.
        if not any(f"{root / name}: " in said or said.endswith(f"/{name}") for said in problems)
    ]
    if how in HARMLESS:
        return ("unclear message", "\n".join(problems)) if problems else ("accepted rightly", "")
    if how in ("gone", "dangling link") and changed[0] in project.stages:
        # Nothing stands there, so plain Snakemake makes it again.
        problems = [f"--forcerun {root / changed[0]}"]
    elif unnoticed:
        return "wrong in silence", f"verify does not name {unnoticed}: {problems}"
    before = _rest(root, changed)
    for reader in list(project.readers(changed[0]))[:1]:
        try:
            reader.run(root)
        except CobayeError as error:
            if not any(name in str(error) for name in changed):
                return "unclear message", str(error)
    if _rest(root, changed) != before:
        return "wrong in silence", f"{reader.manifest} was made of damaged files"
    project.repair(root, problems)
    after = {k: v for k, v in chain.contents(root).items() if k != "moved"}
    if after != project.whole:
        differ = [name for name in project.whole if after.get(name) != project.whole[name]]
        return "lost", f"not mended: {differ}\n" + "\n".join(problems)
    return "refused", ""


def _rest(root: Path, changed: list[str]) -> dict[str, bytes]:
    """Return every file but those that were changed."""
    whole = chain.contents(root)
    return {name: data for name, data in whole.items() if name not in changed}
