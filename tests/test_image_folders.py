"""Trees of images are read as torchvision reads them, each image once, no label shifted."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cobaye.data import datasets, image_files
from cobaye.data.datasets import _folders, image_folder, image_folder_resized
from cobaye.errors import ConfigError, DataError
from cobaye.storage import staleness
from tests import archives
from tests.archives import arrays, grey_of, prepare
from tests.conftest import ROOT, load
from tests.drawing import drawn, texts

COUNTS = {
    "train": {"cat": 4, "dog": 5, "eel": 3},
    "val": {"cat": 2, "dog": 2, "eel": 2},
    "test": {"cat": 1, "dog": 2, "eel": 1},
}


@pytest.fixture
def tree(tmp_path):
    archives.write_tree(tmp_path / "tree", COUNTS)
    return tmp_path / "tree"


@pytest.fixture
def odd(tree):
    """The tree with a broken JPEG in train, a CMYK one, a greyscale one, a 1-pixel one, a long one.

    The broken one is in the middle of `dog`, so that a label would shift.
    """
    archives.break_jpeg(tree / "train/dog/002.jpg")
    Image.new("CMYK", (20, 14), (0, 255, 255, 0)).save(tree / "train/cat/001.jpg")
    Image.new("L", (9, 30), 77).save(tree / "train/cat/002.jpg")
    Image.new("RGB", (1, 1), (10, 200, 30)).save(tree / "train/eel/000.png")
    Image.new("RGB", (1, 4000), (10, 20, 200)).save(tree / "train/eel/001.png")
    return tree


def index_of(folder, split):
    return json.loads((folder / split / "index.json").read_text())


def written(root):
    folder = root / "resources"
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def test_files_are_listed_and_not_opened(tmp_path, odd):
    manifest, folder = prepare(tmp_path, "image-folder", folder=str(odd))
    assert manifest.info == {
        "form": "files",
        "classes": 3,
        "shape": None,
        "images": {"train": 14, "val": 6, "test": 4},  # two PNGs were added
    }
    assert index_of(folder, "test") == {
        "root": str(odd),
        "paths": ["test/cat/000.jpg", "test/dog/000.jpg", "test/dog/001.jpg", "test/eel/000.jpg"],
    }
    assert np.load(folder / "test/labels.npy").tolist() == [0, 1, 1, 2]
    assert datasets.class_names(folder / "classes.json") == ["cat", "dog", "eel"]
    assert archives.form("image-folder") == "files"


def test_a_part_without_a_class_keeps_the_labels_of_train(tmp_path, tree):
    for file in (tree / "val/cat").iterdir():
        file.unlink()
    (tree / "val/cat").rmdir()
    _, folder = prepare(tmp_path, "image-folder", folder=str(tree))
    assert np.load(folder / "val/labels.npy").tolist() == [1, 1, 2, 2]


def test_the_validation_set_cut_in_two(tmp_path, tree):
    splits = {
        "train": {"of": "train"},
        "val": {"of": "val", "fraction": 0.5, "stratified": True},
        "test": {"of": "val"},
    }
    _, folder = prepare(tmp_path, "image-folder", folder=str(tree), splits=splits)
    for split in ("val", "test"):
        assert np.load(folder / split / "labels.npy").tolist() == [0, 1, 2]
    paths = index_of(folder, "val")["paths"] + index_of(folder, "test")["paths"]
    assert len(set(paths)) == 6
    assert all(path.startswith("val/") for path in paths)


def test_squares(tmp_path, tree):
    manifest, folder = prepare(tmp_path, "image-folder-resized", folder=str(tree), size=8)
    assert manifest.info["form"] == archives.form("image-folder-resized") == "images"
    assert manifest.info["shape"] == [3, 8, 8]
    images, labels = arrays(folder, "train")
    expected = [grey_of(label, i) for label, n in enumerate((4, 5, 3)) for i in range(n)]
    assert abs(images.mean(axis=(1, 2, 3)) - expected).max() < 1.5
    assert labels.tolist() == [0] * 4 + [1] * 5 + [2] * 3


def test_all_unreadable_images_are_listed_and_nothing_written(tmp_path, odd):
    (odd / "val/cat/000.jpg").write_bytes(b"")
    with pytest.raises(DataError) as found:
        prepare(tmp_path, "image-folder-resized", folder=str(odd), size=8)
    message = str(found.value)
    assert "2 images cannot be decoded" in message
    assert "skip_unreadable: true" in message
    assert f"{odd}/train/dog/002.jpg: OSError" in message
    assert f"{odd}/val/cat/000.jpg: UnidentifiedImageError" in message
    assert written(tmp_path) == []


def test_a_skipped_image_shifts_no_label(tmp_path, odd):
    manifest, folder = prepare(
        tmp_path, "image-folder-resized", folder=str(odd), size=8, skip_unreadable=True
    )
    assert manifest.info["skipped"] == {"train": ["train/dog/002.jpg"], "val": [], "test": []}
    assert manifest.info["images"]["train"] == 13
    images, labels = arrays(folder, "train")
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 5
    means = images.mean(axis=(2, 3)).round()
    # The greys of dogs 0, 1, 3, 4.
    assert abs(means[4:8, 0] - [grey_of(1, i) for i in (0, 1, 3, 4)]).max() < 1.5
    cmyk, grey = means[1], means[2]
    assert cmyk[0] > 240
    assert max(cmyk[1:]) < 15
    assert abs(grey - 77).max() < 1.5
    # After 000.jpg in the folder's order: the 1-pixel one, then 001.jpg, then the long one.
    by_colour = {tuple(row) for row in means[8:].astype(int).tolist()}
    assert {(10, 200, 30), (10, 20, 200)} <= by_colour


@pytest.mark.parametrize("shape", [(10, 30), (60, 20), (10, 10), (33, 47)])
def test_a_square_is_what_torchvision_resizes_and_crops(tmp_path, shape):
    from torchvision.transforms import functional

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8))
    image.save(tmp_path / "a.png")
    expected = functional.center_crop(functional.resize(image, [5]), [5])
    found = image_folder_resized.square((tmp_path / "a.png").read_bytes(), 5)
    # 33 × 47 does not resize to whole pixels: torchvision stretches it a little.
    most = 40 if shape == (33, 47) else 1
    assert abs(np.asarray(expected).transpose(2, 0, 1) - found.astype(int)).max() <= most


def test_a_class_without_images_is_named(tmp_path, tree):
    (tree / "train/fox").mkdir()
    with pytest.raises(DataError, match=r"nothing of 1 of the 4 classes: 'fox' \(label 3\)"):
        prepare(tmp_path, "image-folder", folder=str(tree))
    assert written(tmp_path) == []


def test_a_class_whose_images_are_all_skipped_is_named(tmp_path, tree):
    for file in (tree / "train/eel").iterdir():
        file.write_bytes(b"not an image")
    options = {"folder": str(tree), "size": 8, "skip_unreadable": True}
    with pytest.raises(DataError, match=r"classes: 'eel' \(label 2\)"):
        prepare(tmp_path, "image-folder-resized", **options)
    assert written(tmp_path) == []


def test_a_class_that_train_has_not_is_refused(tmp_path, tree):
    (tree / "val/dgo").mkdir()
    with pytest.raises(DataError, match=r"class 'dgo' is not one of train's .* mean 'dog'"):
        prepare(tmp_path, "image-folder", folder=str(tree))
    assert written(tmp_path) == []


def test_missing_folders_are_one_sentence_each(tmp_path, tree):
    (message,) = image_folder.problems(image_folder.Options(str(tmp_path / "none")))
    assert f"{tmp_path}/none is missing: put the test/<class>/ and train/<class>/ and" in message
    splits = {**{name: {"of": name} for name in ("train", "val")}, "test": {"of": "tets"}}
    (message,) = image_folder.problems(image_folder.Options(str(tree), splits=splits))
    assert f"{tree}/tets is missing" in message
    assert "did you mean 'test'?" in message
    (tree / "empty").mkdir()
    splits["test"] = {"of": "empty"}
    (message,) = image_folder.problems(image_folder.Options(str(tree), splits=splits))
    assert f"{tree}/empty has no folders" in message


def test_imagenet_is_asked_for_where_it_should_be(tmp_path, tree):
    options = image_folder.Options(str(tmp_path / "imagenet"), class_names="imagenet")
    (message,) = image_folder.problems(options)
    assert "put ImageNet's test/<class>/" in message
    assert "set folder:" in message
    options = image_folder.Options(str(tree), class_names="imagenet")
    (message,) = image_folder.problems(options)
    assert "has 3 classes, 0 of them named like that: set class_names: folder" in message


def test_imagenet_has_human_names(tmp_path):
    """Torchvision's words for the 1,000 folders, by their order: n01440764 is the tench."""
    folder = tmp_path / "imagenet"
    wnids = [f"n{1440764 + 10 * label:08d}" for label in range(1000)]
    for part in ("train", "val"):
        for wnid in wnids:
            (folder / part / wnid).mkdir(parents=True)
            for number in range(1 if part == "train" else 2):
                (folder / part / wnid / f"{number}.JPEG").write_bytes(b"")
    splits = {
        "train": {"of": "train"},
        "val": {"of": "val", "fraction": 0.5, "stratified": True},
        "test": {"of": "val"},
    }
    options = {"folder": str(folder), "class_names": "imagenet", "splits": splits}
    manifest, made = prepare(tmp_path, "image-folder", **options)
    assert manifest.info["images"] == {"train": 1000, "val": 1000, "test": 1000}
    classes = json.loads((made / "classes.json").read_text())
    assert classes[0] == {"name": "tench", "wnid": "n01440764"}
    assert len({entry["name"] for entry in classes}) == _folders.IMAGENET_CLASSES
    assert (np.load(made / "val/labels.npy") == np.arange(1000)).all()


