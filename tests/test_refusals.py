"""What a config asks for in vain is refused before any job, with one message and no traceback."""

from __future__ import annotations

import shutil

import pytest

from cobaye.config import yaml_files
from cobaye.data import datasets
from cobaye.errors import ConfigError, DataError
from cobaye.planning import refusals
from cobaye.storage import files
from tests.conftest import edit, load
from tests.test_config import broken

STUDY = "studies/tiny.yaml"
IMAGES = "studies/tiny-images.yaml"
GRID = "models:\n  linear: {kind: linear}\noptimizers:\n  sgd:\n    grid: {FIELD: [0.1]}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight_decays:", 'analyses: {classes: {against: "7"}}\nweight_decays:', "against: no we"),
        ("learning_rate: 0.1", "learning_rate: true", "sgd.learning_rate: true: expected a number"),
        ("epochs: 4", "epochs: yes", "optimizers.sgd.epochs: true: expected a number"),
        ("momentum: 0.9", "momentum: no", "sgd.algorithm.momentum: false: expected a number"),
        ("step_size: 2", "step_size: on", "sgd.schedule.step_size: true: expected a number"),
        ("dataset:", "seeds: [0, true]\ndataset:", "seeds[1]: true: expected a number"),
        ("dataset:", "seeds: [1180591620717411303424]\ndataset:", "seeds[0]: 1180591620717411303"),
        ("learning_rate: 0.1", "learning_rate: 1.0e+308", "learning_rate: 1e+308: input should be"),
        ("epochs: 4", "epochs: 4\n    l1: 1.0e+300", "sgd.l1: 1e+300: input should be less than"),
        ('"1e-2"', '"1e300"', "weight_decays: '1e300': a weight decay is a finite number ≥ 0"),
        ("epochs: 4", "epochs: 0x" + "f" * 5000, "not YAML: line 12: a number of more than 256 "),
        ("linear: {", "l" * 300 + ": {", "300 letters: names stand in paths: at most 200"),
        ("linear: {", "no: {", "YAML takes the key 'no' for False: put it in quotes, line"),
        ("dataset:", "on: 1\ndataset:", "YAML takes the key 'on' for True: put it in quotes"),
        ("algorithm: {kind: sgd, momentum: 0.9}", "algorithm: sgd\n    grid: {algorithm.momentum: "
         "[0]}", "algorithm.momentum: algorithm is 'sgd' in the entry, not keys and values"),
        ("epochs: 4", "epochs: 4\n    stop: null\n    grid: {stop.early.patience: [1]}",
         "grid.stop.early.patience: stop is None in the entry, not keys and values"),
        ("epochs: 4", "epochs: 4\n    grid: {learning_rate.x: [1]}",
         "grid.learning_rate.x: learning_rate is 0.1 in the entry, not keys and values"),
        ("schedule: {kind: step, step_size: 2, gamma: 0.1}", "grid: {schedule: [{1: 2}]}",
         "schedule"),
    ],
)  # fmt: skip
def test_a_value_that_was_accepted_or_ended_in_a_traceback(folder, old, new, said):
    assert said in broken(folder, STUDY, old, new)


def test_a_lambda_that_one_optimizer_lacks_is_refused(folder):
    edit(folder, STUDY, "weight_decays:", 'analyses: {classes: {against: "1e-2"}}\nweight_decays:')
    assert load(folder).studies["tiny"].analyses["classes"].options["against"] == "1e-2"
    text = (folder / STUDY).read_text()
    entry = text.partition("  sgd:")[2].partition("weight_decays:")[0].partition("analyses:")[0]
    other = f'  other:{entry.rstrip()}\n    weight_decays: ["0"]\nanalyses:'
    said = broken(folder, STUDY, "analyses:", other)
    assert "against: no weight decay of optimizers.other '1e-2'" in said


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("file", [STUDY, "datasets.yaml"])
def test_a_file_that_is_no_utf8_is_named(folder, file, encoding):
    text = (folder / file).read_text() + "# é\n"
    (folder / file).write_bytes(text.encode(encoding))
    with pytest.raises(ConfigError, match=f"{file}: not UTF-8 .*: save it as UTF-8"):
        load(folder)


