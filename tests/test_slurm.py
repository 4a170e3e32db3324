"""A study on a real Slurm, cancelled or out of time, ends as it does on one machine."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time

import pytest

from cobaye.storage import files
from tests import slurm
from tests.conftest import new_project
from tests.jobs import freeze

pytestmark = pytest.mark.slow

LABELS = ("0", "1e-2")
RUN = "results/tiny/runs/linear/sgd/wd-{}/seed-0"
LOG = "results/logs/train/tiny/linear/sgd/wd-{}.seed-0.log"
SHARD = "results/features/tiny-glyphs/tiny-backbone/val/shard-01-of-02"
PROFILES = ("--profile", "slurm", "--profile", "site")
# What a site adds to the profile; here: no accounting, and haste.
SITE = """
slurm-status-command: squeue
slurm-init-seconds-before-status-checks: 2
seconds-between-status-checks: 1
set-resources: ["train:runtime=7"]
"""


@pytest.fixture(scope="module")
def cluster():
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.running() as running:
        yield running


@pytest.fixture
def project(built, tmp_path):
    """The tiny study with its features cached, and a site's own profile."""
    # Any folder will do.
    project = new_project(tmp_path / "a project")
    for name in ("results/features", "resources"):
        shutil.copytree(built.path(name), project.path(name))
    project.path("site").mkdir()
    project.path("site/config.yaml").write_text(SITE)
    return project


@contextlib.contextmanager
def started(project, cluster, output, *arguments):
    """Snakemake, as a user starts it where Slurm is."""
    with open(output, "w") as log:
        process = subprocess.Popen(
            project.command(*arguments),
            cwd=project.folder,
            env={**project.environment(), **cluster.environment},
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_cancelled_and_out_of_time_a_study_ends_as_it_does_here(cluster, project, tmp_path):
    for suffix in (".npy", ".json"):
        project.path(SHARD + suffix).unlink()
    longer = "figures: [test-curves]\nbaseline: false\nanalyses: []\nweight_decays:"
    project.edit("config/studies/tiny.yaml", "epochs: 4", "epochs: 150")
    project.edit("config/studies/tiny.yaml", "weight_decays:", longer)
    here = project.clone(tmp_path / "here", records=False)
    output, before = tmp_path / "output", cluster.jobs()
    with started(project, cluster, output, "tiny", *PROFILES) as process:
        freeze(process, 20, *(project.path(RUN.format(label)) for label in LABELS))
        cluster.call("scancel", cluster.job("train", "_0_"))
        # As an administrator would: the least that a job can ask for is a minute.
        out_of_time = cluster.job("train", "_1e-2_")
        cluster.call("scontrol", "update", f"JobId={out_of_time}", "EndTime=now+1seconds")
        here.run("tiny")
        process.wait(timeout=300)
    said = output.read_text()
    assert process.returncode == 0, said

    # Every file of the study, byte for byte.
    made = project.files("results", "resources")
    assert made == here.files("results", "resources")
    assert "results/tiny/figures/test-curves.svg" in made
    # One job per training and per shard; the light rules ran where Snakemake did.
    jobs = cluster.states(before)
    assert jobs.pop("cache_features") == ["COMPLETED"]
    assert jobs.pop("evaluate") == ["COMPLETED"] * 2
    assert jobs.pop("evaluate_best") == ["COMPLETED"]
    assert sorted(jobs.pop("train")) == ["CANCELLED", "COMPLETED", "COMPLETED", "TIMEOUT"]
    assert jobs == {}
    assert "Tabulating the runs of tiny" in said
    # Both trainings went on from where they were.
    for label in LABELS:
        (epoch,) = files.read_json(project.path(RUN.format(label)) / "run.json")["resumed_from"]
        assert 20 <= epoch < 150
        assert f"resumed after epoch {epoch}" in project.path(LOG.format(label)).read_text()


def test_a_gpu_is_asked_for_where_the_config_says_cuda(cluster, project, tmp_path):
    target = f"{RUN.format('0')}/train.json"
    arguments = (target, *PROFILES, "--config", "device=cuda")
    before = set(cluster.jobs())
    with started(project, cluster, tmp_path / "output", *arguments) as process:
        while not (queued := set(cluster.jobs()) - before):
            assert process.poll() is None, (tmp_path / "output").read_text()
            time.sleep(0.1)
    (job,) = queued
    asked = cluster.call("scontrol", "show", "job", job)
    cluster.call("scancel", job)
    assert re.search(r"TresPerJob=gres:gpu:1$", asked, re.MULTILINE), asked


def test_small_trainings_share_a_job(cluster, built, project, tmp_path):
    with project.path("site/config.yaml").open("a") as site:
        site.write('groups: ["train={study}", "evaluate={study}"]\n')
        site.write('group-components: ["{study}=2"]\n')
    targets = [f"{RUN.format(label)}/evaluate.json" for label in LABELS]
    before = cluster.jobs()
    with started(project, cluster, tmp_path / "output", *targets, *PROFILES) as process:
        process.wait(timeout=300)
    assert process.returncode == 0, (tmp_path / "output").read_text()
    assert sum(map(len, cluster.states(before).values())) == 1, cluster.jobs()
    for label in LABELS:
        run = RUN.format(label)
        assert project.files(run) == {
            name: data for name, data in built.files(run).items() if "/.resume/" not in name
        }
