"""A study that is killed at random moments ends as one that was not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# A dataset and a training.
RUN = "results/images/runs/resnet/sgd/wd-1e-3/seed-0/train.json"


@pytest.mark.slow
def test_a_study_killed_at_random_moments_ends_as_if_it_had_not_been():
    done = subprocess.run(
        [sys.executable, "benchmarks/soak.py", "--rounds", "2", "--targets", RUN],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["results"]
    assert found["rounds"] == 2
    assert found["kills of Snakemake"] + found["kills of workers"] >= 1
    assert found["committed epochs lost"] == found["bytes different"] == found["orphans"] == 0