def test_yaml_that_is_nested_too_deeply_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("a: " + "[" * 3000 + "]" * 3000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        yaml_files.read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("name", [".#tiny.yaml", "._tiny.yaml", "#tiny.yaml"])
def test_files_of_editors_and_systems_are_no_studies(folder, name):
    (folder / "studies" / name).write_bytes(b"\x00\xff")
    assert set(load(folder).studies) == {"tiny", "tiny-backbone", "tiny-images"}


@pytest.mark.parametrize("name", ["mine.yml", "a/b.yaml"])
def test_a_study_that_would_not_be_read_is_refused(folder, name):
    path = folder / "studies" / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(folder / STUDY, path)
    with pytest.raises(ConfigError, match=f"{name}: a study is a file .*studies/<name>.yaml"):
        load(folder)


@pytest.mark.parametrize("kind", ["convnet", "vgg16"])
def test_a_network_is_refused_whose_images_are_too_small(folder, tmp_path, kind):
    edit(folder, IMAGES, "{kind: linear}", f"{{kind: {kind}}}")
    (said,) = refusals.of_network(load(folder), "tiny-images", "linear", tmp_path)
    assert f"studies/tiny-images.yaml: models.linear.kind: {kind!r} takes images of 32×32" in said
    assert "those of tiny-digits have 8×8: set its resize" in said
    edit(folder, IMAGES, kind, f"{kind}, resize: 32")
    assert refusals.of_network(load(folder), "tiny-images", "linear", tmp_path) == []


def test_images_count_as_they_were_prepared(folder, tmp_path):
    edit(folder, IMAGES, "{kind: linear}", "{kind: convnet}")
    place = tmp_path / "resources/datasets/tiny-digits/manifest.json"
    files.write_json(place, {"info": {"shape": [1, 32, 32]}})
    assert refusals.of_network(load(folder), "tiny-images", "linear", tmp_path) == []
    files.write_json(place, {"info": {"shape": [1, 40, 31]}})
    assert "have 40×31" in refusals.of_network(load(folder), "tiny-images", "linear", tmp_path)[0]


def test_a_network_that_torchvision_lacks_is_refused(folder):
    edit(folder, IMAGES, "{kind: linear}", "{kind: torchvision, model: resnet19}")
    (said,) = refusals.of_network(load(folder), "tiny-images", "linear")
    assert "models.linear.model: no torchvision network 'resnet19': did you mean" in said


def test_a_class_that_a_figure_names_is_looked_for_where_it_is_prepared(folder, tmp_path):
    edit(
        folder,
        STUDY,
        "weight_decays:",
        "figures: {helped-harmed: {classes: 2}, three-classes: {classes: [a, '2', k]}}\n"
        "weight_decays:",
    )
    config = load(folder)
    assert refusals.of_figure(config, "tiny", "three-classes", tmp_path) == []
    path = tmp_path / "resources/datasets/tiny-glyphs/classes.json"
    files.write_json(path, [{"name": name} for name in "abcdef"])
    # A number of classes names none.
    assert refusals.of_figure(config, "tiny", "helped-harmed", tmp_path) == []
    (said,) = refusals.of_figure(config, "tiny", "three-classes", tmp_path)
    assert "studies/tiny.yaml: figures.three-classes.classes: no class 'k' in tiny-glyphs" in said


def test_class_names_that_are_no_text_are_refused():
    import numpy as np

    images, labels = np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 1])
    splits = dict.fromkeys(("train", "val", "test"), (images, labels))
    moved = dict.fromkeys(splits, (images, labels + 1))
    with pytest.raises(DataError, match=r"class '\\ud800' \(label 1\): not UTF-8"):
        datasets.check(datasets.Prepared([{"name": "a"}, {"name": "\ud800"}], splits))
    with pytest.raises(DataError, match=r"from 1 to 2, .* the first class has the label 0"):
        datasets.check(datasets.Prepared([{"name": "a"}, {"name": "b"}], moved))


def test_a_border_that_reflects_more_than_the_image_is_refused():
    import torch

    from cobaye.training.augmentations import crop

    options = crop.Options(padding=8, fill="reflect")
    with pytest.raises(ConfigError, match=r"crop: padding: 8: fill: reflect .* of 8×8 pixels"):
        crop.augment(torch.zeros(1, 1, 8, 8), options, torch.Generator())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"studies: [tiny]\n# caf\xe9\n", "config/config.yaml: not UTF-8"),
        (b"studies: [tiny]\nstudies: [tiny-images]\n", "'studies' stands twice"),
        (b"__use_yte__: true\nstudies: [tiny]\n", "config files are data"),
        (b"on: 1\nstudies: [tiny]\n", "YAML takes the key 'on' for True"),
    ],
)
def test_snakemake_reads_its_config_strictly(fresh, text, said):
    fresh.path("config/config.yaml").write_bytes(text)
    done = fresh.run("-n", check=False)
    assert done.returncode == 1
    assert said in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_a_network_that_cannot_be_built_stops_a_run_before_any_job(fresh):
    fresh.edit("config/studies/tiny-images.yaml", "{kind: linear}", "{kind: convnet}")
    done = fresh.run("tiny-images", check=False)
    assert "takes images of 32×32 pixels and more, and those of tiny-digits have 8×8" in done.stdout
    assert not fresh.path("resources").exists()
