"""Shared by the tests: a small project of its own, run as a user would run it."""

from __future__ import annotations

import fcntl
import gc
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from cobaye import figures
from cobaye.config import Config
from tests import warm

# Before torch and NumPy are imported, here and in what tests start: matrices this small only suffer
# from more threads, and results are compared byte for byte.
os.environ["OMP_NUM_THREADS"] = "1"
# Relative error of a number read from a CSV file: pandas before 3.1 reads 13 of its 17 digits.
READ = 0 if tuple(map(int, version("pandas").split(".")[:2])) >= (3, 1) else 1e-13
pytest_plugins = ["tests.budget"]
ROOT = Path(__file__).parents[1]
CODE = ("Snakefile", "workflow", "profiles", "slurm", "config")

TINY = {
    "config.yaml": "studies: [tiny, tiny-images]\ndevice: cpu\n",
    "datasets.yaml": """
tiny-glyphs: {kind: glyphs, classes: 6, train: 12, val: 5, test: 6, shards: 2}
tiny-digits: {kind: digits, val: 0.2, test: 0.6}
""",
    "backbones.yaml": """
tiny-backbone:
  run: {study: tiny-backbone, model: resnet, optimizer: sgd, weight_decay: "1e-3"}
  batch_size: 16
""",
    "studies/tiny-backbone.yaml": """
dataset: tiny-glyphs
models:
  resnet: {kind: resnet-small}
optimizers:
  sgd:
    algorithm: {kind: sgd}
    learning_rate: 0.05
    batch_size: 16
    epochs: 2
    normalize: global
weight_decays: ["1e-3"]
train_epochs: last
analyses: []
figures: [train-curves]
""",
    "studies/tiny.yaml": """
dataset: tiny-glyphs
backbone: tiny-backbone
models:
  linear: {kind: linear}
optimizers:
  sgd:
    algorithm: {kind: sgd, momentum: 0.9}
    learning_rate: 0.1
    schedule: {kind: step, step_size: 2, gamma: 0.1}
    batch_size: 16
    epochs: 4
weight_decays: ["0", "1e-2"]
""",
    "studies/tiny-images.yaml": """
dataset: tiny-digits
models:
  linear: {kind: linear}
optimizers:
  sgd:
    algorithm: {kind: sgd}
    learning_rate: 0.1
    batch_size: 64
    epochs: 2
    normalize: channel
weight_decays: ["1e-3"]
analyses: []
figures: [test-curves]
""",
}


class Project:
    """A copy of the repository's code with a config of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "NO_COLOR": "1"}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments)
        status, printed = warm.run(command[3:], self.folder, self.environment())
        assert not check or status == 0, printed
        return subprocess.CompletedProcess(command, status, printed)

    def jobs(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule would run; {} if nothing is to be done."""
        return job_counts(self.run("-n", *arguments).stdout)

    def clone(self, folder: Path, *, records: bool = True) -> Project:
        """Copy the code as git would (new times), results and resources as `cp -a` would."""
        folder.mkdir()
        now = time.time()
        for name in CODE:
            copy_code(self.folder / name, folder / name)
        for file in folder.rglob("*"):
            os.utime(file, (now, now))
        for name in ("results", "resources", *([".snakemake"] if records else [])):
            subprocess.run(["cp", "-a", self.folder / name, folder], check=True)
        return Project(folder)

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.path(name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        self.path(name).write_text(text.replace(old, new))

    def draw_only(self, *names: str) -> None:
        """Have the study `tiny` draw these figures, of the two dozen that it draws otherwise."""
        self.edit("config/studies/tiny.yaml", "models:", f"figures: [{', '.join(names)}]\nmodels:")

    def files(self, *folders: str) -> dict[str, bytes]:
        """Return every file below some folders whose bytes are promised."""
        return {
            str(file.relative_to(self.folder)): file.read_bytes()
            for folder in folders
            for file in sorted(self.path(folder).rglob("*"))
            if file.is_file()
            and file.name not in ("run.json", ".snakemake_timestamp")
            and "logs" not in file.parts
        }


def job_counts(output: str) -> dict[str, int]:
    """Return the job counts that Snakemake prints, rules that only collect aside."""
    table = re.search(r"^Job stats:\n(.*?)^total", output, re.MULTILINE | re.DOTALL)
    if table is None:
        return {}
    rows = re.findall(r"^(\S+) +(\d+)$", table[1], re.MULTILINE)
    return {rule: int(count) for rule, count in rows if "_" in rule or rule in STAGES}


def copy_code(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target, follow_symlinks=False)


STAGES = ("train", "evaluate", "tabulate")


def new_project(folder: Path) -> Project:
    """Return the repository's code with the tiny config."""
    folder.mkdir(parents=True)
    for name in CODE[:-1]:
        copy_code(ROOT / name, folder / name)
    for name, text in TINY.items():
        file = folder / "config" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.lstrip())
    return Project(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The config of the tiny project alone, to change (see `load` and `edit`)."""
    for name, text in TINY.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def load(folder: Path) -> Config:
    """Check all of a config folder."""
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    return whole(Config(settings, folder, figures.names()))


def whole(config: Config) -> Config:
    """Return a config once all of it was read and checked."""
    for named in (config.datasets, config.backbones, config.studies):
        dict(named)
    return config


def edit(folder: Path, file: str, old: str, new: str) -> None:
    """Change the first place where a config file says something."""
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.fixture(scope="session")
def chained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The states of a tiny study after each stage, see `chain`; leave them as they are."""
    from tests import chain  # torch, for those who need it

    return chain.build(tmp_path_factory.mktemp("chained"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file that waits most, then those that run the workflow; `built` is for later.

    So no process ends with a long file alone, and while one builds the project the others do not
    ask for it.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    built = {item.path for item in items if "built" in item.fixturenames}
    first = ROOT / "tests/test_slurm.py"
    items.sort(key=lambda it: (it.path != first, it.path not in slow, it.path in built))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the half million objects that imports and collection left.

    It looks through all of them again and again otherwise: a thirtieth of the time.
    """
    gc.freeze()
    gc.set_threshold(50_000)


def pytest_unconfigure() -> None:
    """Let the end of Python clear all: libraries complain otherwise of what was left."""
    gc.unfreeze()


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` fills, once for all processes that run the tests."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / name
    with open(base / f"{name}.lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            lock.write("made")
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project whose default studies were built once; leave it as it is."""

    def build(folder: Path) -> None:
        (folder / "output").write_text(new_project(folder / "project").run().stdout)

    folder = once(tmp_path_factory, "built", build)
    project = Project(folder / "project")
    project.output = (folder / "output").read_text()
    return project


@pytest.fixture
def copied(built: Project, tmp_path: Path) -> Project:
    """A copy of the built project, to change."""
    return built.clone(tmp_path / "copy")


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A tiny project in which nothing was run."""
    return new_project(tmp_path / "project")
