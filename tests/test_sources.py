"""A dataset is stale where its sources have other content, not where they are touched or gone.

Images that a backbone reads are asked after with the shard that read them: see test_backbones.
"""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest

from cobaye.errors import CorruptFile
from cobaye.storage import files, manifests, sources, staleness
from tests import archives
from tests.archives import prepare
from tests.own_features import COUNTS, features_of, options_of


def is_stale(folder):
    """Ask as the next parse of the Snakefile would: in a process that has read nothing yet."""
    staleness._sha256.cache_clear()
    sources._changed.cache_clear()
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


def squares(tmp_path, **options):
    """A prepared dataset of images that are decoded, one of them broken and skipped."""
    counts = {part: {"cat": 3, "dog": 3} for part in ("train", "val", "test")}
    archives.write_tree(tmp_path / "tree", counts)
    broken = tmp_path / "tree/train/dog/001.jpg"
    whole = broken.read_bytes()
    archives.break_jpeg(broken)
    options = {"folder": str(tmp_path / "tree"), "size": 8, "skip_unreadable": True, **options}
    _, folder = prepare(tmp_path, "image-folder-resized", **options)
    return tmp_path / "tree", folder, whole


def rewrite(path, content):
    """Write other content of the same length, and nothing else that a folder would show."""
    path.write_bytes(content)
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))


def test_a_mended_image_is_stale(tmp_path):
    tree, folder, whole = squares(tmp_path)
    assert not is_stale(folder)
    rewrite(tree / "train/dog/001.jpg", whole)
    assert is_stale(folder)


def test_an_image_of_equal_size_and_other_content_is_stale_until_it_is_back(tmp_path):
    tree, folder, _ = squares(tmp_path)
    image = tree / "val/cat/000.jpg"
    old = image.read_bytes()
    rewrite(image, old[:-1] + b"x")
    assert is_stale(folder)
    assert is_stale(folder)
    rewrite(image, old)
    assert not is_stale(folder)


def test_touched_images_are_read_once_and_are_not_stale(tmp_path, monkeypatch):
    tree, folder, _ = squares(tmp_path)
    for image in tree.rglob("*.jpg"):
        rewrite(image, image.read_bytes())
    assert not is_stale(folder)
    read = []
    monkeypatch.setattr(files, "sha256", read.append)
    assert not is_stale(folder)
    assert read == []


def test_images_that_are_gone_or_whose_times_are_lost_are_not_stale(tmp_path):
    tree, folder, _ = squares(tmp_path)
    times = folder / ".manifest.times.npy"
    for damage in (b"", times.read_bytes()[:-8], b"\x93NUMPY"):
        times.write_bytes(damage)
        assert not is_stale(folder)
    times.unlink()
    assert not is_stale(folder)
    shutil.rmtree(tree)
    assert not is_stale(folder)


def test_a_damaged_record_of_images_is_refused_by_name(tmp_path):
    _, folder, _ = squares(tmp_path)
    record = folder / "manifest.sources.json"
    sources.check(folder / "manifest.json")
    old = record.read_bytes()
    for damage in (old[:-1], old.replace(b"0", b"1", 1)):
        record.write_bytes(damage)
        assert is_stale(folder)
        with pytest.raises(CorruptFile, match=r"manifest\.sources\.json: expected sha256"):
            sources.check(folder / "manifest.json")
    record.unlink()
    with pytest.raises(CorruptFile, match=r"manifest\.sources\.json: .*missing"):
        sources.check(folder / "manifest.json")


def test_names_tell_nothing_of_times(tmp_path):
    """The manifest and its record are equal wherever and whenever the images were copied."""
    _, folder, _ = squares(tmp_path)
    made = {
        name: (folder / name).read_bytes() for name in ("manifest.json", "manifest.sources.json")
    }
    tree = tmp_path / "tree"
    for image in tree.rglob("*.jpg"):
        rewrite(image, image.read_bytes())
    options = {"folder": str(tree), "size": 8, "skip_unreadable": True}
    prepare(tmp_path, "image-folder-resized", **options)
    assert made == {name: (folder / name).read_bytes() for name in made}


SQUARES = """
photos: {kind: image-folder-resized, folder: photos, size: 8}
"""


@pytest.mark.slow
def test_snakemake_notices_an_overwritten_image_and_no_touch(fresh):
    counts = {part: {"cat": 2, "dog": 2} for part in ("train", "val", "test")}
    archives.write_tree(fresh.path("photos"), counts)
    with open(fresh.path("config/datasets.yaml"), "a") as file:
        file.write(SQUARES)
    target = "resources/datasets/photos/manifest.json"
    fresh.run(target)
    image = fresh.path("photos/train/cat/000.jpg")
    rewrite(image, image.read_bytes())
    assert fresh.jobs(target) == {}
    rewrite(image, fresh.path("photos/train/dog/001.jpg").read_bytes())
    assert fresh.jobs(target) == {"prepare_dataset": 1}
    fresh.path("resources/datasets/photos/manifest.sources.json").write_text("{}")
    done = fresh.run(target, check=False)
    assert "manifest.sources.json: expected sha256" in done.stdout
    assert "Traceback" not in done.stdout
    cure = done.stdout.partition("to repair: snakemake --cores all ")[2].splitlines()[0].split()
    fresh.run(*cure)
    assert fresh.jobs(target) == {}
