"""A full disk, no permission, a jumping clock, NaN, a rival: each ends as it is promised."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import pytest

from cobaye import kinds
from cobaye.errors import UnwritableFile
from cobaye.storage import files, paths, resume
from cobaye.training import loop
from tests import chain
from tests.conftest import ROOT
from tests.jobs import epochs_done, job

SAID, UNEXPECTED = 7, 1
RUN = chain.RUNS[0]
EPOCHS = 12
FOLDER = paths.RUN.format(**RUN)
# The state before the first training on features.
BEFORE = [stage.manifest for stage in chain.stages()].index(f"{FOLDER}/train.json") - 1
LONG = dataclasses.replace(chain.OPTIMIZER, normalize="none", epochs=EPOCHS)
RECIPE = chain.training_of(RUN, optimizer=LONG)


@pytest.fixture
def root(chained, tmp_path):
    """Everything that a training needs."""
    return chain.clone(chained[BEFORE], tmp_path / "root")


def train(root, recipe=RECIPE):
    loop.train(job("train", RUN, recipe, root, code=chain.CODE))
    return chain.contents(root)


def in_child(action) -> int:
    """Run something in a process of its own; return its exit status."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except UnwritableFile as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(SAID)
        finally:
            os._exit(UNEXPECTED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_disk_that_is_full_and_stays_full_in_mid_training(root, tmp_path):
    """A real one, where this process may mount it: small, filled, and freed again."""
    expected = train(chain.clone(root, tmp_path / "expected"))
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=512k", "cobaye", str(disk)]
    if subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("this process may not mount a small file system")
    try:
        run = root / FOLDER
        run.parent.mkdir(parents=True)
        run.symlink_to(disk)
        (disk / "ballast").write_bytes(bytes(470_000))
        with pytest.raises(UnwritableFile, match=r"cannot be written: No space left on device\. "):
            train(root)
        assert not (run / "train.json").exists()
        assert not list(run.rglob(f"{files.TEMPORARY}*"))
        done = epochs_done(run)
        assert 0 < done < EPOCHS
        (disk / "ballast").unlink()
        train(root)
        assert files.read_json(run / "run.json")["resumed_from"] == [done]
        own = {name: data for name, data in expected.items() if name.startswith(FOLDER)}
        assert {name: (root / name).read_bytes() for name in own} == own
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_without_write_permission(root, tmp_path, capfd):
    expected = train(chain.clone(root, tmp_path / "expected"))
    # Where an unprivileged process may go: pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as place:
        opened = chain.clone(root, Path(place) / "root")
        run = opened / FOLDER
        run.mkdir(parents=True)
        for folder in (Path(place), *run.parents[: len(Path(FOLDER).parts)]):
            folder.chmod(0o755)
        run.chmod(0o555)

        def unprivileged():
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            train(opened)

        assert in_child(unprivileged) == SAID
        assert (
            f"{run / '.resume/lock'}: cannot be written: Permission denied"
            in capfd.readouterr().err
        )
        assert list(run.iterdir()) == []
        run.chmod(0o755)
        assert train(opened) == expected


def test_a_clock_that_jumps_back_changes_nothing(root, tmp_path, monkeypatch):
    expected = train(chain.clone(root, tmp_path / "expected"))
    now = itertools.count(time.time(), -3600)
    for name in ("time", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: float(next(now)))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * next(now)))
    assert train(root) == expected


@pytest.mark.parametrize("epoch", [1, 3])
def test_nan_in_the_loss_ends_in_a_row_of_the_tables(root, monkeypatch, epoch):
    """From the first epoch on, or later; evaluated, tabulated and drawn like any other run."""
    engine = kinds.load("engines", "linear").Engine
    whole, seen = engine.epoch, []

    def poisoned(self, *given):
        seen.append(given)
        means = whole(self, *given)
        return dataclasses.replace(means, loss=math.nan) if len(seen) == epoch else means

    monkeypatch.setattr(engine, "epoch", poisoned)
    train(root)
    manifest = files.read_json(root / FOLDER / "train.json")
    stopped = {"epochs": epoch, "finite": False, "stopped": f"diverged in epoch {epoch}"}
    assert {key: manifest["info"][key] for key in stopped} == stopped
    # Begun again, it is at its end already.
    train(root)
    assert len(seen) == epoch
    assert files.read_json(root / FOLDER / "train.json") == manifest


