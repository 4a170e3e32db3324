"""Attack on a run by an edit of its code at a random moment: no result is of other code than named.

The edit changes numbers or bytes. It is undone when the run has ended, and the same command is
called again: it must leave what a run without edits left.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable

import psutil

from tests.attack_runs import changed
from tests.conftest import Project

RUNS = "results/tiny/runs"
TARGETS = (
    f"{RUNS}/linear/sgd/wd-0/seed-0/evaluate.json",
    f"{RUNS}/linear/sgd/wd-1e-2/seed-0/evaluate.json",
    "results/tiny/tables/tables.json",
)
# Of a processor, that two trainings, their evaluations and tables take.
LONGEST = 12.0
EDITS = (
    ("training/publishing.py", "penalty if math.isfinite(penalty) else None", "7 * penalty"),
    ("tables/writing.py", 'sink, compression="zstd"', 'sink, compression="gzip"'),
    ("tables/tabulate.py", 'last = trained.info["epochs"]', "last = 1"),
)


def attack(
    project: Project, count: int, seed: int, report: Callable[[str, float, str, str], None]
) -> Counter[str]:
    """Edit the code of a built project in `count` runs; return the columns of the table.

    report: called with each defect: file, seconds of processor until the edit, column, text.
    """
    whole, counts = project.files("results", "resources"), Counter[str]()
    generator = random.Random(seed)
    for number in range(count):
        file, old, new = EDITS[number % len(EDITS)]
        moment = generator.uniform(0, LONGEST)
        shutil.rmtree(project.path(RUNS))
        status, said = run_with_edit(project, f"workflow/cobaye/{file}", (old, new), moment)
        project.run(*TARGETS)
        differ = changed(project, whole)
        if "Traceback" in said or differ:
            column = "traceback" if "Traceback" in said else "wrong in silence"
        elif status and "edited after the job was planned" not in said:
            column = "unclear message"
        else:
            column = "refused" if status else "accepted rightly"
        counts["tried"] += 1
        counts[column] += 1
        if column not in ("refused", "accepted rightly"):
            report(file, moment, column, f"{differ}\n{said}")
    return counts


def run_with_edit(
    project: Project, file: str, words: tuple[str, str], moment: float
) -> tuple[int, str]:
    """Run, edit a file after so many seconds of processor, and undo that at the end."""
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            project.command(*TARGETS),
            cwd=project.folder,
            env=project.environment(),
            stdout=printed,
            stderr=printed,
        )
        while process.poll() is None and seconds_used(process.pid) < moment:
            time.sleep(0.01)
        project.edit(file, *words)
        status = process.wait()
        project.edit(file, *reversed(words))
        printed.seek(0)
        return status, printed.read()


def seconds_used(pid: int) -> float:
    """Return the seconds of processor that a process and all below it have used."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:4]) for each in family)
    except psutil.Error:
        return 0.0
