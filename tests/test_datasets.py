"""What holds of every dataset: what is checked, how it is written, what a failure leaves."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cobaye import kinds, recipes
from cobaye.config import schema, yaml_files
from cobaye.data import datasets
from cobaye.data.datasets import ImageFiles, Prepared, SelectedRows
from cobaye.errors import DataError, UnwritableFile
from cobaye.storage import arrays, files, manifests
from cobaye.storage.arrays import ArrayFile, save_array
from tests import archives
from tests.conftest import ROOT
from tests.examples import parsed

CLASSES = [{"name": name} for name in ("a", "b", "c")]


def images(count):
    return np.arange(count * 12, dtype=np.uint8).reshape(count, 3, 2, 2)


def dataset(**changed):
    """Return three splits of 6 images, two of each class, but for what is changed."""
    good = (images(6), np.arange(6) % 3)
    return Prepared(
        CLASSES, {split: changed.get(split, good) for split in ("train", "val", "test")}
    )


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array))
    return buffer.getvalue()


@pytest.mark.parametrize("block", [1, 100, 1 << 23])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(5),
        np.zeros((0, 3), np.float16),
        np.random.default_rng(0).standard_normal((70, 5)).astype(np.float32),
        np.asfortranarray(np.arange(60, dtype=np.float16).reshape(20, 3)),
        np.arange(720, dtype=np.uint8).reshape(10, 2, 4, 9)[:, ::-1].transpose(0, 3, 1, 2),
        np.arange(40, dtype=">f4").reshape(10, 4),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_a_streamed_array_is_what_numpy_writes(tmp_path, monkeypatch, array, block):
    monkeypatch.setattr(arrays, "BLOCK", block)
    digest = save_array(tmp_path / "a.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == npy_bytes(array)
    assert digest == files.sha256(tmp_path / "a.npy")
    assert ArrayFile(tmp_path / "a.npy").shape == array.shape


@pytest.mark.parametrize("block", [1, 50, 1 << 23])
def test_rows_of_several_sources(tmp_path, monkeypatch, block):
    monkeypatch.setattr(arrays, "BLOCK", block)
    sources = {"a": images(5), "b": images(7)[:, ::-1], "c": images(1)}
    whole = np.concatenate(list(sources.values()))
    for index in ([0, 1, 12], [4, 5], [6, 11], list(range(13))):
        rows = SelectedRows(sources, np.array(index))
        assert rows.shape == (len(index), 3, 2, 2)
        save_array(tmp_path / "a.npy", rows)
        assert (tmp_path / "a.npy").read_bytes() == npy_bytes(whole[index])
    assert rows.origin(6) == "row 1 of 'b'"


def test_memory_does_not_grow_with_the_dataset(tmp_path):
    """Ten times the features, drawn at random from a file: checked and written in the same room."""
    peaks = []
    for rows in (20_000, 200_000):
        code = f"""
import resource, sys
import numpy as np
from cobaye.data import datasets
from cobaye.data.datasets._columns import open_column
from pathlib import Path
rows, folder = {rows}, Path({str(tmp_path)!r})
file = np.lib.format.open_memmap(folder / "a.npy", "w+", np.float32, (rows, 256))
del file
source = {{"a": open_column(folder / "a.npy", "features", None)}}
order = np.random.default_rng(0).permutation(rows)
chosen = {{"train": order[: rows // 2], "val": order[rows // 2 :][:9], "test": order[-9:]}}
splits = {{
    split: (datasets.SelectedRows(source, np.sort(index)), np.zeros(len(index), int))
    for split, index in chosen.items()
}}
datasets.write(datasets.Prepared([{{"name": "0"}}], splits), folder / "made")
# Pages of the mapped file count while they are mapped: bounded too.
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    # The larger one's features are 100 MB of 200.
    assert peaks[1] - peaks[0] < 50, f"{peaks} MiB"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"val": (images(0), np.zeros(0, int))}, "split 'val' is empty"),
        ({"val": (images(5), np.arange(6) % 3)}, "split 'val': 5 images but 6 labels"),
        ({"test": (images(3), np.arange(3) + 1)}, "'test': labels from 1 to 3, expected 0 to 2"),
        ({"test": (images(3), np.arange(3) - 1)}, "'test': labels from -1 to 1, expected 0 to 2"),
        ({"test": (images(3), np.ones(3))}, "labels as integers, one per row, found float64"),
        ({"train": (images(4), np.array([0, 0, 2, 2]))}, r"nothing of 1 of .* 'b' \(label 1\)"),
        ({"val": (images(2)[:, :1], np.arange(2))}, r"shape \[1, 2, 2\], but those of split 'tra"),
        ({"val": (images(2).astype(float), np.arange(2))}, "expected images, uint8 .* float64"),
        ({"val": (np.ones((2, 4), np.float32), np.arange(2))}, "'val': features of shape"),
        ({"val": (ImageFiles("x", ["a", "b"]), np.arange(2))}, "'val': files of shape None"),
    ],
)
def test_what_contradicts_itself_is_refused_and_nothing_written(tmp_path, changed, said):
    with pytest.raises(DataError, match=said):
        datasets.write(dataset(**changed), tmp_path / "d")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (12, r"11 of the 12 classes: 'c1' .*'c5' \(label 5\) and 6 more$"),
        (6, r"5 of the 6 classes: 'c1' .*'c5' \(label 5\)$"),
    ],
)
def test_many_classes_without_images_are_counted(tmp_path, classes, said):
    split = (images(6), np.zeros(6, np.int64))
    names = [{"name": f"c{i}"} for i in range(classes)]
    with pytest.raises(DataError, match=said):
        datasets.write(Prepared(names, dict.fromkeys(("train", "val", "test"), split)), tmp_path)


