"""Kill a small study again and again, at random moments, and compare what it ends with.

    python benchmarks/soak.py               # minutes
    python benchmarks/soak.py --rounds 60   # the long form

A round is one call of Snakemake and one SIGKILL in it: of Snakemake, or of a worker, while that
worker runs one of the next rules: a download, a training, a table, a figure. The seed draws the
rule, a long one more often than a short one, and the moment. The moment is in seconds of the
worker's processor, so that a busy machine is killed at nearly the same places. A study that ends
all the same is compared, byte for byte, with one that was never disturbed, and begun anew from
nothing. After the last round the study is brought to its end and compared too. In each round, a
call of `cobaye init` is killed as well, called again, and its workspace compared.
The last line is all of it as JSON; the exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil
from _common import machine, table
from _killed import DOWNLOADED, Study, init, publish, scripts, workspace
from tests.attack_code import seconds_used

ROUNDS = 18
# Of so many of the next rules, one is killed.
AHEAD = 4
FIGURES = (
    "rounds",
    "kills of Snakemake",
    "kills of workers",
    "kills of init",
    "orphans",
    "studies ended",
    "trainings killed",
    "resumes",
    "committed epochs lost",
    "files different",
    "bytes different",
)


class Soak:
    """The rounds, and what they add up to."""

    def __init__(
        self, study: Study, expected: dict[str, bytes], longest: dict[str, float], seed: int
    ):
        self.study, self.expected, self.longest = study, expected, longest
        self.generator = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.by_rule: Counter[str] = Counter()
        self.killed: defaultdict[Path, list[int]] = defaultdict(list)
        # Rules of which a worker ran, or was killed, since the study began.
        self.ran: set[str] = set()

    def round(self) -> None:
        """Call Snakemake once and kill it, or a worker of it; a study that ended begins anew."""
        self.counts["rounds"] += 1
        # Each rule once per study, and not far ahead: several kills before it ends.
        waiting = [rule for rule in self.longest if rule not in self.ran] or list(self.longest)
        near = waiting[:AHEAD]
        # A training is killed oftener than a table: it has more moments.
        [rule] = self.generator.choices(near, [self.longest[each] for each in near])
        # Rather late than early: a worker begins with imports and ends with files.
        moment = self.generator.triangular(0, self.longest[rule], self.longest[rule])
        of_snakemake = self.generator.random() < 0.5
        process = self.study.start()
        while process.poll() is None:
            workers = scripts(process.pid)
            self.ran |= set(workers.values()) - {rule}
            victims = [each for each, name in workers.items() if name == rule]
            if victims and seconds_used(victims[0].pid) >= moment:
                self._kill(process, victims[0], of_snakemake, workers)
                break
            time.sleep(0.01)
        if process.wait() == 0:
            self.compare()

    def _kill(
        self,
        process: subprocess.Popen,
        worker: psutil.Process,
        of_snakemake: bool,
        workers: dict[psutil.Process, str],
    ) -> None:
        victim = psutil.Process(process.pid) if of_snakemake else worker
        try:
            family = victim.children(recursive=True)
            victim.kill()
        except psutil.NoSuchProcess:
            # Ended on its own in between: a round without a kill.
            process.wait()
            return
        self.counts["kills of Snakemake" if of_snakemake else "kills of workers"] += 1
        self.by_rule[workers[worker]] += 1
        self.ran.add(workers[worker])
        killed = workers if of_snakemake else [victim]
        self.counts["trainings killed"] += sum(workers[each] == "train" for each in killed)
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
        self._differences(self.study.files(), self.expected)
        for run, resumed in self.study.resumed().items():
            self.counts["resumes"] += len(resumed)
            for committed in self.killed[run]:
                # What was committed when it was killed, less what the successor began with.
                lost = committed - max((r for r in resumed if r <= committed), default=0)
                self.counts["committed epochs lost"] += lost
        self.killed.clear()
        self.ran.clear()
        self.study.clear()

    def _differences(self, found: dict[str, bytes], expected: dict[str, bytes]) -> None:
        for name in found.keys() | expected.keys():
            different = bytes_different(found.get(name, b""), expected.get(name, b""))
            if different or (name in found) != (name in expected):
                print(f"differs: {name}", file=sys.stderr)
                self.counts["files different"] += 1
            self.counts["bytes different"] += different

    def kill_init(self, folder: Path, expected: dict[str, bytes], longest: float) -> None:
        """Kill `cobaye init` once, call it again, and compare the workspace."""
        process = init(folder)
        moment = self.generator.triangular(0, longest, longest)
        while process.poll() is None and seconds_used(process.pid) < moment:
            time.sleep(0.001)
        self.counts["kills of init"] += process.poll() is None
        process.kill()
        process.wait()
        if workspace(folder) != expected:
            init(folder).wait()
        self._differences(workspace(folder), expected)
        shutil.rmtree(folder)


def undisturbed(study: Study) -> dict[str, float]:
    """Build a study; return rule → the seconds of processor that a worker of it took at most."""
    process, longest = study.start(), defaultdict[str, float](float)
    while process.poll() is None:
        for worker, rule in scripts(process.pid).items():
            longest[rule] = max(longest[rule], seconds_used(worker.pid))
        time.sleep(0.02)
    if process.wait():
        raise SystemExit("the undisturbed study failed")
    return dict(longest)


def bytes_different(first: bytes, second: bytes) -> int:
    """Return at how many places two files differ, a missing byte being different."""
    if first == second:
        return 0
    return sum(a != b for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))


def soak(rounds: int, seed: int, targets: list[str], folder: Path) -> dict[str, object]:
    """Return the figures of so many rounds, and how many kills each rule had."""
    published = publish(folder / "published") if DOWNLOADED in targets else ""
    whole, killed = (Study(folder / name, targets, published) for name in ("undisturbed", "killed"))
    trial = Soak(killed, {}, undisturbed(whole), seed)
    trial.expected = whole.files()
    process, longest = init(folder / "workspace"), 0.0
    while process.poll() is None:
        longest = max(longest, seconds_used(process.pid))
        time.sleep(0.01)
    made = workspace(folder / "workspace")
    for number in range(rounds):
        trial.round()
        trial.kill_init(folder / "killed-workspace", made, longest)
        print(f"round {number + 1}: {dict(trial.counts)}", file=sys.stderr, flush=True)
    trial.finish()
    counts = {name: trial.counts[name] for name in FIGURES}
    return {**counts, "kills by rule": dict(trial.by_rule.most_common())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--targets", nargs="+", default=["soak", DOWNLOADED], help="the study, or less of it"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(**vars(arguments), folder=Path(folder))
    by_rule = found["kills by rule"]
    shown = {name: str(found[name]) for name in FIGURES}
    print(table([list(shown), list(shown.values())]), end="\n\n")
    print(table([["killed in", "kills"], *([rule, str(n)] for rule, n in by_rule.items())]))
    print()
    print(json.dumps({"machine": machine("cpu"), "seed": arguments.seed, "results": found}))
    if any(found[name] for name in ("files different", "orphans", "committed epochs lost")):
        sys.exit(1)


if __name__ == "__main__":
    main()
