"""The same Snakefile under any executor: what is asked of it, and a run under another than Slurm."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.conftest import ROOT, job_counts, new_project

SITE = """
default-resources: [slurm_account=me, slurm_partition=cpu]
set-resources:
  - "train:runtime=1234"
  - "train:slurm_partition=long"
"""
GROUPS = ("--groups", "train=runs", "evaluate=runs", "--group-components", "runs=2")


def asked(output):
    """Return rule → the resources of its jobs, as a dry run lists them."""
    found = {}
    for block in re.split(r"\n\n", output):
        rule = re.search(r"^\s*(?:local)?rule (\S+):$", block, re.MULTILINE)
        listed = re.search(r"^\s+resources: (.*)$", block, re.MULTILINE)
        if rule and listed:
            pairs = dict(pair.split("=") for pair in listed[1].split(", "))
            found.setdefault(rule[1], []).append(pairs)
    return found


def test_nothing_but_profiles_and_documents_names_slurm():
    code = [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*"))]
    for file in (file for file in code if file.suffix in (".py", ".smk", "")):
        assert not file.is_file() or "slurm" not in file.read_text().lower(), file


def test_the_profile_is_found_in_a_clone():
    assert (ROOT / "slurm").is_symlink()
    assert (ROOT / "slurm").resolve() == ROOT / "profiles/slurm"


@pytest.mark.slow
def test_a_dry_run_says_what_each_job_asks_for(fresh):
    fresh.edit("config/config.yaml", "device: cpu", "device: cuda")
    fresh.path("site").mkdir()
    fresh.path("site/config.yaml").write_text(SITE)
    profiles = ("--profile", "slurm", "--profile", "site")
    done = fresh.run("-n", "--workflow-profile", "profiles/default", *profiles)
    jobs = asked(done.stdout)
    # One per training and one per shard.
    assert len(jobs["train"]) == len(jobs["evaluate"]) + 1 == 4
    assert len(jobs["cache_features"]) == 6
    for rule, of_rule in jobs.items():
        for job in of_rule:
            assert rule in ("tiny", "tiny-images", "all") or int(job["mem_mb"]) >= 1500
            assert (job.get("gpu") == "1") == (rule in ("train", "evaluate", "cache_features"))
            assert job.get("slurm_account", "me") == "me"
    for job in jobs["train"]:
        assert (job["runtime"], job["slurm_partition"]) == ("1234", "long")
    assert {job["runtime"] for job in jobs["evaluate"]} == {"10"}
    # What profiles/default says holds as well: a record-less clone, no trigger by code.
    assert "workflow specific profile profiles/default" in done.stdout


@pytest.mark.slow
def test_locally_no_resource_throttles(built):
    """Memory and time are printed, and limit nothing: the GPU alone is lent in turns."""
    printed = re.search(r"^Provided resources: (.*)$", built.output, re.MULTILINE)
    assert printed
    assert set(re.findall(r"(\w+)=", printed[1])) == {"gpu"}


@pytest.mark.slow
def test_small_trainings_share_a_job_where_the_profile_says_so(fresh):
    counts = job_counts(fresh.run("-n", "--profile", "slurm", *GROUPS, "tiny").stdout)
    assert counts["train"] == 3


@pytest.mark.slow
def test_another_executor_runs_it(built, tmp_path):
    """Every job through a command that starts it elsewhere, as for other queues."""
    if importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None:
        pytest.skip("snakemake-executor-plugin-cluster-generic is not installed")
    project = new_project(tmp_path / "project")
    submit = tmp_path / "submit"
    submit.write_text('#!/bin/sh\nnohup sh "$1" > "$1.out" 2>&1 &\necho $! | tee -a submitted\n')
    submit.chmod(0o755)
    executor = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", str(submit))
    project.run(*executor, "--jobs", "4", "--seconds-between-status-checks", "1", "tiny-images")
    assert len(project.path("submitted").read_text().splitlines()) == 3
    for folder in ("results/tiny-images", "resources/datasets/tiny-digits"):
        assert project.files(folder) == built.files(folder)
