"""Kill a small study again and again, at random moments, and compare what it ends with.

    python benchmarks/soak.py --rounds 60 --seed 0

A round is one call of Snakemake and one SIGKILL in it: of Snakemake or of one of its workers. A
study that ends all the same is compared, byte for byte, with one that was never disturbed, and
begun anew from nothing. After the last round the study is brought to its end and compared too.
The seed chooses victims and moments, in seconds of processor that the call and its workers
have used, so that a busy machine is killed at the same places, more or less.
The last line is all of it as JSON; the exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import _project
import psutil
from _common import machine, table

EPOCHS = 400
CONFIG = {
    "config.yaml": "studies: [soak]\ndevice: cpu\n",
    "datasets.yaml": "d: {kind: glyphs, classes: 8, train: 24, val: 6, test: 6}\n",
    "backbones.yaml": """
b:
  run: {study: images, model: resnet, optimizer: sgd, weight_decay: "1e-3"}
  batch_size: 16
""",
    "studies/images.yaml": """
dataset: d
models: {resnet: {kind: resnet-small}}
optimizers:
  sgd:
    algorithm: {kind: sgd}
    learning_rate: 0.05
    batch_size: 16
    epochs: 4
    normalize: global
weight_decays: ["1e-3"]
""",
    "studies/soak.yaml": f"""
dataset: d
backbone: b
models: {{linear: {{kind: linear}}}}
optimizers:
  sgd: {{algorithm: {{kind: sgd, momentum: 0.9}}, learning_rate: 0.1, batch_size: 16,
    epochs: {EPOCHS}}}