def test_imagenet_is_drawn_as_in_the_report(tmp_path):
    """From the folders' WordNet ids to the classes and windows that config/studies names."""
    known = {0: 1440764, 344: 2398521, 921: 7248320, 999: 15075141}
    places = sorted(known)
    ids = np.interp(range(1000), places, [known[place] for place in places]).astype(int)
    for part, wnid in itertools.product(("train", "val"), ids):
        place = tmp_path / f"tree/{part}/n{wnid:08d}"
        place.mkdir(parents=True)
        for name in "ab":
            (place / f"{name}.JPEG").touch()
    config = load(ROOT / "config")
    options = config.datasets["imagenet"].kind.options | {"folder": str(tmp_path / "tree")}
    prepare(tmp_path, "image-folder", **options)
    names = datasets.names("d", tmp_path)
    assert (names[344], names[921]) == ("hippopotamus", "book jacket")
    of_study = config.studies["imagenet"]
    lambdas = of_study.weight_decays
    pair = {"model": "linear", "optimizer": "sgd"}
    rows = [
        {"weight_decay": label, "seed": 0, "split": "test", "class": number, "name": name}
        | {**pair, "n": 25, "loss": 1 + abs(lambdas.index(label) - (1 if number == 344 else 8))}
        for label in lambdas
        for number, name in enumerate(names)
    ]
    best = pd.DataFrame([{**pair, "weight_decay": "3.162e-4", "val_loss": 1.0}])
    run = {**pair, "seed": 0, "epochs": 90, "finite": True}
    counts = [{**pair, "weight_decay": "1e-4", "label": 30, "predicted": 31, "n": 2}]
    counts += [{**counts[0], "weight_decay": "3.162e-4", "predicted": 99}]
    tables = {
        "classes": pd.DataFrame(rows),
        "runs": pd.DataFrame([{**run, "weight_decay": label} for label in lambdas]),
        "best-lambda": best,
        "best-lambda-per-class": pd.DataFrame(columns=["class"]),
        "confusion": pd.DataFrame(counts),
    }
    said = texts(drawn("three-classes", tables, **of_study.figures["three-classes"].options))
    for name, lowest in (("hippopotamus", "1e-7"), ("book jacket", "1e-3")):
        assert f"“{name}”,\nlowest at {lowest}" in said
    for figure, ends in (("confusion", (0, 100)), ("confusion-zoom", (25, 75))):
        ax = drawn(figure, tables, **of_study.figures[figure].options).axes[0]
        assert tuple(ax.get_xlim()) == (ends[0] - 0.5, ends[1] + 0.5)
        assert ax.images[0].get_array()[30 - ends[0], 31 - ends[0]] == 1
        assert "λ = 1e-4; most frequent: 2 of 2" in ax.get_title("left")


