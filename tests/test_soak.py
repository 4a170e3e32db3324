"""A study that is killed at a random moment ends as one that was not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# A dataset and a training.
RUN = "results/images/runs/resnet/sgd/wd-1e-3/seed-0/train.json"


# With it, Snakemake is killed in the first round, at half of the training. A moment near its end
# may not come: the undisturbed training took more of a processor where it began with cold files.
SEED = "217"


@pytest.mark.slow
def test_a_study_killed_at_a_random_moment_ends_as_if_it_had_not_been():
    done = subprocess.run(
        [sys.executable, "benchmarks/soak.py", "--rounds", "1", "--seed", SEED, "--targets", RUN],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["results"]
    assert found["rounds"] == found["trainings killed"] == found["kills of Snakemake"] == 1
    assert found["committed epochs lost"] == found["bytes different"] == found["orphans"] == 0
