"""The code digest of a stage sees all the code it runs, and nothing else."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from cobaye import kinds
from cobaye.storage import code_digest, machine
from tests.conftest import ROOT

USED = [("networks", "linear"), ("engines", "linear"), ("optimizers", "sgd")]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A copy of the library, to change."""
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    for module in (code_digest, kinds):
        monkeypatch.setattr(module, "ROOT", tmp_path / "workflow/cobaye")
    return tmp_path / "workflow"


def digest(library, script="train"):
    code_digest.read_again()
    return code_digest.code_digest(library / f"scripts/{script}.py", USED)


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("scripts/train.py", True),
        ("scripts/_worker.py", True),
        ("cobaye/training/loop.py", True),
        ("cobaye/randomness.py", True),  # by way of training
        ("cobaye/training/engines/__init__.py", True),
        ("cobaye/training/engines/_cross_entropy.py", True),  # by way of a kind
        ("cobaye/models/networks/linear.py", True),
        ("cobaye/training/optimizers/sgd.py", True),
        ("cobaye/errors.py", False),  # words of messages only
        ("cobaye/training/engines/network.py", False),
        ("cobaye/models/networks/resnet_small.py", False),
        ("cobaye/training/augmentations/crop.py", False),
        ("cobaye/evaluation/evaluate.py", False),
        ("cobaye/planning/plan.py", False),
    ],
)
def test_a_change_of_code_counts_where_the_code_is_run(library, file, counts):
    before = digest(library)
    with open(library / file, "a") as source:
        source.write("\nCHANGED = 1\n")
    assert (digest(library) != before) is counts


def test_comments_docstrings_and_layout_do_not_count(library):
    before, path = digest(library), library / "cobaye/randomness.py"
    text = path.read_text().replace('"""Return a seed', '"""Give a seed')
    path.write_text(text.replace("    text = ", "    # A comment.\n\n    text =   "))
    assert digest(library) == before


def test_the_texts_of_errors_do_not_count(library):
    before, path = digest(library), library / "cobaye/storage/manifests.py"
    path.write_text(path.read_text().replace("expected sha256", "awaited sha256"))
    assert digest(library) == before


def test_the_place_of_the_library_does_not_count(library):
    assert digest(library) == digest(library.parent / "workflow")
    copied = digest(library)
    code_digest.read_again()
    with pytest.MonkeyPatch.context() as patch:
        for module in (code_digest, kinds):
            patch.setattr(module, "ROOT", ROOT / "workflow/cobaye")
        assert digest(ROOT / "workflow") == copied


def test_the_commit_is_that_of_the_library(tmp_path, monkeypatch):
    """Installed inside another repository, it has none: that commit says nothing of it."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", tmp_path)
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    file = tmp_path / "machine.py"
    file.touch()
    monkeypatch.setattr(machine, "__file__", str(file))
    assert machine.machine()["commit"] is None
    for command in (["add", "machine.py"], ["commit", "-qm", "y"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert machine.machine()["commit"] == head.stdout.strip()