def test_a_size_without_sense_is_refused(tmp_path, tree):
    with pytest.raises(ConfigError, match="d: size: 0 must be at least 1"):
        prepare(tmp_path, "image-folder-resized", folder=str(tree), size=0)


def test_a_folder_that_links_to_itself_adds_no_image(tmp_path, tree):
    (tree / "train/cat/loop").symlink_to(".")
    (tree / "train/dog/loop").symlink_to("..")
    with pytest.raises(DataError, match=r"dog/loop/cat/000\.jpg and .*train/cat/000\.jpg are"):
        prepare(tmp_path, "image-folder", folder=str(tree))
    (tree / "train/dog/loop").unlink()
    manifest, folder = prepare(tmp_path, "image-folder", folder=str(tree))
    assert manifest.info["images"]["train"] == 12
    assert len(set(index_of(folder, "train")["paths"])) == 12


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("test/cat/more", "../../train/cat"),  # a folder in another split
        ("train/cat/more", "../dog"),  # in another class
        ("test/cat/again.jpg", "../../train/cat/001.jpg"),  # a file
    ],
)
def test_an_image_that_is_reached_twice_is_refused_by_both_names(tmp_path, tree, place, target):
    (tree / place).symlink_to(target)
    with pytest.raises(DataError, match=r"are one file, through a link: .* remove one") as found:
        prepare(tmp_path, "image-folder", folder=str(tree))
    assert str(tree / place) in str(found.value)
    assert written(tmp_path) == []


