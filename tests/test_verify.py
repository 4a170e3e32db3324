"""`snakemake verify` names every damaged file with its cure, and ends with 1 if there is one."""

from __future__ import annotations

import os

import pytest

from cobaye.errors import CorruptFile
from cobaye.storage import files, manifests, staleness, verify
from tests import chain
from tests.test_corruption import RUN, SHARD, TABLES, flipped, of_the_future, put, resealed


@pytest.fixture
def root(chained, tmp_path):
    return chain.clone(chained[-2], tmp_path / "root")


def test_what_is_whole_has_no_problems(root):
    count, problems = verify.verify(root)
    assert problems == []
    sealed = len(chain.stages())
    named = sum(len(files.read_json(root / each.manifest)["files"]) for each in chain.stages())
    assert count == sealed + named


def test_every_damage_is_named_at_once(root):
    damaged = [f"{SHARD}.npy", f"{RUN}/history.csv", f"{TABLES}/tables.json"]
    for name in damaged:
        put(root / name, flipped((root / name).read_bytes(), 5))
    (root / f"{RUN}/evaluate.json").unlink()
    os.mkfifo(root / f"{RUN}/evaluate.json")
    _, problems = verify.verify(root)
    assert all("\nto repair: snakemake --cores all " in problem for problem in problems)
    found = {os.path.relpath(problem.partition(": ")[0], root) for problem in problems}
    assert found == {*damaged, f"{RUN}/evaluate.json"}


def test_a_manifest_of_elsewhere_or_of_other_inputs_is_named(root):
    path = root / f"{RUN}/train.json"
    whole = path.read_bytes()
    put(path, (root / f"{RUN.replace('wd-0', 'wd-1e-2')}/train.json").read_bytes())
    assert "expected the manifest of this path, found that of" in verify.verify(root)[1][0]
    put(path, resealed(whole, code="other"))
    _, problems = verify.verify(root)
    assert {problem.partition("\n")[0].rpartition("seed-0/")[2] for problem in problems} == {
        "train.json than stands now"
    }


def test_a_manifest_of_a_later_version_is_not_taken_for_current(root):
    path = root / f"{RUN}/train.json"
    content = files.read_json(path)
    fingerprint = manifests.stage_fingerprint(content["recipe"], content["code"])
    assert not staleness.is_stale(str(path), fingerprint)
    put(path, of_the_future(path.read_bytes()))
    assert staleness.is_stale(str(path), fingerprint)
    with pytest.raises(CorruptFile, match="expected format version"):
        verify.manifest_at(f"{RUN}/train.json", root)


@pytest.mark.slow
def test_the_command(copied):
    assert "0 damaged" in copied.run("verify").stdout
    name = "results/tiny/runs/linear/sgd/wd-0/seed-0/history.csv"
    path = copied.path(name)
    put(path, flipped(path.read_bytes(), 3))
    done = copied.run("verify", check=False)
    assert done.returncode == 1
    assert f"{name}: expected sha256" in done.stdout
    assert "1 damaged" in done.stdout