def test_a_study_of_which_every_run_diverges_at_once_is_complete(root, monkeypatch):
    wild = dataclasses.replace(chain.OPTIMIZER, learning_rate=1e38, normalize="none", epochs=3)
    monkeypatch.setattr(chain, "OPTIMIZER", wild)
    for stage in chain.stages()[BEFORE + 1 :]:
        stage.run(root)
    runs = pd.read_csv(root / "results/s/tables/runs.csv")
    assert list(runs["stopped"]) == ["diverged in epoch 1"] * 2
    assert not runs["finite"].any()
    assert pd.read_csv(root / "results/s/tables/best-lambda.csv").empty
    assert (root / "results/s/figures/best-lambda-test.svg").is_file()


def test_an_orphaned_training_and_its_successor(root, tmp_path, monkeypatch):
    """While the orphan is at work its successor says so; once it has ended, nothing is redone."""
    expected = train(chain.clone(root, tmp_path / "expected"))
    ready, go = (os.pipe() for _ in range(2))
    order = loop.batch_order

    def held_at_the_third(*key):
        if key[1] == 3:
            os.write(ready[1], b"1")
            os.read(go[0], 1)
        return order(*key)

    monkeypatch.setattr(loop, "batch_order", held_at_the_third)
    orphan = os.fork()
    if orphan == 0:
        try:
            train(root)
            os._exit(0)
        finally:
            os._exit(UNEXPECTED)
    os.read(ready[0], 1)
    monkeypatch.setattr(resume.lock.__wrapped__, "__defaults__", (0.3,))
    with pytest.raises(resume.Locked, match=rf"{FOLDER}: another process .* pid {orphan}, since"):
        train(root)
    assert not (root / FOLDER / "train.json").exists()
    os.write(go[1], b"1")
    assert os.waitpid(orphan, 0)[1] == 0
    assert chain.contents(root) == expected
    assert train(root) == expected
    assert files.read_json(root / FOLDER / "run.json")["resumed_from"] == [EPOCHS]


JOB = """
import sys
from types import SimpleNamespace
sys.path.insert(0, "workflow/scripts")
from _worker import job_of
from cobaye.errors import DataError
params = {"identity": {"dataset": "d"}, "recipe": {}, "code": "", "uses": (), "expected": {}}
told = SimpleNamespace(
    log=[sys.argv[1]], params=params, threads=1, config={}, rule="prepare", resources={},
    scriptdir="workflow/scripts",
)
from cobaye.storage.jobs import Job
Job.refuse_edited_code = lambda job: None
with job_of(told, "prepare_dataset"):
    ACTION
"""


@pytest.mark.parametrize(
    ("log", "action", "said"),
    [
        ("/dev/full", "raise DataError('café: no class')", "prepare: café: no class"),
        ("/dev/full", "1 / 0", "ZeroDivisionError"),
        ("/dev/full", "print('working')", "prepare: [Errno 28] No space left on device: Mend that"),
        ("/proc/log", "raise DataError('x')", "/proc/log"),  # a log that cannot be opened
    ],
)
def test_a_message_that_the_log_cannot_hold_is_on_the_terminal(log, action, said):
    code = JOB.replace("ACTION", action)
    done = subprocess.run(
        [sys.executable, "-c", code, log], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 1
    assert said in done.stderr


def test_a_message_that_the_log_holds_is_there_alone(tmp_path):
    code, log = JOB.replace("ACTION", "raise DataError('no class')"), tmp_path / "job.log"
    done = subprocess.run(
        [sys.executable, "-c", code, log], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert log.read_text() == "\nprepare: no class\n"


def test_a_log_has_a_line_for_each_state_of_a_progress_bar(tmp_path):
    """Ten seconds apart, so that an hour's epochs fit a screen; no carriage returns."""
    log = tmp_path / "log"
    code = (
        "import sys; sys.path.insert(0, 'workflow/scripts')\n"
        "import _worker; from pathlib import Path\n"
        f"_worker._write_into(Path({str(log)!r}))\n"
        "from tqdm import tqdm\n"
        "with tqdm(total=500, unit='epoch') as bar:\n"
        "    for epoch in range(500): bar.set_postfix(refresh=False, loss=1); bar.update()\n"
        "print('said', file=sys.stderr)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    first, last, said = log.read_text().splitlines()
    assert "0/500" in first
    assert "500/500" in last
    assert said == "said"
    assert "\r" not in log.read_text()
