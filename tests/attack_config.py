"""Attack on config files: every key of the shipped ones spoilt in every way, read by the loader.

The mutations follow the schema: keys that an entry does not set are added, and the numbers are the
bounds of all keys, and what lies beside them.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from cobaye import figures
from cobaye.errors import CobayeError
from tests import invariants
from tests.conftest import ROOT
from tests.schema_keys import Place, bounds, known_keys

SHARED = ("datasets.yaml", "backbones.yaml")
TWICE = "key-that-stands-twice"
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


ODD = [
    True, False, None, "", "x", "no such", "../../x", "a/b", "\ud7ff\u202e", "x" * 300, "1", "nan",
    [], [[]], [None], ["x", "x"], {}, {"x": 1}, {1: 2}, math.inf, -math.inf, math.nan, *bounds(),
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A change of one key: remove, misspell, double, set (to `value`) or rename (to `value`)."""

    study: str
    file: str
    place: Place
    how: str
    value: Any = None


class Projects:
    """The shipped config, a study at a time, with what the study needs, in folders of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.contents = {
            str(file.relative_to(ROOT / "config")): yaml.safe_load(file.read_text())
            for file in sorted((ROOT / "config").rglob("*.yaml"))
        }
        self.figures = figures.names()
        self.needed = {study: self._needed(study) for study in self.studies}
        for study, contents in self.needed.items():
            for name, content in contents.items():
                self.write(study, name, dump(content))

    @property
    def studies(self) -> list[str]:
        """The names of the shipped studies."""
        return [Path(name).stem for name in self.contents if name.startswith("studies/")]

    def _needed(self, study: str) -> dict[str, Any]:
        """Return the contents of all files of a project that has one study and what it names."""
        found: dict[str, Any] = {name: {} for name in ("config.yaml", *SHARED)}
        waiting = [study]
        while waiting:
            name = f"studies/{waiting.pop()}.yaml"
            found[name] = self.contents[name]
            for file in reversed(SHARED):  # backbones name datasets too
                words = set(_words([found[name], found["backbones.yaml"]]))
                entries = {k: v for k, v in self.contents[file].items() if k in words}
                found[file] |= entries
                others = {entry.get("run", {}).get("study") for entry in entries.values()} - {None}
                waiting += [other for other in others if f"studies/{other}.yaml" not in found]
        found["config.yaml"] = {**self.contents["config.yaml"], "studies": [study]}
        return found

    def write(self, study: str, file: str, text: str) -> None:
        """Write a file of a study's project."""
        path = self.folder / study / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def mutations(self) -> list[Mutation]:
        """Return every mutation of every key of every file, each key in one project."""
        seen, found = set(), []
        for study, contents in self.needed.items():
            for file, content in contents.items():
                for place in _places(content):
                    # A key of an entry of datasets.yaml stands in several projects.
                    if (file, place) not in seen:
                        seen.add((file, place))
                        found += [Mutation(study, file, *each) for each in _ways(content, place)]
                for place in _absent(file, content):
                    if (file, place) not in seen:
                        seen.add((file, place))
                        found += [Mutation(study, file, place, "set", value) for value in ODD]
        return found

    def outcome(self, mutation: Mutation) -> tuple[str, str]:
        """Return what the loader makes of a mutation: a column of the table, and its text."""
        content = self.needed[mutation.study][mutation.file]
        self.write(mutation.study, mutation.file, mutated(content, mutation))
        try:
            config = invariants.load(self.folder / mutation.study, self.figures)
            invariants.plan(config, mutation.study)
            broken = list(invariants.violations(config))
            return ("wrong in silence", "\n".join(broken)) if broken else ("accepted rightly", "")
        except CobayeError as error:
            said = str(error)
            return ("refused" if is_clear(said, mutation) else "unclear message"), said
        except Exception:
            return "traceback", traceback.format_exc()
        finally:
            self.write(mutation.study, mutation.file, dump(content))


def attack(
    folder: Path, count: int, seed: int, report: Callable[[Mutation, str, str], None]
) -> Counter[str]:
    """Try `count` mutations, drawn at random; return the columns of the table.

    report: called with each defect.
    """
    projects, counts = Projects(folder), Counter[str]()
    every = projects.mutations()
    for mutation in random.Random(seed).sample(every, min(count, len(every))):
        column, said = projects.outcome(mutation)
        counts["tried"] += 1
        counts[column] += 1
        if column not in ("refused", "accepted rightly"):
            report(mutation, column, said)
    return counts


def dump(content: Any) -> str:
    """Return YAML."""
    return yaml.dump(content, Dumper=DUMPER, sort_keys=False, allow_unicode=True)


def _words(content: Any) -> Iterator[str]:
    if isinstance(content, dict | list):
        for each in content.values() if isinstance(content, dict) else content:
            yield from _words(each)
    elif isinstance(content, str):
        yield content


def _places(content: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every key, and of the first element of every list."""
    items = content.items() if isinstance(content, dict) else enumerate(content[:1])
    for key, value in items:
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*place, key))


def at(content: Any, place: Place) -> Any:
    """Return what stands at a place."""
    for key in place:
        content = content[key]
    return content


def _ways(content: Any, place: Place) -> Iterator[tuple[Any, ...]]:
    """Yield the ways to spoil one key."""
    value, key = at(content, place), place[-1]
    yield place, "remove"
    yield from ((place, "set", each) for each in (*ODD, [value], {"x": value}))
    if isinstance(value, int | float):
        yield from ((place, "set", each) for each in (-value, str(value)))
    if isinstance(key, str):
        yield place, "double"
        names = (key[1:], key + "x", key[1:2] + key[:1] + key[2:], "../x", "a b", "x" * 300, 1, "É")
        yield from ((place, "rename", name) for name in names if name != key)


def mutated(content: Any, mutation: Mutation) -> str:
    """Return a file's text after a mutation."""
    content, key = copy.deepcopy(content), mutation.place[-1]
    parent = at(content, mutation.place[:-1])
    if mutation.how == "remove":
        del parent[key]
    elif mutation.how == "set":
        parent[key] = mutation.value
    elif mutation.how == "double":
        parent[TWICE] = parent[key]
    else:
        renamed = {mutation.value if k == key else k: v for k, v in parent.items()}
        parent.clear()
        parent.update(renamed)
    return dump(content).replace(TWICE, str(key))


def _absent(file: str, content: Any) -> Iterator[Place]:
    """Yield the places of the keys that the schema knows and that an entry does not set."""
    for place in [(), *_places(content)]:
        entry = at(content, place)
        if isinstance(entry, dict):
            for key in known_keys(file, entry, place) - entry.keys():
                yield (*place, key)


def is_clear(said: str, mutation: Mutation) -> bool:
    """Tell whether a message of few lines names a file, and the key or value that was changed."""
    names = [str(each) for each in mutation.place if isinstance(each, str)]
    named = any(each in said for each in [*names, repr(mutation.value), f"{mutation.value}"])
    return ".yaml: " in said and named and "Traceback" not in said and said.count("\n") < 10
