"""The Snakefile runs under any executor, and its jobs ask for what they take."""

from __future__ import annotations

import importlib.util
import re
import textwrap

import pytest
import yaml

from tests.conftest import ROOT, job_counts, new_project

DOCUMENT = (ROOT / "docs/clusters.md").read_text()
# A queue that starts each job at once, and forgets it.
SUBMIT = """#!/bin/sh
echo "$1 CPU, $2 MB, $3 min" >> submitted
nohup sh "$4" > "$4.out" 2>&1 &
echo $!
"""
GPU = ("cache_features", "train", "evaluate", "evaluate_baseline")
PROFILES = ("--profile", "slurm", "--profile", "site")
with_plugin = pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_slurm") is None,
    reason="snakemake-executor-plugin-slurm is not installed",
)


def example(key):
    """Return the indented lines of the document from the first one that begins with a key."""
    (block,) = re.findall(rf"(?:^    .*\n)*^    {key}:.*\n(?:^    .*\n)*", DOCUMENT, re.MULTILINE)
    return textwrap.dedent(block)


def asked(output):
    """Return rule → the resources of its jobs, as a dry run lists them."""
    found, current = {}, ""
    pattern = r"^\s*(?:local)?rule (\S+):$|^\s+resources: (.*)$"
    for rule, listed in re.findall(pattern, output, re.MULTILINE):
        current = rule or current
        if listed:
            pairs = dict(pair.split("=") for pair in listed.split(", "))
            found.setdefault(current, []).append(pairs)
    return found


def test_nothing_but_profiles_and_documents_names_slurm():
    code = [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*"))]
    for file in (file for file in code if file.suffix in (".py", ".smk", ".rst")):
        assert "slurm" not in file.read_text().lower(), file


def test_the_profile_is_found_in_a_clone():
    assert (ROOT / "slurm").is_symlink()
    assert (ROOT / "slurm").resolve() == ROOT / "profiles/slurm"


@pytest.fixture
def site(fresh):
    """A project with a site's own profile, to be written."""
    fresh.path("site").mkdir()
    return fresh.path("site/config.yaml")


@with_plugin
@pytest.mark.slow
def test_a_dry_run_says_what_each_job_asks_for(fresh, site):
    site.write_text(example("default-resources"))
    done = fresh.run("-n", *PROFILES, "--config", "device=cuda")
    jobs = asked(done.stdout)
    # One per training and one per shard.
    assert {rule: len(jobs[rule]) for rule in ("train", "evaluate", "cache_features")} == {
        "train": 4,
        "evaluate": 3,
        "cache_features": 6,
    }
    for rule, of_rule in jobs.items():
        if rule in ("all", "default", "tiny", "tiny-images"):
            continue
        for job in of_rule:
            assert int(job["mem_mb"]) >= 1500
            assert int(job["runtime"]) >= 5
            assert (job.get("gpu") == "1") == (rule in GPU)
            assert job["slurm_account"] == "project42"
    for job in jobs["train"]:
        assert (job["runtime"], job["slurm_partition"]) == ("1440", "long")
    for job in jobs["evaluate"]:
        assert (job["mem_mb"], job["slurm_partition"]) == ("32000", "cpu")
    assert {job["gpu_model"] for job in jobs["cache_features"]} == {"a100"}
    # What it says of reruns holds as well.
    assert "workflow specific profile profiles/default" in done.stdout


@pytest.mark.slow
def test_a_dataset_alone_is_fetched_here(fresh):
    words = re.search(r"snakemake (--cores 1 --until .* --) cifar100", DOCUMENT)[1].split()
    entry = "{kind: torchvision, name: MNIST}"
    fresh.edit("config/datasets.yaml", "{kind: digits, val: 0.2, test: 0.6}", entry)
    assert job_counts(fresh.run("-n", *words, "tiny-images").stdout) == {"fetch_dataset": 1}


@with_plugin
@pytest.mark.slow
def test_small_trainings_share_a_job_where_a_profile_says_so(fresh, site):
    site.write_text(example("groups").replace("=10", "=2"))
    dry = fresh.run("-n", *PROFILES, "tiny").stdout
    groups = re.findall(r"Group job (\S+) .*?\n((?: +.*\n|\n)+)", dry)
    grouped = {name: re.findall(r"^ +rule (\w+):$", jobs, re.MULTILINE) for name, jobs in groups}
    # The backbone's training is of another study, and must come first.
    assert grouped == {
        "tiny-backbone": ["train"],
        "tiny": ["evaluate", "evaluate", "train", "train"],
    }


def test_local_runs_are_not_throttled():
    """Only what has a limit limits, and the default profile gives one to the GPU alone."""
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert default["resources"] == ["gpu=1"]
    assert not {"default-resources", "executor", "cores", "retries", "jobs"} & set(default)


def test_profiles_share_no_key():
    """The default profile's keys replace those of a profile on the command line, whole."""
    default, slurm = (
        yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    )
    assert not set(default) & set(slurm)


@pytest.mark.slow
def test_another_executor_runs_it(built, tmp_path):
    """Every job through a command that starts it elsewhere, as for other queues."""
    if importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None:
        pytest.skip("snakemake-executor-plugin-cluster-generic is not installed")
    project = new_project(tmp_path / "project")
    submit = tmp_path / "submit"
    submit.write_text(SUBMIT)
    submit.chmod(0o755)
    command = f"{submit} {{threads}} {{resources.mem_mb}} {{resources.runtime}}"
    executor = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", command)
    project.run(*executor, "--jobs", "4", "--seconds-between-status-checks", "1", "tiny-images")
    # A dataset, a training, its evaluation, the best run.
    asked = ["1 CPU, 1600 MB, 10 min"] * 3 + ["1 CPU, 1500 MB, 5 min"]
    assert project.path("submitted").read_text().splitlines() == asked
    for folder in ("results/tiny-images", "resources/datasets/tiny-digits"):
        assert project.files(folder) == built.files(folder)