def test_links_to_images_elsewhere_are_followed_and_watched(tmp_path, tree):
    """As people do who take a few classes of ImageNet."""
    chosen = tmp_path / "chosen"
    for part in COUNTS:
        (chosen / part).mkdir(parents=True)
        (chosen / part / "dog").symlink_to(tree / part / "dog")
        (chosen / part / "eel").mkdir()
        for file in (tree / part / "eel").iterdir():
            (chosen / part / "eel" / file.name).symlink_to(file)
    manifest, folder = prepare(tmp_path, "image-folder-resized", folder=str(chosen), size=8)
    assert manifest.info["images"] == {"train": 8, "val": 4, "test": 3}
    assert arrays(folder, "train")[1].tolist() == [0] * 5 + [1] * 3
    listed = staleness.listing_sha256(chosen / "train")
    (tree / "train/dog/new.jpg").write_bytes(b"")
    assert staleness.listing_sha256(chosen / "train") != listed


@pytest.mark.parametrize("kind", ["image-folder", "image-folder-resized"])
def test_images_of_an_ending_that_is_not_read_are_refused(tmp_path, tree, kind):
    (tree / "train/cat/notes.txt").write_text("no image")
    (tree / "train/cat/Thumbs.db").write_text("no image")
    options = {"folder": str(tree), **({"size": 8} if kind == "image-folder-resized" else {})}
    prepare(tmp_path, kind, **options)
    Image.new("L", (5, 5)).save(tree / "train/cat/004.gif")
    with pytest.raises(DataError, match=r"train/cat/004\.gif: .* \.webp\): convert it, or remove"):
        prepare(tmp_path, kind, **options)


def test_names_that_are_no_utf8_are_refused(tmp_path, tree):
    latin = os.path.join(os.fsencode(tree), b"train/cat/caf\xe9.jpg")
    with open(latin, "wb"):
        pass
    with pytest.raises(DataError, match=r"caf\\udce9\.jpg': the name is not UTF-8: rename it"):
        prepare(tmp_path, "image-folder", folder=str(tree))
    os.remove(latin)
    os.mkdir(os.path.join(os.fsencode(tree), b"train/caf\xe9"))
    with pytest.raises(DataError, match="not UTF-8"):
        prepare(tmp_path, "image-folder", folder=str(tree))
    assert written(tmp_path) == []


def test_a_pipe_named_as_an_image_is_unreadable(tmp_path, tree):
    os.mkfifo(tree / "train/cat/004.png")
    with pytest.raises(DataError, match=r"004\.png: OSError: .*not a file"):
        prepare(tmp_path, "image-folder-resized", folder=str(tree), size=8)


def grey(path):
    """Return the pixels of an image as they are read, and that its colours are equal."""
    pixels = np.asarray(image_files.decode(path.read_bytes()))
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0].tolist()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_keep_their_shades(tmp_path, name):
    values = np.array([[0, 257, 256 * 128, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    assert grey(tmp_path / name) == [[0, 1, 128, 255]]


def test_floats_are_taken_from_zero_to_one(tmp_path):
    Image.fromarray(np.array([[0, 0.2, 0.5, 1]], np.float32)).save(tmp_path / "a.tif")
    assert grey(tmp_path / "a.tif") == [[0, 51, 128, 255]]


def test_floats_are_taken_between_what_their_file_states(tmp_path):
    stated = {340: -1.0, 341: 4.0}
    values = Image.fromarray(np.array([[-1, 0, 4]], np.float32))
    values.save(tmp_path / "a.tif", tiffinfo=stated)
    assert grey(tmp_path / "a.tif") == [[0, 51, 255]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[0, 200]], np.float32), "outside their range from 0 to 1"),
        (np.array([[0, np.nan]], np.float32), "outside their range from 0 to 1"),
        (np.array([[0, 70000]], np.int32), "have no known range"),
    ],
)
def test_pixels_without_a_known_range_are_refused(tmp_path, tree, values, said):
    Image.fromarray(values).save(tree / "train/cat/004.tif")
    with pytest.raises(DataError, match=f"train/cat/004.tif: ValueError: .*{said}"):
        prepare(tmp_path, "image-folder-resized", folder=str(tree), size=8)


def test_only_one_function_opens_images():
    """So that every place decodes depths alike."""
    library = Path(image_files.__file__).parents[1]
    found = [file.name for file in library.rglob("*.py") if "Image.open(" in file.read_text()]
    assert found == ["image_files.py"]