def test_progress_is_shown_as_what_is_done_of_the_total():
    steps = []
    bar = SimpleNamespace(n=2, update=steps.append)
    datasets._show(bar, 5, 9)
    assert (steps, bar.total) == ([3], 9)


def test_a_failure_while_writing_leaves_what_stood(tmp_path, monkeypatch):
    """Each write fails in turn: the old dataset stands whole, or none is declared."""
    folder = tmp_path / "d"

    def declare(prepared):
        entries = datasets.write(prepared, folder)
        manifest = manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, entries)
        manifest.write(folder / "manifest.json")

    def standing():
        manifest = manifests.read_manifest(
            folder / "manifest.json", "prepare_dataset", {"dataset": "d"}
        )
        for name in manifest.files:
            manifest.check(folder, name)
        return np.load(folder / "train/images.npy")

    other = dataset(train=(images(6) + np.uint8(1), np.arange(6) % 3))
    real, failures = os.replace, 0
    for failing in range(12):
        declare(dataset())
        calls = iter(range(100))

        def replace(source, target, calls=calls, failing=failing):
            if next(calls) == failing:
                raise OSError(28, "No space left on device")
            real(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(files.os, "replace", replace)
            try:
                declare(other)
            except (OSError, UnwritableFile):
                failures += 1
                if (folder / "manifest.json").exists():
                    assert np.array_equal(standing(), images(6))
            assert not list(folder.glob(f"{files.TEMPORARY}*-prepared"))
    assert failures > 8
    declare(other)
    assert np.array_equal(standing(), images(6) + np.uint8(1))
    assert not list(folder.rglob(f"{files.TEMPORARY}*"))


@pytest.mark.parametrize("kind", kinds.names("datasets"))
def test_a_kind_says_what_it_lacks_or_is_prepared(kind, tmp_path, monkeypatch):
    """In an empty folder, twice: split by split the same bytes, in the form that it states."""
    monkeypatch.chdir(tmp_path)
    module, options = kinds.load("datasets", kind), parsed("datasets", kind)
    assert archives.form(kind) in datasets.INPUTS
    lacking = module.problems(options)
    assert all(isinstance(said, str) and said == said.strip() != "" for said in lacking)
    assert all(
        isinstance(source, str) for source in getattr(module, "sources", lambda _: [])(options)
    )
    if not lacking:
        prepared(kind, tmp_path, options)
    else:
        with pytest.raises(DataError, match=re.escape(lacking[0])):
            archives.prepare(tmp_path, kind, **kinds.constant("datasets", kind, "EXAMPLE", {}))
        assert list(tmp_path.rglob("*")) == []


def prepared(kind, folder, options):
    given = kinds.constant("datasets", kind, "EXAMPLE", {})
    (manifest, first), (_, again) = (
        archives.prepare(folder / name, kind, **given) for name in ("first", "again")
    )
    info, file = manifest.info, datasets.INPUTS[archives.form(kind)]
    assert info["form"] == archives.form(kind)
    for split in ("train", "val", "test"):
        inputs, labels = archives.arrays(first, split, file.removesuffix(".npy"))
        assert len(inputs) == len(labels) == info["images"][split] > 0
        assert list(inputs.shape[1:]) == info["shape"]
        assert len(np.unique(inputs, axis=0)) > 1
        for name in (file, "labels.npy"):
            assert (first / split / name).read_bytes() == (again / split / name).read_bytes()
    assert len(datasets.class_names(first / "classes.json")) == info["classes"]
    if hasattr(options, "seed"):
        _, other = archives.prepare(folder / "other", kind, **{**given, "seed": options.seed + 1})
        assert (first / "train" / file).read_bytes() != (other / "train" / file).read_bytes()
    calls = []
    kinds.load("datasets", kind).prepare(options, lambda *call: calls.append(call))
    assert calls == sorted(calls)
    assert all(0 <= done <= total for done, total in calls)


def test_shipped_datasets_are_there_or_say_how_to_get_them(tmp_path, monkeypatch):
    """Each entry of config/datasets.yaml is valid; one without its data says so in one sentence."""
    path = ROOT / "config/datasets.yaml"
    entries = yaml_files.read_yaml(path)
    monkeypatch.chdir(tmp_path)
    found = {}
    for name, entry in entries.items():
        own = schema.DatasetEntry.model_fields
        given = {key: value for key, value in entry.items() if key not in own}
        kind = schema.checked_kind("datasets", entry["kind"], given, path, name)
        options = recipes.parse(kinds.options("datasets", kind.kind), kind.options)
        found[name] = kinds.load("datasets", kind.kind).problems(options)
    for name in ("digits", "glyphs", "mnist", "cifar10", "cifar100"):  # the last are downloaded
        assert found[name] == []
    (message,) = found["imagenet"]
    assert "resources/downloads/imagenet is missing: put ImageNet's train/<class>/ and" in message
    assert all(
        "run python config/own_features_example.py" in said for said in found["own-features"]
    )
    assert Path("resources").exists() is False
