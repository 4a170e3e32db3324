"""Attack on a project that Snakemake built: a damaged manifest is refused before any job.

Then the command that the message names is run, and leaves every file as it was before the damage.
"""

from __future__ import annotations

import os
import random
import re
import shlex
from collections import Counter
from collections.abc import Callable

from cobaye.storage import files
from tests.attack_files import remove
from tests.conftest import Project
from tests.test_corruption import flipped, of_the_future, put

# Locks, what is for resuming, and when sources were looked at.
UNPROMISED = r"/\.resume/|/\.sources\.json$"
HOWS = ("bit", "cut", "future", "swapped", "folder", "pipe")


def attack(
    project: Project, count: int, seed: int, report: Callable[[str, str, str, str], None]
) -> Counter[str]:
    """Damage `count` manifests of a project that was built; return the columns of the table."""
    whole, counts = project.files("results", "resources"), Counter[str]()
    manifests = sorted(name for name in whole if is_manifest(project, name))
    generator = random.Random(seed)
    for number in range(count):
        name, how = generator.choice(manifests), HOWS[number % len(HOWS)]
        damage(project, name, how, generator, manifests)
        column, said = outcome(project, name, whole)
        counts["tried"] += 1
        counts[column] += 1
        if column != "refused":
            report(name, how, column, said)
            for kept in changed(project, whole):
                remove(project.path(kept))
                project.path(kept).write_bytes(whole[kept])
    return counts


def is_manifest(project: Project, name: str) -> bool:
    """Tell whether a file is sealed."""
    content = files.read_json(project.path(name)) if name.endswith(".json") else None
    return isinstance(content, dict) and "seal" in content


def damage(
    project: Project, name: str, how: str, generator: random.Random, manifests: list[str]
) -> None:
    """Damage a manifest."""
    path = project.path(name)
    data = path.read_bytes()
    place = generator.randrange(len(data))
    if how in ("folder", "pipe"):
        path.unlink()
        path.mkdir() if how == "folder" else os.mkfifo(path)
    elif how == "swapped":
        other = generator.choice([each for each in manifests if each != name])
        put(path, project.path(other).read_bytes())
    else:
        mask = 1 << generator.randrange(8)
        put(path, {"cut": data[:place], "future": of_the_future(data)}.get(how)
            or flipped(data, place, mask))  # fmt: skip


def outcome(project: Project, name: str, whole: dict[str, bytes]) -> tuple[str, str]:
    """Return the column that a damage belongs to, and why."""
    rest = {other: data for other, data in whole.items() if other != name}
    done = project.run("--keep-going", check=False)
    if "Traceback" in done.stdout:
        return "traceback", done.stdout
    if differ := changed(project, rest):
        return "lost", f"{differ}\n{done.stdout}"
    if done.returncode == 0 and not changed(project, whole):
        return "accepted rightly", ""
    cures = re.findall(r"to repair: snakemake --cores all (.*)", done.stdout)
    if done.returncode == 0 or name not in done.stdout or not cures:
        return "unclear message", done.stdout
    if "damaged" not in project.run("verify", check=False).stdout:
        return "wrong in silence", "verify"
    for cure in dict.fromkeys(cures):
        project.run(*shlex.split(cure), check=False)
    if changed(project, whole) or project.jobs():
        return "lost", f"{cures}\n{project.run('-n', check=False).stdout}"
    return "refused", ""


def changed(project: Project, whole: dict[str, bytes]) -> list[str]:
    """Return the results that are gone, or hold something else than they did."""
    now = project.files("results", "resources")
    promised = (name for name in whole if not re.search(UNPROMISED, name))
    return [name for name in promised if now.get(name) != whole[name]]
