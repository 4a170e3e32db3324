"""A dataset's sources: other content makes it stale, a touched or a removed source does not."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest

from cobaye.storage import files, manifests, staleness
from tests import archives
from tests.archives import prepare
from tests.own_features import COUNTS, features_of, options_of


def is_stale(folder):
    """Ask as the next parse of the Snakefile would: in a process that has read nothing yet."""
    staleness._sha256.cache_clear()
    path = folder / "manifest.json"
    made = files.read_json(path)
    fingerprint = manifests.stage_fingerprint(made["recipe"], made["code"])
    return staleness.is_stale(str(path), fingerprint)


@pytest.fixture(params=[100, 10**9], ids=["cached", "small"])
def own(tmp_path, monkeypatch, request):
    """A prepared dataset of one's own features; both ways of reading its sources again."""
    monkeypatch.setattr(staleness, "LARGE", request.param)
    given = {part: features_of(part, np.float32) for part in COUNTS}
    _, folder = prepare(tmp_path, "features", **options_of(tmp_path / "own", "npz", **given))
    return tmp_path / "own/train.npz", folder


def test_a_touched_source_is_not_stale(own):
    source, folder = own
    for _ in range(3):
        assert not is_stale(folder)
        os.utime(source, (time.time() + 10, time.time() + 10))


def test_a_changed_source_is_stale_until_it_is_changed_back(own):
    source, folder = own
    assert not is_stale(folder)
    old = source.read_bytes()
    source.write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
    assert is_stale(folder)
    assert is_stale(folder)
    source.write_bytes(old)
    assert not is_stale(folder)


def test_a_removed_source_is_not_missed(own):
    source, folder = own
    source.unlink()
    assert not is_stale(folder)


def test_what_was_found_is_only_a_help(own):
    folder = own[1]
    for damage in (b"", b"[]", b'{"' + b"x" * 30):
        (folder / staleness.SEEN).write_bytes(damage)
        assert not is_stale(folder)


def test_large_sources_are_read_again_only_after_a_change(tmp_path, monkeypatch):
    monkeypatch.setattr(staleness, "LARGE", 100)
    given = {part: features_of(part, np.float32) for part in COUNTS}
    _, folder = prepare(tmp_path, "features", **options_of(tmp_path / "own", "npz", **given))
    assert not is_stale(folder)
    monkeypatch.setattr(files, "sha256", None)
    assert not is_stale(folder)


@pytest.fixture
def tree(tmp_path):
    counts = {part: {"cat": 3, "dog": 3} for part in ("train", "val", "test")}
    archives.write_tree(tmp_path / "tree", counts)
    _, folder = prepare(tmp_path, "image-folder", folder=str(tmp_path / "tree"))
    return tmp_path / "tree", folder


def test_an_added_removed_or_renamed_image_is_stale(tree):
    images, folder = tree
    assert not is_stale(folder)
    first = sorted((images / "train/cat").iterdir())[0]
    first.rename(first.with_name("renamed.jpg"))
    assert is_stale(folder)
    first.with_name("renamed.jpg").rename(first)
    assert not is_stale(folder)
    (images / "val/new").mkdir()
    shutil.copy(first, images / "val/new/new.jpg")
    assert is_stale(folder)
    shutil.rmtree(images / "val/new")
    assert not is_stale(folder)


def test_a_touched_tree_is_not_stale(tree):
    images, folder = tree
    assert not is_stale(folder)
    for place in (images / "train", images / "train/cat"):
        os.utime(place, (time.time() + 10, time.time() + 10))
    assert not is_stale(folder)
