"""`cobaye init` writes a workspace that runs, or refuses and writes nothing."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from cobaye import figures
from cobaye.config import Config
from cobaye.data import suggestion
from cobaye.objective import solvers
from cobaye.objective.full_batch import FullBatch
from cobaye.workspace.command import main
from tests.conftest import ROOT, whole

WIDTH, CLASSES = 6, 4


def write_arrays(folder, rows=60, width=WIDTH, classes=CLASSES, scale=1.0):
    labels = np.arange(rows) % classes
    generator = np.random.default_rng(0)
    means = generator.standard_normal((classes, width))
    features = means[labels] + generator.standard_normal((rows, width))
    np.save(folder / "emb.npy", (scale * features).astype(np.float32))
    np.save(folder / "lab.npy", labels)


def write_images(folder, classes=("ant", "bee"), each=5):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            Image.new("RGB", (9, 7), (100 * label, 20 * number, 0)).save(
                folder / name / f"{number}.png"
            )


def load(folder, monkeypatch):
    monkeypatch.chdir(folder)
    settings = yaml.safe_load((folder / "config/config.yaml").read_text())
    return whole(Config(settings, folder / "config", figures.names()))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


FEATURES = ["--features", "emb.npy", "--labels", "lab.npy"]


def test_features_become_a_workspace_that_the_workflow_reads(here, monkeypatch, capsys):
    write_arrays(here)
    assert main(["init", "my-study", *FEATURES]) == 0
    files = {str(path.relative_to(here)) for path in here.rglob("*.yaml")}
    assert files == {
        "config/config.yaml",
        "config/datasets.yaml",
        "config/backbones.yaml",
        "config/studies/my-study.yaml",
        "profiles/default/config.yaml",
    }
    assert "snakemake --cores all" in capsys.readouterr().out
    config = load(here, monkeypatch)
    assert config.default_studies == ["my-study"]
    options = config.datasets["my-study"].kind.options
    assert options["parts"] == {"all": "emb.npy"}
    study = config.studies["my-study"]
    assert len(study.weight_decays) == suggestion.VALUES
    assert study.optimizers["exact"].algorithm.options["gradient_norm"] < 1e-4
    assert set(study.analyses) == {"classes", "measures", "rivals"}


def test_another_folder_finds_the_same_files(here, monkeypatch):
    write_arrays(here)
    assert main(["init", "s", *FEATURES, "--folder", "deep/er"]) == 0
    options = load(here / "deep/er", monkeypatch).datasets["s"].kind.options
    assert options["parts"] == {"all": str(here / "emb.npy")}


def test_a_parquet_file_holds_its_labels(here, monkeypatch):
    write_arrays(here)
    table = {"features": list(np.load("emb.npy")), "labels": np.load("lab.npy")}
    pq.write_table(pa.table(table), "emb.parquet")
    assert main(["init", "s", "--parquet", "emb.parquet"]) == 0
    assert "labels" not in yaml.safe_load((here / "config/datasets.yaml").read_text())["s"]
    assert load(here, monkeypatch).datasets["s"].kind.options["labels"] == {}


def test_large_data_are_trained_by_sgd(here, monkeypatch):
    write_arrays(here, scale=100)
    monkeypatch.setattr(suggestion, "EXACT_WORK", 0)
    assert main(["init", "s", *FEATURES]) == 0
    study = load(here, monkeypatch).studies["s"]
    rate = study.optimizers["sgd"].learning_rate
    square = np.mean(np.sum(np.load("emb.npy") ** 2.0, axis=1))
    assert rate == pytest.approx(suggestion.STEP / square, rel=0.3)


@pytest.mark.parametrize(
    ("parts", "splits"),
    [
        ([""], {"train": "images", "val": "images", "test": "images"}),
        (["train"], {"train": "train", "val": "train", "test": "train"}),
        (["train", "test"], {"train": "train", "val": "train", "test": "test"}),
        (["train", "val"], {"train": "train", "val": "val", "test": "val"}),
        (["train", "val", "test"], {"train": "train", "val": "val", "test": "test"}),
    ],
)
def test_images_in_each_usual_layout(here, monkeypatch, parts, splits):
    for part in parts:
        write_images(here / "images" / part)
    assert main(["init", "s", "--images", "images"]) == 0
    config = load(here, monkeypatch)
    kind = config.datasets["s"].kind
    assert kind.kind == "image-folder-resized"
    assert {split: rule["of"] for split, rule in kind.options["splits"].items()} == splits
    assert config.backbones["s-resnet-small"].study == "s-backbone"
    assert config.studies["s"].backbones == ("s-resnet-small",)


def test_small_image_sets_get_more_epochs(here, monkeypatch):
    write_images(here / "images")
    assert main(["init", "s", "--images", "images"]) == 0
    assert load(here, monkeypatch).studies["s-backbone"].optimizers["sgd"].epochs == 100


@pytest.mark.parametrize("backbone", ["my_model:net", "timm:resnet18", 'open_clip:ViT-B-32/a"b'])
def test_images_and_a_backbone_that_other_code_gives(here, monkeypatch, backbone):
    write_images(here / "images")
    (here / "my_model.py").write_text("def net():\n    raise OSError('not called yet')\n")
    assert main(["init", "s", "--images", "images", "--backbone", backbone]) == 0
    config = load(here, monkeypatch)
    assert config.datasets["s"].kind.kind == "image-folder"
    assert config.backbones["s-backbone"].callable == backbone
    assert list(config.studies) == ["s"]
    assert config.studies["s"].backbones == ("s-backbone",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("my_model:net", "--backbone: callable: my_model: my_model.py is missing in "),
        ("resnet18", "--backbone: 'resnet18': give timm:<name>, open_clip:<name>/<weights> or <mo"),
    ],
)
def test_a_backbone_that_is_none_writes_nothing(here, capsys, given, said):
    write_images(here / "images")
    assert main(["init", "s", "--images", "images", "--backbone", given]) == 1
    assert said in capsys.readouterr().err
    assert not (here / "config").exists()
    assert main(["init", "s", *FEATURES, "--backbone", given]) == 1
    assert "--backbone: for --images only" in capsys.readouterr().err


SHIPPED = sorted(file.stem for file in (ROOT / "config/studies").glob("*.yaml"))


@pytest.fixture(scope="module")
def shipped():
    return Config({"studies": SHIPPED}, ROOT / "config", figures.names())


@pytest.mark.parametrize("like", SHIPPED)
def test_every_shipped_study_can_be_taken_along(here, monkeypatch, shipped, like):
    assert main(["init", "mine", "--like", like]) == 0
    config = load(here, monkeypatch)
    taken, origin = config.studies["mine"], shipped.studies[like]
    assert (taken.weight_decays, taken.models) == (origin.weight_decays, origin.models)
    assert taken.optimizers == origin.optimizers
    for name in config.backbones:
        assert config.backbones[name] == shipped.backbones[name]
    for name in config.datasets:
        assert config.datasets[name] == shipped.datasets[name]
    assert f"--cores all {like}\n" not in (here / "config/studies/mine.yaml").read_text()


def test_a_script_that_makes_data_comes_along(here):
    assert main(["init", "mine", "--like", "own-features"]) == 0
    script = "config/own_features_example.py"
    assert (here / script).read_text() == (ROOT / script).read_text()


@pytest.mark.parametrize("flags", [FEATURES, ["--like", "glyphs"]])
def test_files_of_a_workspace_name_schemas_that_they_meet(here, flags):
    write_arrays(here)
    assert main(["init", "mine", *flags]) == 0
    files = sorted((here / "config").rglob("*.yaml"))
    assert len(files) >= 4
    for file in files:
        _, _, place = file.read_text().splitlines()[0].partition("yaml-language-server: $schema=")
        schema = json.loads((file.parent / place).read_text())
        jsonschema.Draft7Validator(schema).validate(yaml.safe_load(file.read_text()) or {})


def test_images_are_not_the_workspace_itself(here, capsys):
    write_images(here)
    assert main(["init", "s", "--images", "."]) == 1
    assert f"--images: {here} holds the workspace" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["config", "space"])
def test_a_file_where_a_folder_is_needed(here, capsys, place):
    write_arrays(here)
    (here / place).write_text("mine")
    folder = "." if place == "config" else "space"
    assert main(["init", "s", *FEATURES, "--folder", folder]) == 1
    assert f"{place}: a file stands where a folder is needed" in capsys.readouterr().err


def bad_labels(folder):
    np.save(folder / "lab.npy", np.arange(60) % 4 + 0.5)


def too_few_labels(folder):
    np.save(folder / "lab.npy", np.arange(59) % 4)


def labels_from_one(folder):
    np.save(folder / "lab.npy", np.arange(60) % 4 + 1)


def not_finite(folder):
    features = np.load(folder / "emb.npy")
    features[7, 2] = np.nan
    np.save(folder / "emb.npy", features)


def constant(folder):
    np.save(folder / "emb.npy", np.full((60, 3), 0.1, np.float32))


def pickled(folder):
    np.save(folder / "emb.npy", np.array([{}], object), allow_pickle=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (bad_labels, "lab.npy: expected labels as integers (N,), found floats (60,)"),
        (too_few_labels, "60 rows of features in emb.npy, but 59 labels in lab.npy"),
        (labels_from_one, "the first class has the label 0"),
        (not_finite, "1 of "),
        (constant, "emb.npy: every class has the same mean features"),
        (pickled, "emb.npy"),
        (lambda folder: (folder / "emb.npy").unlink(), "emb.npy is missing"),
    ],
)
def test_bad_arrays_are_refused_and_nothing_is_written(here, capsys, spoil, said):
    write_arrays(here)
    spoil(here)
    assert main(["init", "s", *FEATURES]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (here / "config").exists()
    assert not (here / "Snakefile").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["My study", *FEATURES], "use small letters, digits, '-', '.'"),
        (["features", *FEATURES], "may not be named 'features'"),
        (["s", "--features", "emb.npy"], "the labels of 'emb.npy' need a file of their own"),
        (["s", "--features", "emb.txt"], "'emb.txt' must end in .npy"),
        (["s", "--images", "nowhere"], "nowhere is missing"),
        (["s", "--images", "images", "--labels", "lab.npy"], "--labels: for --features"),
        (["s", "--like", "glifs"], "did you mean 'glyphs'?"),
        (["glyphs-backbone", "--like", "glyphs"], "'glyphs-backbone' is a study that 'glyphs'"),
    ],
)
def test_one_message_for_what_cannot_be_done(here, capsys, arguments, said):
    write_arrays(here)
    assert main(["init", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("cobaye: ")
    assert said in error
    assert sorted(path.name for path in here.iterdir()) == ["emb.npy", "lab.npy"]


def test_nothing_is_overwritten(here, capsys):
    write_arrays(here)
    (here / "Snakefile").write_text("mine")
    assert main(["init", "s", *FEATURES]) == 1
    assert "Snakefile: there already" in capsys.readouterr().err
    assert (here / "Snakefile").read_text() == "mine"
    assert not (here / "config").exists()


def test_a_call_that_was_killed_is_made_again(here, capsys):
    write_arrays(here)
    assert main(["init", "s", *FEATURES]) == 0
    made = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    (here / "config/datasets.yaml").unlink()
    (here / "config/studies/s.yaml").unlink()
    assert main(["init", "s", *FEATURES]) == 0
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == made
    assert main(["init", "s", *FEATURES]) == 1
    assert "there already, and no file is overwritten" in capsys.readouterr().err


def test_the_command_line_needs_no_torch():
    code = (
        "import sys; from cobaye.workspace import command, location\n"
        "print({'torch', 'snakemake', 'matplotlib'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "set()\n", done.stderr


def made(scale=1.0, rows=400):
    generator = np.random.default_rng(1)
    labels = np.arange(rows) % 5
    features = generator.standard_normal((5, 8))[labels] + generator.standard_normal((rows, 8))
    return scale * features, labels


def test_the_gradient_and_its_logits_are_those_of_autograd():
    features, labels = made()
    found = suggestion.scale_of(features, labels, 5, len(labels))
    weight = torch.zeros(5, 9, dtype=torch.float64, requires_grad=True)
    inputs = torch.cat([torch.tensor(features), torch.ones(len(labels), 1)], 1).double()
    torch.nn.functional.cross_entropy(inputs @ weight.T, torch.tensor(labels)).backward()
    assert found.gradient == pytest.approx(weight.grad.norm().item(), rel=1e-9)
    logits = inputs @ weight.grad.T
    assert found.logits == pytest.approx(logits.square().mean().sqrt().item(), rel=1e-9)
    assert found.square == pytest.approx(inputs.square().sum(1).mean().item(), rel=1e-9)


def test_the_optimum_at_the_largest_weight_decay_has_small_logits():
    features, labels = made()
    scale = suggestion.scale_of(features, labels, 5, len(labels))
    inputs, answers = torch.tensor(features), torch.tensor(labels)
    found = {}
    for factor in (1, 10, 1000):
        function = FullBatch(
            inputs, answers, 5, factor * scale.logits, penalize_bias=True,
            dtype=torch.float64, device="cpu",
        )  # fmt: skip
        solution = solvers.minimize(function, torch.zeros(5, 9), 1e-10)
        logits = inputs @ solution.theta[:, :-1].T + solution.theta[:, -1]
        found[factor] = logits.square().mean().sqrt().item()
    assert 0.3 < found[1] < 1
    assert found[10] < 0.1
    # In first order exactly.
    assert 1000 * found[1000] == pytest.approx(1, rel=5e-3)


def test_the_grid_follows_the_scale_of_the_features():
    features, labels = made()
    centred = features - features.mean(0)
    plain = suggestion.scale_of(centred, labels, 5, len(labels))
    larger = suggestion.scale_of(10 * centred, labels, 5, len(labels))
    assert larger.logits == pytest.approx(100 * plain.logits, rel=1e-9)
    shift = [float(a) / float(b) for a, b in zip(
        suggestion.weight_decays(larger.logits),
        suggestion.weight_decays(plain.logits),
        strict=True,
    )]  # fmt: skip
    assert shift == pytest.approx([100] * suggestion.VALUES)


@pytest.mark.parametrize("logits", [3.2, 0.65, 1e-7, 12345.0])
def test_the_grid_is_half_decades_from_next_to_its_scale(logits):
    grid = [float(label) for label in suggestion.weight_decays(logits)]
    assert abs(math.log10(grid[0] / logits)) <= 0.25 + 1e-4
    steps = [math.log10(a / b) for a, b in itertools.pairwise(grid)]
    assert steps == pytest.approx([0.5] * (suggestion.VALUES - 1), abs=1e-4)
