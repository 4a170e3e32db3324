"""What `soak.py` kills: a study with a download in it, and a call of `cobaye init`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import _project
import numpy as np
import psutil

sys.path.insert(0, str(_project.ROOT))

from tests import archives, host

EPOCHS = 400
# Images of the archive that is downloaded: large enough for a moment in its writing.
IMAGES = 40_000
DOWNLOADED = "resources/datasets/downloaded/manifest.json"
CONFIG = {
    "config.yaml": "studies: [soak]\ndevice: cpu\n",
    "datasets.yaml": """
d: {kind: glyphs, classes: 8, train: 24, val: 6, test: 6}
downloaded: {kind: torchvision, name: MNIST}
""",
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
figures: [test-curves, class-loss-test, confusion]
""",
}
# Files whose bytes are not promised; the last is temporary, and a kill may leave it.
UNPROMISED = ("run.json", ".snakemake_timestamp", ".sources.json", "fetched.json")
INIT = [sys.executable, "-m", "cobaye", "init", "mine", "--features", "x.npy", "--labels", "y.npy"]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--quiet", "all"]


class Study:
    """The study in a folder of its own."""

    def __init__(self, folder: Path, targets: list[str], published: str):
        self.folder, self.targets = folder, targets
        _project.make(folder, CONFIG)
        with open(folder / "workflow/cobaye/data/datasets/_archives.py", "a") as code:
            code.write(published)

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start Snakemake."""
        return subprocess.Popen(
            [*SNAKEMAKE, *arguments, "--cores", "2", "--", *self.targets],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "no_proxy": "127.0.0.1"},
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
            and file.name not in UNPROMISED
            and not {"logs", ".resume"} & {*file.parts}
        }

    def committed(self) -> dict[Path, int]:
        """Return run folder → last committed epoch, of every training begun and not ended."""
        journals = (self.folder / "results").glob("*/runs/**/.resume/journal.jsonl")
        # A line says what is trained, then one each epoch, from 0 on.
        return {
            path.parents[1]: path.read_bytes().count(b"\n") - 2
            for path in journals
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


def init(folder: Path) -> subprocess.Popen:
    """Start `cobaye init` on features that are drawn."""
    folder.mkdir(exist_ok=True)
    labels = np.arange(200) % 4
    np.save(folder / "x.npy", np.random.default_rng(0).standard_normal((200, 8)) + labels[:, None])
    np.save(folder / "y.npy", labels)
    return subprocess.Popen(
        INIT,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_project.ROOT / "workflow"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def workspace(folder: Path) -> dict[str, bytes]:
    """Return every file of a workspace."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def publish(folder: Path) -> str:
    """Serve MNIST's archives, of random images; return the code that asks for them."""
    archives.write_mnist(folder, train=IMAGES, test=100)
    resources = host.pack_mnist(folder / "MNIST/raw", folder)
    return host.PUBLISHED.format(mirror=host.start(folder).address, resources=resources)


def scripts(pid: int) -> dict[psutil.Process, str]:
    """Return worker → rule: the processes that run the scripts of a Snakemake.

    A script of one thread only waits for its fork, where there are forks.
    """
    files = (_project.ROOT / "workflow/scripts").glob("[a-z]*.py")
    rules = {file.stem[:15]: file.stem for file in files}
    found, waiting, forks = {}, {}, False
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            script = [*child.cmdline(), "", ""][1]
            if script.endswith("/_forks.py"):
                forks = True
                if child.name() in rules:
                    found[child] = rules[child.name()]
            # A process that is just ending has no variables any more.
            elif ".snakemake/scripts/" in script and (
                threads := child.environ().get("OMP_NUM_THREADS")
            ):
                (found if threads != "1" else waiting)[child] = script.split(".")[-2]
    return found if forks else found | waiting
