"""Kill it anywhere: a training that was killed ends as one that was not, byte for byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time

import psutil
import pytest

from cobaye.storage import files, resume
from tests import warm
from tests.conftest import ROOT
from tests.jobs import epochs_done, freeze

pytestmark = pytest.mark.slow

DRIVEN = ".snakemake/scripts/driver.py"
RUN = "results/tiny/runs/linear/sgd/wd-1e-2/seed-0"
DRIVER = f"""
import json, sys
sys.path.insert(0, "{ROOT}/workflow")
from cobaye.storage.jobs import Job
from cobaye.training import loop
told = json.load(open("told.json"))
loop.train(Job("train", told["identity"], told["recipe"], told["code"]))
"""


@pytest.fixture
def trained(built, tmp_path):
    """A folder with the features of the tiny study, what its training was told, and a driver."""
    shutil.copytree(built.path("results/features"), tmp_path / "results/features")
    manifest = files.read_json(built.path(RUN) / "train.json")
    told = {key: manifest[key] for key in ("recipe", "identity", "code")}
    # Long enough to be killed in.
    told["recipe"]["optimizer"]["epochs"] = 120
    files.write_json(tmp_path / "told.json", told)
    (tmp_path / DRIVEN).parent.mkdir(parents=True)
    (tmp_path / DRIVEN).write_text(DRIVER)
    return tmp_path


def start(folder):
    """Start a training as Snakemake does: the fork that it is ends with the process returned."""
    command = warm.script(folder / DRIVEN)
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def products(folder):
    run = folder / RUN
    found = {p.name: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    return {k: v for k, v in found.items() if k == "train.json" or k.startswith(("epoch", "hist"))}


def finish(folder):
    process = start(folder)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    return said


def test_killed_at_random_moments_ends_the_same(trained, tmp_path_factory):
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(trained, undisturbed, dirs_exist_ok=True)
    finish(undisturbed)
    generator = random.Random(0)
    killed_after = []
    while len(killed_after) < 4:
        process = start(trained)
        target = epochs_done(trained / RUN) + generator.randint(1, 25)
        while epochs_done(trained / RUN) < target and process.poll() is None:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.02))
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        killed_after.append(epochs_done(trained / RUN))
    said = finish(trained)
    assert len(killed_after) >= 2
    assert "resumed after epoch" in said
    assert products(trained) == products(undisturbed)
    resumed = files.read_json(trained / RUN / "run.json")["resumed_from"]
    # No epoch was lost, at any of the kills.
    assert resumed == killed_after
    assert not list((trained / RUN).rglob(f"{files.TEMPORARY}*"))


def test_trained_again_costs_no_epoch_and_gives_the_same(trained):
    finish(trained)
    first = products(trained)
    shutil.rmtree(trained / RUN / "checkpoints")
    for name in ("history.csv", "run.json", "train.json"):
        (trained / RUN / name).unlink()
    said = finish(trained)
    assert "resumed after epoch 120" in said
    assert products(trained) == first


def test_a_held_lock_is_named(trained):
    with (
        resume.lock(trained / RUN),
        pytest.raises(resume.Locked) as held,
        resume.lock(trained / RUN, wait=0.5),
    ):
        pass
    assert f"pid {os.getpid()}" in str(held.value)
    assert "0.5 s" in str(held.value)


def test_snakemake_killed_ends_its_workers_and_goes_on(built, fresh, tmp_path):
    """SIGKILL of Snakemake in mid-training; then `--unlock` and the same command."""
    for name in ("results/features", "resources"):
        shutil.copytree(built.path(name), fresh.path(name))
    fresh.edit("config/studies/tiny.yaml", "epochs: 4", "epochs: 250")
    expected = fresh.clone(tmp_path / "expected", records=False)
    target = f"{RUN}/train.json"
    expected.run(target)
    process = subprocess.Popen(
        fresh.command(target),
        cwd=fresh.folder,
        env=fresh.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (worker,) = freeze(process, 20, fresh.path(RUN))
    children = psutil.Process(process.pid).children(recursive=True)
    assert worker in {child.pid for child in children}
    process.send_signal(signal.SIGKILL)
    process.wait()
    # It looks for Snakemake every half second, in which time it could do all its epochs.
    time.sleep(1)
    os.kill(worker, signal.SIGCONT)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    assert not fresh.path(target).exists()
    fresh.run("--unlock")
    log = "results/logs/train/tiny/linear/sgd/wd-1e-2.seed-0.log"
    fresh.run(target)
    assert "resumed after epoch" in fresh.path(log).read_text()
    assert products(fresh.folder) == products(expected.folder)


def test_of_two_snakemakes_one_wins_and_the_other_says_so(built, fresh):
    """On one run: refused by the directory's lock, and by the run's where that one is set aside."""
    for name in ("results/features", "resources"):
        shutil.copytree(built.path(name), fresh.path(name))
    fresh.edit("config/studies/tiny.yaml", "epochs: 4", "epochs: 200")
    # Not half a minute's patience, in a test.
    fresh.edit("workflow/cobaye/storage/resume.py", "wait: float = 30.0", "wait: float = 0.2")
    target = f"{RUN}/train.json"
    with subprocess.Popen(
        fresh.command(target),
        cwd=fresh.folder,
        env=fresh.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as first:
        (worker,) = freeze(first, 5, fresh.path(RUN))
        assert "train.py" in " ".join(psutil.Process(worker).cmdline()[1:2])
        locked = fresh.run(target, check=False)
        rival = fresh.run(target, "--nolock", check=False)
        os.kill(worker, signal.SIGCONT)
        assert first.wait() == 0
    assert locked.returncode != 0
    assert "cannot be locked" in locked.stdout
    assert rival.returncode != 0
    assert "another process has been training this run for the 0.2 s" in rival.stdout
    assert f"pid {worker}" in rival.stdout
    assert "Traceback" not in rival.stdout
    assert files.read_json(fresh.path(RUN) / "train.json")["info"]["epochs"] == 200
