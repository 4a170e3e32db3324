"""Measure `snakemake -n` of studies of 100, 1,000 and 10,000 runs in which nothing was computed.

    python benchmarks/dag.py --runs 100 1000 10000 --repeats 2

Each dry run is a process of its own. Seconds are the processor's, in user mode, beside those of the
clock: the graph is made by one thread, so they differ by what else the machine does.
The last line is all of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import _project
from _common import machine, show, spread, table

LAMBDAS = 100
STUDY = """
dataset: digits
models:
  linear: {{kind: linear}}
optimizers:
  sgd: {{algorithm: {{kind: sgd}}, learning_rate: 0.1, batch_size: 64, epochs: 2}}
weight_decays: [{labels}]
seeds: [{seeds}]
"""
# Snakemake in this very process, so that its peak memory is that of the dry run alone.
DRY_RUN = """
import json, os, time
from pathlib import Path
from snakemake.cli import main
start = time.perf_counter()
try:
    main(["--dry-run", "--quiet", "--cores", "1"])
except SystemExit as end:
    assert not end.code, end.code
seconds, used = time.perf_counter() - start, os.times()
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"wall": seconds, "user": used.user, "system": used.system, "peak_mib": peak}))
"""


def project(folder: Path, runs: int) -> None:
    """Make a project whose one study has `runs` runs: λ labels × seeds."""
    labels = ", ".join(f'"{i}e-6"' for i in range(1, LAMBDAS + 1))
    seeds = ", ".join(map(str, range(runs // LAMBDAS)))
    config = {
        "config.yaml": "studies: [grid]\ndevice: cpu\n",
        "datasets.yaml": "digits: {kind: digits}\n",
        "backbones.yaml": "{}\n",
        "studies/grid.yaml": STUDY.format(labels=labels, seeds=seeds),
    }
    _project.make(folder, config)


def measure(runs: int) -> dict[str, float]:
    """Return seconds and peak memory, MiB, of one dry run."""
    with tempfile.TemporaryDirectory() as folder:
        project(Path(folder), runs)
        done = subprocess.run(
            [sys.executable, "-c", DRY_RUN], cwd=folder, capture_output=True, text=True, check=True
        )
    return json.loads(done.stdout.splitlines()[-1])


def summary(runs: int, measured_runs: list[dict[str, float]]) -> dict[str, Any]:
    """Return the spread of every measure, and of the user seconds per run."""
    measures = {name: spread([each[name] for each in measured_runs]) for name in measured_runs[0]}
    return {
        "runs": runs,
        **measures,
        "ms_per_run": spread([1e3 * e["user"] / runs for e in measured_runs]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    if wrong := [n for n in arguments.runs if n < LAMBDAS or n % LAMBDAS]:
        parser.error(f"--runs: {wrong}: multiples of {LAMBDAS}")
    measured_runs: dict[int, list[dict[str, float]]] = {runs: [] for runs in arguments.runs}
    for _ in range(arguments.repeats):
        for runs, measured in measured_runs.items():
            measured.append(measure(runs))
    results = [summary(runs, measured) for runs, measured in measured_runs.items()]
    rows = [["runs", "user s", "clock s", "user ms per run", "peak MiB"]]
    rows += [
        [
            f"{each['runs']:,}",
            show(each["user"], digits=1),
            show(each["wall"], digits=1),
            show(each["ms_per_run"]),
            show(each["peak_mib"], digits=0),
        ]
        for each in results
    ]
    where = machine("cpu")
    print(", ".join(f"{key}: {value}" for key, value in where.items()))
    print(f"median (min–max) of {arguments.repeats} turns\n")
    print(table(rows), end="\n\n")
    print(json.dumps({"machine": where, "repeats": arguments.repeats, "results": results}))


if __name__ == "__main__":
    main()
