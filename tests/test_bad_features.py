"""Ready-made features without sense are refused with one clear error, and nothing is written."""

from __future__ import annotations

import io
import json
import pickle
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cobaye.data.datasets import features as kind
from cobaye.errors import ConfigError, DataError
from tests.archives import Planted, prepare
from tests.own_features import COUNTS, SUFFIXES, features_of, labels_of, options_of, save, written


def planted_files(witness):
    """Return the bytes of files of which something is a pickle, that makes a file if opened."""
    objects = np.array([Planted(witness)] * 40)
    npy, npz, pt = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, objects, allow_pickle=True)
    np.savez(npz, features=objects, labels=objects)
    torch.save({"features": Planted(witness)}, pt)
    whole = pickle.dumps(Planted(witness))
    return [whole, *(file.getvalue() for file in (npy, npz, pt))]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pickle_is_never_opened(tmp_path, suffix):
    """Neither as the whole file, nor as an array of objects, nor inside an archive."""
    own, witness = tmp_path / "own", tmp_path / "executed"
    options = options_of(own, suffix)
    for content in planted_files(witness):
        (own / f"train.{suffix}").write_bytes(content)
        with pytest.raises(DataError, match=rf"train\.{suffix}: ") as found:
            prepare(tmp_path, "features", **options)
        assert "allow_pickle" not in str(found.value)
    options = options_of(own, suffix)
    for content in planted_files(witness):
        (own / f"hidden.{suffix}").write_bytes(content)
        (own / "hidden.json").write_bytes(content)
        for changed in (
            {"labels": {**options["labels"], "train": str(own / f"hidden.{suffix}")}},
            {"class_names": str(own / "hidden.json")},
        ):
            with pytest.raises(DataError, match="hidden"):
                prepare(tmp_path, "features", **{**options, **changed})
    assert not witness.exists()
    assert written(tmp_path) == []
    pickle.loads(planted_files(witness)[0])
    assert witness.exists()


def broken(value):
    """Return features of train with a value in rows 3 and 33."""
    features = features_of("train")
    features[[3, 33], [0, 5]] = value
    return features


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(tmp_path, suffix, value):
    options = options_of(tmp_path / "own", suffix, train=broken(value))
    said = "split 'train': 2 of 40 rows of features hold NaN or infinite numbers, first row 3 of"
    with pytest.raises(DataError, match=said):
        prepare(tmp_path, "features", **options)
    assert written(tmp_path) == []


def test_float64_beyond_float32_is_refused(tmp_path):
    options = options_of(tmp_path / "own", "npz", train=broken(1.0).astype(float) * 1e39)
    with pytest.raises(DataError, match="40 of 40 rows of features hold NaN or infinite"):
        prepare(tmp_path, "features", **options)