weight_decays: ["0", "1e-2"]
figures: [test-curves]
""",
}

FIGURES = (
    "rounds",
    "kills of Snakemake",
    "kills of workers",
    "orphans",
    "studies ended",
    "trainings killed",
    "resumes",
    "committed epochs lost",
    "files different",
    "bytes different",
)
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--quiet", "all"]


class Study:
    """The study in a folder of its own."""

    def __init__(self, folder: Path, target: str):
        self.folder, self.target = folder, target
        _project.make(folder, CONFIG)

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start Snakemake."""
        return subprocess.Popen(
            [*SNAKEMAKE, *arguments, "--cores", "2", self.target],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def files(self) -> dict[str, bytes]:
        """Return every file whose bytes are promised."""
        return {
            str(file.relative_to(self.folder)): file.read_bytes()
            for top in ("results", "resources")
            for file in sorted((self.folder / top).rglob("*"))
            if file.is_file()
            and file.name not in ("run.json", ".snakemake_timestamp")
            and not {"logs", ".resume"} & {*file.parts}
        }

    def committed(self) -> dict[Path, int]:
        """Return run folder → last committed epoch, of every training begun and not ended."""
        states = (self.folder / "results").glob("*/runs/**/.resume/state.json")
        return {
            path.parents[1]: json.loads(path.read_bytes())["progress"]["epoch"]
            for path in states
            if not (path.parents[1] / "train.json").exists()
        }

    def resumed(self) -> dict[Path, list[int]]:
        """Return run folder → the epochs after which a training went on."""
        found = (self.folder / "results").glob("*/runs/**/run.json")
        return {path.parent: json.loads(path.read_bytes())["resumed_from"] for path in found}

    def clear(self) -> None:
        """Begin anew."""
        for name in ("results", "resources", ".snakemake"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


class Soak:
    """The rounds, and what they add up to."""

    def __init__(self, study: Study, expected: dict[str, bytes], seed: int, longest: float):
        self.study, self.expected, self.longest = study, expected, longest
        self.generator = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.killed: defaultdict[Path, list[int]] = defaultdict(list)

    def round(self) -> None:
        """Call Snakemake once and kill it, or a worker of it; a study that ended begins anew."""
        self.counts["rounds"] += 1
        process = self.study.start()
        moment = self.generator.uniform(1.0, self.longest)
        of_snakemake = self.generator.random() < 0.5
        while process.poll() is None:
            workers = scripts(process.pid)
            if (of_snakemake or workers) and seconds_used(process.pid) > moment:
                self._kill(process, of_snakemake, workers)
                break
            time.sleep(0.01)
        if process.wait() == 0:
            self.compare()

    def _kill(
        self, process: subprocess.Popen, of_snakemake: bool, workers: dict[psutil.Process, str]
    ) -> None:
        victim = psutil.Process(process.pid)
        if not of_snakemake:
            victim = self.generator.choice(list(workers))
        try:
            family = victim.children(recursive=True)
            victim.kill()
        except psutil.NoSuchProcess:
            # Ended on its own in between: a round without a kill.
            process.wait()
            return
        self.counts["kills of Snakemake" if of_snakemake else "kills of workers"] += 1
        killed = workers if of_snakemake else [victim]
        self.counts["trainings killed"] += sum(workers[worker] == "train" for worker in killed)
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=60)
        self.counts["orphans"] += len(alive)
        for run, epoch in self.study.committed().items():
            self.killed[run].append(epoch)
        if of_snakemake:
            self.study.start("--unlock").wait()

    def finish(self) -> None:
        """Bring the study to its end, undisturbed, and compare."""
        if self.study.start().wait():
            raise SystemExit("the study did not end, undisturbed at last")
        self.compare()

    def compare(self) -> None:
        """Compare a study that ended with what was expected; begin anew."""
        self.counts["studies ended"] += 1
        found = self.study.files()
        for name in found.keys() | self.expected.keys():
            different = bytes_different(found.get(name, b""), self.expected.get(name, b""))
            if different or (name in found) != (name in self.expected):
                print(f"differs: {name}", file=sys.stderr)
                self.counts["files different"] += 1
            self.counts["bytes different"] += different
        for run, resumed in self.study.resumed().items():
            self.counts["resumes"] += len(resumed)
            for committed in self.killed[run]:
                # What was committed when it was killed, less what the successor began with.
                lost = committed - max((r for r in resumed if r <= committed), default=0)
                self.counts["committed epochs lost"] += lost
        self.killed.clear()
        self.study.clear()


def scripts(pid: int) -> dict[psutil.Process, str]:
    """Return worker → rule: the processes that run the scripts of a Snakemake."""
    found = {}
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            command = child.cmdline()
            if len(command) > 1 and ".snakemake/scripts/" in command[1]:
                found[child] = command[1].split(".")[-2]
    return found


def seconds_used(pid: int) -> float:
    """Return the seconds of processor that a process and all below it have used."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:4]) for each in family)
    except psutil.Error:
        return 0.0


def bytes_different(first: bytes, second: bytes) -> int:
    """Return at how many places two files differ, a missing byte being different."""
    if first == second:
        return 0
    return sum(a != b for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))


def soak(rounds: int, seed: int, longest: float, target: str, folder: Path) -> dict[str, int]:
    """Return the figures of so many rounds."""
    undisturbed, killed = (Study(folder / name, target) for name in ("undisturbed", "killed"))
    if undisturbed.start().wait():
        raise SystemExit("the undisturbed study failed")
    trial = Soak(killed, undisturbed.files(), seed, longest)
    for number in range(rounds):
        trial.round()
        print(f"round {number + 1}: {dict(trial.counts)}", file=sys.stderr, flush=True)
    trial.finish()
    return {name: trial.counts[name] for name in FIGURES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds until a kill, at most")
    parser.add_argument("--target", default="soak", help="the study, or less of it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(**vars(arguments), folder=Path(folder))
    print(table([list(found), [str(value) for value in found.values()]]), end="\n\n")
    print(json.dumps({"machine": machine("cpu"), "seed": arguments.seed, "results": found}))
    if found["bytes different"] or found["files different"] or found["orphans"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
