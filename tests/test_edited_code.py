"""Code that is edited while a run is going never ends up under the digest of what it replaced."""

from __future__ import annotations

import shutil
import threading
import time

import pytest

from cobaye import kinds
from cobaye.errors import StaleFile
from cobaye.storage import code_digest
from cobaye.storage.jobs import Job
from tests.conftest import ROOT

USES = (("networks", "linear"),)
RUN = "results/tiny/runs/linear/sgd/wd-{}/seed-0/train.json"
LIBRARY = "workflow/cobaye/training/publishing.py"


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A job of a copied library, as it was planned."""
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    for module in (code_digest, kinds):
        monkeypatch.setattr(module, "ROOT", tmp_path / "workflow/cobaye")
    code_digest.read_again()
    script = tmp_path / "workflow/scripts/train.py"
    code, tree = code_digest.code_digest(script, USES), code_digest.tree_digest()
    identity = {"study": "s", "model": "m", "optimizer": "o", "weight_decay": "0", "seed": 0}
    job = Job("train", identity, {}, code, root=tmp_path, script=script, uses=USES, tree=tree)
    yield job
    code_digest.read_again()


@pytest.mark.parametrize(
    ("file", "refused"),
    [
        ("training/publishing.py", True),
        ("models/networks/linear.py", True),
        ("models/networks/mlp.py", False),  # not what this job runs
    ],
)
def test_a_job_publishes_nothing_after_its_code_was_edited(planned, file, refused):
    planned.publish({})
    planned.path.unlink()
    with open(planned.root / "workflow/cobaye" / file, "a") as source:
        source.write("\nEDITED = 1\n")
    if refused:
        with pytest.raises(StaleFile, match="edited after the job was planned"):
            planned.publish({})
    else:
        planned.publish({})
    assert planned.path.exists() is not refused


def test_a_comment_is_no_edit(planned):
    with open(planned.root / "workflow/cobaye/training/publishing.py", "a") as source:
        source.write("\n# A remark.\n")
    planned.publish({})


@pytest.mark.slow
def test_code_edited_during_a_run_is_refused_and_then_run_anew(copied, tmp_path):
    copied.edit("config/studies/tiny.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    undisturbed = copied.clone(tmp_path / "undisturbed")
    targets = [RUN.format(label) for label in ("0", "1e-2")]
    undisturbed.run(*targets)
    before = {label: copied.path(label).stat().st_mtime_ns for label in targets}
    formula = "penalty if math.isfinite(penalty) else None"

    def changed(label):
        path = copied.path(label)
        return path.exists() and path.stat().st_mtime_ns != before[label]

    def edit_after_the_first():
        while not any(changed(label) for label in targets):
            time.sleep(0.05)
        copied.edit(LIBRARY, formula, f"7 * {formula}")

    editor = threading.Thread(target=edit_after_the_first)
    editor.start()
    done = copied.run(*targets, "--cores", "1", check=False)
    editor.join()
    assert done.returncode != 0
    assert "edited after the job was planned" in done.stdout
    copied.edit(LIBRARY, f"7 * {formula}", formula)
    copied.run(*targets)
    files = [copied.files("results/tiny/runs"), undisturbed.files("results/tiny/runs")]
    trained = [{k: v for k, v in each.items() if ".resume" not in k} for each in files]
    assert trained[0] == trained[1]
