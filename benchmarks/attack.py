"""Attack the project: spoilt config files, damaged results, odd inputs, faults, kills, edited code.

    python benchmarks/attack.py             # a twentieth of the tries, neither tests nor kills
    python benchmarks/attack.py --long      # everything

A row per attack. *refused*: with a message that names what was changed; *accepted rightly*: read
as what it is, or without effect on any result. The exit status is 1 if a column right of these is
not zero. `--attacks` names some of the rows, and `--scale 0.1` tries a tenth of each.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from _common import machine, table
from _project import ROOT

sys.path.insert(0, str(ROOT))

from tests import attack_code, attack_config, attack_files, attack_inputs, attack_runs, chain
from tests.conftest import new_project

COLUMNS = (
    "tried", "refused", "accepted rightly", "unclear message", "traceback", "lost",
    "wrong in silence",
)  # fmt: skip
# Of a process that asks for nothing but what it was given.
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
# Tests that attack: each a case, which fails if anything is lost or wrong.
TESTS = {
    "faults": ["tests/test_faults.py", "tests/test_adversity.py"],
}


def report(*told: object) -> None:
    """Print a defect."""
    print(*told, sep="\n    ", file=sys.stderr, flush=True)


def config(folder: Path, scale: float, seed: int) -> dict[str, Counter[str]]:
    """Return the row of spoilt config files."""
    return {"config": attack_config.attack(folder, int(10_000 * scale), seed, report)}


def results(folder: Path, scale: float, seed: int) -> dict[str, Counter[str]]:
    """Return the row of damaged files of a finished project."""
    states = [chain.build(folder / name, number)[-2] for number, name in enumerate("ab")]
    return {"files": attack_files.attack(*states, folder, int(960 * scale), seed, report)}


def runs(folder: Path, scale: float, seed: int) -> dict[str, Counter[str]]:
    """Return the row of small manifests, damaged before a call of Snakemake."""
    project = new_project(folder / "project")
    project.run()
    count = max(2, int(16 * scale))
    return {"manifests, Snakemake": attack_runs.attack(project, count, seed, report)}


def edits(folder: Path, scale: float, seed: int) -> dict[str, Counter[str]]:
    """Return the row of code that is edited while a run is going."""
    project = new_project(folder / "project")
    project.run(*attack_code.TARGETS)
    count = max(2, int(12 * scale))
    return {"edited code": attack_code.attack(project, count, seed, report)}


def inputs(folder: Path, scale: float, seed: int) -> dict[str, Counter[str]]:
    """Return the rows of odd inputs; there is nothing to draw from."""
    return attack_inputs.attack(folder, report)


def tests(folder: Path, scale: float, seed: int) -> dict[str, Counter[str]]:
    """Return a row per file of tests that attack."""
    found = {}
    for name, files in TESTS.items():
        done = subprocess.run([*PYTEST, *files], cwd=ROOT, capture_output=True, text=True)
        ends = {end: int(n) for n, end in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
        if done.returncode:
            report(name, done.stdout)
        wrong = sum(ends.values()) - ends.get("passed", 0)
        found[name] = Counter(
            {"tried": sum(ends.values()), "accepted rightly": ends.get("passed", 0)}
        )
        found[name]["wrong in silence"] = wrong or int(done.returncode != 0)
    return found


def kills(folder: Path, scale: float, seed: int) -> dict[str, Counter[str]]:
    """Return the row of `soak.py`."""
    rounds = max(2, int(6 * scale))
    command = [sys.executable, "benchmarks/soak.py", "--rounds", str(rounds), "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not done.stdout:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])["results"]
    lost = found["committed epochs lost"] + found["orphans"]
    wrong = found["files different"]
    right = found["kills of Snakemake"] + found["kills of workers"]
    row = {"tried": right, "accepted rightly": right, "lost": lost, "wrong in silence": wrong}
    return {"kills": Counter(row)}


ATTACKS: dict[str, Callable[[Path, float, int], dict[str, Counter[str]]]] = {
    each.__name__: each for each in (config, results, runs, edits, inputs, tests, kills)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--scale", type=float)
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS)
    arguments = parser.parse_args()
    scale = arguments.scale or (1.0 if arguments.long else 0.05)
    names = [name for name in ATTACKS if arguments.long or name not in ("tests", "kills")]
    rows: dict[str, Counter[str]] = {}
    for name in arguments.attacks or names:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = ATTACKS[name](Path(folder), scale, arguments.seed)
        rows |= found
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    lines = [[name, *(str(row[column]) for column in COLUMNS)] for name, row in rows.items()]
    print(table([["attack", *COLUMNS], *lines]), end="\n\n")
    results = {name: {column: row[column] for column in COLUMNS} for name, row in rows.items()}
    print(json.dumps({"machine": machine("cpu"), "seed": arguments.seed, "results": results}))
    sys.exit(any(row[column] for row in rows.values() for column in COLUMNS[3:]))


if __name__ == "__main__":
    main()
