"""A run downloads what it lacks, where Snakemake runs; a kill leaves nothing that counts."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import torch

from cobaye.models.networks import torchvision as zoo
from cobaye.storage import files
from tests import archives, host
from tests.conftest import job_counts

MANIFEST = "resources/datasets/tiny-digits/manifest.json"
RAW = "resources/downloads/MNIST/raw"
FIRST = "train-images-idx3-ubyte.gz"
ENTRY = (
    "{kind: torchvision, name: MNIST, splits: "
    "{train: {of: train}, val: {of: train, last: 10}, test: {of: test}}}"
)
MODULE = """
configfile: "config/config.yaml"
module cobaye:
    snakefile: "workflow/Snakefile"
    config: config
use rule * from cobaye as its_*
"""
# Appended to a copy of `backbones.py`: where that finds weights.
WEIGHTS = """
from torchvision import models as _models

_models.get_model_weights({name!r}).DEFAULT.value.url = {url!r}
"""
# A queue that starts each job at once.
SUBMIT = """#!/bin/sh
echo "$1" >> submitted
nohup sh "$2" > "$2.out" 2>&1 &
echo $!
"""


@pytest.fixture
def project(fresh, tmp_path, monkeypatch):
    """A project on MNIST, and the host at which it finds that."""
    published = tmp_path / "published"
    archives.write_mnist(published, train=2000)
    resources = host.pack_mnist(published / "MNIST/raw", published)
    server = host.start(published)
    fresh.edit("config/datasets.yaml", "{kind: digits, val: 0.2, test: 0.6}", ENTRY)
    with open(fresh.path("workflow/cobaye/data/datasets/_archives.py"), "a") as code:
        code.write(host.PUBLISHED.format(mirror=server.address, resources=resources))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield fresh, server
    server.leave()


def kill_while_it_downloads(project):
    """Begin a run, and end all its processes once its log tells of pieces of the first archive."""
    with open(project.folder / "killed.txt", "w") as said:
        begun = subprocess.Popen(
            project.command(MANIFEST),
            cwd=project.folder,
            env=project.environment() | {"TQDM_MININTERVAL": "0.2"},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        while len(re.findall(rb"^ *[1-9]\d?%\|.*/s\]$", logged(project), re.MULTILINE)) < 2:
            assert begun.poll() is None, project.path("killed.txt").read_text()
            time.sleep(0.05)
        os.killpg(begun.pid, signal.SIGKILL)
        begun.wait()
    assert any(file.stat().st_size for file in project.path(RAW).glob(f".tmp-*/{FIRST}"))
    assert b"\r" not in logged(project)


def logged(project):
    log = project.path("results/logs/fetch_dataset/tiny-digits.log")
    return log.read_bytes() if log.exists() else b""


@pytest.mark.slow
def test_a_run_downloads_what_it_lacks_once_and_goes_on_after_a_kill(project):
    project, server = project
    server.pause = 0.2
    kill_while_it_downloads(project)
    time.sleep(1)  # a worker that outlived Snakemake would end now
    assert not project.path(RAW).joinpath(FIRST).exists()
    assert not project.path(MANIFEST).with_name("fetched.json").exists()
    server.pause = 0
    project.run("--unlock")
    project.run(MANIFEST)
    assert [name for name in os.listdir(project.path(RAW)) if name.startswith(".")] == []
    assert os.listdir(project.path(MANIFEST).parent).count("fetched.json") == 0
    assert server.sent.count(FIRST) == 2  # cut short, and whole
    assert len(server.sent) == 5
    # Nothing is downloaded again, not even where the files are gone or may not be downloaded.
    shutil.rmtree(project.path("resources/downloads"))
    assert project.jobs(MANIFEST) == {}
    project.edit("config/datasets.yaml", "name: MNIST", "name: MNIST, download: false")
    assert project.jobs(MANIFEST) == {}
    refused = project.run(MANIFEST, "--forcerun", "prepare_dataset", check=False)
    assert "or set download: true to have it downloaded" in refused.stdout
    project.edit("config/datasets.yaml", "download: false", "download: true")
    server.leave()
    failed = project.run(MANIFEST, "--forcerun", "prepare_dataset", check=False)
    assert failed.returncode == 1
    assert f"fetch_dataset: tiny-digits: {FIRST} cannot be downloaded:" in failed.stdout
    assert f"put it at {RAW}/{FIRST} and, beside it, train-labels" in failed.stdout
    assert "Traceback" not in failed.stdout
    # It still is what it was.
    assert project.path(MANIFEST).exists()


@pytest.mark.slow
def test_a_run_downloads_weights_that_it_lacks(project, monkeypatch, tmp_path):
    project, server = project
    name, target = "shufflenet_v2_x0_5", "resources/backbones/w.json"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = server.folder / "weights.pth"
    torch.save(zoo.create(name, num_classes=1000).state_dict(), file)
    file = file.rename(file.with_name(f"shufflenet-{files.sha256(file)[:8]}.pth"))
    with open(project.path("workflow/cobaye/models/backbones.py"), "a") as code:
        code.write(WEIGHTS.format(name=name, url=server.address + file.name))
    with open(project.path("config/backbones.yaml"), "a") as config:
        config.write(f"w: {{torchvision: {{model: {name}}}}}\n")
    ran = job_counts(project.run(target).stdout)
    assert ran == {"fetch_weights": 1, "prepare_backbone": 1}
    assert server.sent == [file.name]
    assert sorted(os.listdir(project.path(target).parent)) == ["w.json", "w.safetensors"]
    # Prepared once, it needs them no more.
    (tmp_path / f"torch/hub/checkpoints/{file.name}").unlink()
    project.edit("config/backbones.yaml", f"model: {name}", f"model: {name}, download: false")
    assert project.jobs(target) == {}
    refused = project.run(target, "--forcerun", "prepare_backbone", check=False)
    assert "are not here: set download: true, or put shufflenet-" in refused.stdout
    assert project.path(target).exists()


@pytest.mark.slow
def test_no_machine_of_a_cluster_downloads(project, tmp_path):
    """Nor where the workflow is a module whose rules have other names."""
    if importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None:
        pytest.skip("snakemake-executor-plugin-cluster-generic is not installed")
    project, server = project
    project.path("module.smk").write_text(MODULE)
    submit = tmp_path / "submit"
    submit.write_text(SUBMIT)
    submit.chmod(0o755)
    executor = (
        "--executor",
        "cluster-generic",
        "--cluster-generic-submit-cmd",
        f"{submit} {{rule}}",
    )
    seconds = ("--seconds-between-status-checks", "1", "--jobs", "2")
    project.run("-s", "module.smk", *executor, *seconds, MANIFEST)
    assert project.path("submitted").read_text() == "its_prepare_dataset\n"
    assert len(server.sent) == 4