@pytest.mark.parametrize(
    ("features", "labels", "said"),
    [
        (features_of("train"), labels_of("train")[1:], "40 rows of features in .* but 39 labels"),
        (features_of("train"), labels_of("train") - 1, "labels from -1 to 3, expected 0 or more"),
        (features_of("train"), labels_of("train") / 2, "labels as integers .*, found floats"),
        (features_of("train"), labels_of("train")[:, None], r"integers .*, found int64 \(40, 1\)"),
        (features_of("train"), labels_of("train") * 2, "nothing of 4 of the 9 classes: '1'"),
        (features_of("train"), labels_of("train") + 10**12, "labels up to 1000000000004, but only"),
        (features_of("train")[:, :5], labels_of("train"), "5 features per row, but .* has 6"),
        (features_of("train")[:0], labels_of("train")[:0], "has no rows"),
        (features_of("train").astype(int), labels_of("train"), "found int64"),
        (features_of("train")[0], labels_of("train"), "found float32"),
    ],
)
def test_contradictory_features_are_refused(tmp_path, features, labels, said):
    options = options_of(tmp_path / "own", "npz")
    parts = {name: options["parts"][name] for name in ("train", "test", "val")}
    save(tmp_path / "own/train.npz", features, labels)
    with pytest.raises(DataError, match=said):
        prepare(tmp_path, "features", parts=parts)
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ([[1.0] * 6] * 38 + [[1.0] * 5, [1.0] * 6], "column 'features' has lists of 5 to 6 numb"),
        ([[1.0] * 6] * 38 + [[1.0] * 5] * 2, "rows of 6 and of 5 numbers"),
        ([[1.0] * 6] * 39 + [None], "column 'features' has 1 empty values"),
        ([[1.0] * 6] * 39 + [[None] * 6], "column 'features' has 6 empty values"),
        ([["a", "b"]] * 40, "column 'features' holds string, not numbers"),
    ],
)
def test_a_parquet_column_that_is_no_matrix_is_refused(tmp_path, lists, said):
    options = options_of(tmp_path / "own", "parquet")
    table = pa.table({"features": lists, "labels": labels_of("train")})
    # In the last row group, which is read last.
    pq.write_table(table, tmp_path / "own/train.parquet", row_group_size=38)
    with pytest.raises(DataError, match=rf"train.parquet: {said}"):
        prepare(tmp_path, "features", **options)
    assert written(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_an_unknown_key_is_named_with_the_nearest(tmp_path, suffix):
    options = options_of(tmp_path / "own", suffix)
    with pytest.raises(DataError, match=r"'lables': did you mean 'labels'\?"):
        prepare(tmp_path, "features", **options, labels_key="lables")
    with pytest.raises(DataError, match=r"'feature': did you mean 'features'\?"):
        prepare(tmp_path, "features", **options, features_key="feature")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "b", "c", "d"], "labels from 0 to 4, expected 0 to 3"),
        (["a", "b", "c", "d", "a"], "the class name 'a' stands twice"),
        (["a", "b", "", "d", "e"], "none of them empty"),
        ({"a": 0}, "expected a list of class names"),
        (["a", "b", "c", "d", "e", "f"], r"nothing of 1 of the 6 classes: 'f' \(label 5\)"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(tmp_path, names, said):
    (tmp_path / "names.json").write_text(json.dumps(names))
    options = options_of(tmp_path / "own", "npz")
    with pytest.raises(DataError, match=said):
        prepare(tmp_path, "features", **options, class_names=str(tmp_path / "names.json"))
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"parts": {}}, "d: parts: name at least one file of features"),
        ({"parts": {"train": "a.pt"}}, "'a.pt' must end in .npy, .npz, .parquet or .safetensors"),
        ({"parts": {"train": "a.npy"}}, "labels.train: missing: the labels of 'a.npy' need a file"),
        ({"labels": {"trian": "b.npy"}}, "labels.trian: there is no such part: did you mean 'tra"),
        ({"splits": {}}, "splits.train: missing: say which images it takes"),
    ],
)
def test_options_without_sense_are_refused(tmp_path, changed, said):
    options = options_of(tmp_path / "own", "npz")
    with pytest.raises(ConfigError, match=re.escape(said)):
        prepare(tmp_path, "features", **{**options, **changed})


def test_missing_files_say_how_to_get_them(tmp_path):
    parts = {part: f"{tmp_path}/{part}.npz" for part in COUNTS}
    np.savez(parts["val"], features=features_of("val"), labels=labels_of("val"))
    found = kind.problems(kind.Options(parts, class_names=f"{tmp_path}/names.txt"))
    assert found == [
        f"{tmp_path}/train.npz is missing: put it there, or name another under parts.train",
        f"{tmp_path}/test.npz is missing: put it there, or name another under parts.test",
        f"{tmp_path}/names.txt is missing: put it there, or name another under class_names",
    ]
    (first, *_) = kind.problems(kind.Options(parts, made_by="python make.py"))
    assert "run python make.py, or name another under parts.train" in first
