"""Every way to use the workflow outside its clone finds the same results."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import cobaye
from tests.conftest import READ, ROOT, Project

SOURCES = ("pyproject.toml", "setup.py", "LICENSE", "README.md", "Snakefile")
FOLDERS = ("workflow", "config", "profiles")
# What `snakedeploy deploy-workflow` writes to workflow/Snakefile.
DEPLOYED = """\
from snakemake.utils import min_version

min_version("6.10.0")


configfile: "config/config.yaml"


# declare the repository as a module
module cobaye:
    snakefile:
        "{snakefile}"
    config:
        config


# use all rules from the repository
use rule * from cobaye
"""


def run(*command, cwd, path=""):
    """Run a command with a PYTHONPATH, by default without."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    done.stdout += done.stderr
    return done


def good(*command, **options):
    done = run(*command, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def edit(file, **lines):
    """Replace the lines of a YAML file that begin with these keys."""
    text = file.read_text()
    for key, value in lines.items():
        text, count = re.subn(rf"^( *{key}): .*", rf"\1: {value}", text, flags=re.MULTILINE)
        assert count == 1, key
    file.write_text(text)


SGD = {"algorithm": {"kind": "sgd"}, "learning_rate": 0.1, "batch_size": 16, "epochs": 2}
WAYS = ["val", "shrunk", "groups"]


def same_in_a_notebook(space, name, optimizer):
    """Compare the estimators with a workspace's study of the same arrays, byte for byte."""
    folder, study = space / "resources/datasets/my-study", cobaye.read(space / "results/my-study")
    data = [
        np.load(folder / split / f"{of}.npy")
        for split in ("train", "val")
        for of in ("features", "labels")
    ]
    path = cobaye.WeightDecayPath([0.1, 0.001], optimizer=optimizer).fit(*data)
    classes = study.tables["classes"].query("optimizer == @name and split == 'val'")
    for place, weight_decay in enumerate(["1e-3", "1e-1"]):
        theirs = study.weights(optimizer=name, weight_decay=weight_decay)
        assert path.coefs_[place].tobytes() == theirs["head.weight"].tobytes()
        assert path.intercepts_[place].tobytes() == theirs["head.bias"].tobytes()
        losses = classes.loc[classes["weight_decay"] == weight_decay, "loss"].to_numpy()
        np.testing.assert_allclose(path.class_losses_[place], losses, rtol=READ)
    for way in WAYS:
        ours = cobaye.PerClassWeightDecay(way, path=path).fit(*data)
        chosen = pd.read_csv(study.folder / f"tables/chosen-{way}.csv").query("optimizer == @name")
        assert ours.weight_decays_.tolist() == chosen["weight_decay"].tolist()
        theirs = study.weights(optimizer=name, weight_decay=f"per-class-{way}")
        assert ours.coef_.tobytes() == theirs["head.weight"].tobytes()


# Jobs of one thread are forks: they need no imports of their own.
ONE = ("--cores", "1")
SNAKEMAKE = ("-m", "snakemake", *ONE)
SMALL = {"weight_decays": '["1e-1", "1e-3"]', "figures": "[class-loss-test]"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of what is built and deployed: building leaves files beside the sources."""
    folder = tmp_path_factory.mktemp("clone")
    for name in SOURCES:
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def wheel(clone):
    pytest.importorskip("pip", reason="an environment without pip")
    options = ("--no-deps", "--no-build-isolation", "--quiet", "-w", "dist")
    good(sys.executable, "-m", "pip", "wheel", *options, ".", cwd=clone)
    (file,) = (clone / "dist").glob("*.whl")
    return file


def test_the_wheel_holds_licence_library_workflow_config_and_profile(wheel):
    held = {
        re.sub(r"^cobaye-[^/]*dist-info/", "", name) for name in zipfile.ZipFile(wheel).namelist()
    }
    assert "licenses/LICENSE" in held
    library = (ROOT / "workflow").rglob("cobaye/**/*.py")
    assert held >= {str(file.relative_to(ROOT / "workflow")) for file in library}
    for folder, patterns in [
        (ROOT / "workflow", ["Snakefile", "rules/*", "scripts/*.py", "report/*"]),
        (ROOT, ["config/*.yaml", "config/studies/*", "profiles/*/*"]),
    ]:
        files = [file for pattern in patterns for file in folder.glob(pattern)]
        assert len(files) > len(patterns)
        assert held >= {f"cobaye_workflow/{file.relative_to(folder)}" for file in files}
    assert not [name for name in held if "egg-info" in name]


def test_licence_version_and_date_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["license"] == citation["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert project["version"] == citation["version"]
    released = f"\n## {citation['version']} ({citation['date-released']})\n"
    assert released in (ROOT / "CHANGELOG.md").read_text()


def test_the_catalogue_of_workflows_finds_what_it_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    profile = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    flags = usage["mandatory-flags"]["flags"].split("--")[1:]
    stated = {flag.split()[0]: flag.split()[1:] for flag in flags}
    for key in ("rerun-triggers", "resources"):
        assert stated[key] == profile[key]
    assert (stated["rerun-incomplete"] == []) is profile["rerun-incomplete"]
    assert set(usage["software-stack-deployment"].values()) == {False}
    assert (ROOT / "workflow/Snakefile").is_file()
    assert (ROOT / "config/README.md").is_file()


@pytest.fixture
def installed(wheel, tmp_path):
    """The folder of programs of an environment with the wheel, and all that this one has."""
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    programs = tmp_path / "venv/bin"
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install", "-q")
    good(*pip, "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=tmp_path)
    return programs


@pytest.mark.slow
def test_every_way_in_finds_the_results_of_a_workspace(clone, installed, tmp_path):
    """By the installed wheel, from a clone, and as deployed: from a clone, or from a host."""
    space, python = tmp_path / "space", installed / "python"
    space.mkdir()
    labels = np.arange(120) % 3
    generator = np.random.default_rng(0)
    means = generator.standard_normal((3, 5))
    np.save(space / "emb.npy", means[labels] + generator.standard_normal((120, 5)))
    np.save(space / "lab.npy", labels)
    given = ("--features", "emb.npy", "--labels", "lab.npy")
    good(installed / "cobaye", "init", "my-study", *given, cwd=space)
    assert str(tmp_path) not in (space / "Snakefile").read_text()
    study = space / "config/studies/my-study.yaml"
    edit(study, analyses="[classes, per-class]", **SMALL)
    stated = yaml.safe_load(study.read_text())
    stated["optimizers"]["sgd"] = SGD
    study.write_text(yaml.safe_dump({**stated, "per_class": WAYS}))

    (space / "lab.npy").rename(space / "away.npy")
    refused = run(python, *SNAKEMAKE, cwd=space)
    assert refused.returncode == 1
    assert "config/datasets.yaml: my-study: lab.npy is missing" in refused.stdout
    assert not (space / "resources").exists()
    (space / "away.npy").rename(space / "lab.npy")
    good(python, *SNAKEMAKE, cwd=space)
    assert (space / "results/my-study/story.md").exists()
    assert (space / "results/my-study/figures/class-loss-test.svg").exists()
    for name, optimizer in stated["optimizers"].items():
        same_in_a_notebook(space, name, optimizer)

    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for command in (["init", "-q"], ["add", *SOURCES, *FOLDERS], ["commit", "-qm", "x"]):
        good(*git, *command, cwd=clone)
    shutil.rmtree(space / ".snakemake")
    (space / "workflow").mkdir()
    deployed = space / "workflow/Snakefile"
    nothing = "Nothing to be done"
    elsewhere = ("-n", "-s", str(clone / "Snakefile"), "-d", str(space))
    assert nothing in Project(tmp_path).run(*elsewhere).stdout
    deployed.write_text(DEPLOYED.format(snakefile=clone / "workflow/Snakefile"))
    assert nothing in Project(space).run("-n", "-s", str(deployed)).stdout
    hosted = f"git+file://{clone}/workflow/Snakefile@HEAD"
    deployed.write_text(DEPLOYED.format(snakefile=hosted))
    assert nothing in good(python, *SNAKEMAKE, "-n", "-s", deployed, cwd=space)


def write_images(folder):
    """Write images of three classes, which differ in their colour."""
    generator = np.random.default_rng(0)
    for label in range(3):
        (folder / f"images/{label}").mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(0, 80, (32, 32, 3), np.uint8)
            pixels[..., label] += 100
            Image.fromarray(pixels).save(folder / f"images/{label}/{number}.png")


@pytest.mark.slow
def test_images_and_a_clone_on_the_path(clone, tmp_path):
    """A folder of images and a backbone trained on them; the library is found by PYTHONPATH."""
    write_images(tmp_path)
    init = (sys.executable, "-m", "cobaye", "init", "mine", "--images", "images")
    good(*init, cwd=tmp_path, path=str(clone / "workflow"))
    assert f'"{clone}/workflow/Snakefile"' in (tmp_path / "Snakefile").read_text()
    edit(tmp_path / "config/studies/mine-backbone.yaml", epochs=2)
    edit(tmp_path / "config/studies/mine.yaml", analyses="[]", **SMALL)
    Project(tmp_path).run(*ONE)
    assert (tmp_path / "results/mine/figures/class-loss-test.svg").exists()


@pytest.mark.slow
def test_images_and_a_function_of_the_workspace(clone, tmp_path):
    """The example of the tutorial; after an edit of what it imports, features are cached anew."""
    write_images(tmp_path)
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs/my-model.md").read_text(), re.DOTALL)
    sizes, model = "SIDE = 8\n", example[1].replace("(224, 224)", "(SIDE, SIDE)")
    (tmp_path / "sizes.py").write_text(sizes)
    (tmp_path / "my_model.py").write_text(f"from sizes import SIDE\n{model}")
    init = ("-m", "cobaye", "init", "mine", "--images", "images", "--backbone", "my_model:backbone")
    good(sys.executable, *init, cwd=tmp_path, path=str(clone / "workflow"))
    edit(tmp_path / "config/studies/mine.yaml", analyses="[]", **SMALL)
    project = Project(tmp_path)
    printed = project.run(*ONE).stdout
    assert re.search(r"mine: will write \d+ MB", printed)  # by the images that are there
    assert (tmp_path / "results/mine/figures/class-loss-test.svg").exists()
    features = tmp_path / "results/features/mine/mine-backbone/test/shard-00-of-01.npy"
    before = np.load(features)
    assert before.shape == (9, 512)
    (tmp_path / "sizes.py").write_text(sizes + "# a comment\n")
    assert "Nothing to be done" in project.run("-n").stdout
    (tmp_path / "sizes.py").write_text("SIDE = 12\n")
    shutil.rmtree(tmp_path / ".snakemake")
    gathered = str(features.relative_to(tmp_path).with_name("manifest.json"))
    project.run(gathered, *ONE)
    assert not np.array_equal(np.load(features), before)
    (tmp_path / "my_model.py").unlink()
    refused = project.run(gathered, check=False).stdout
    assert "config/backbones.yaml: mine-backbone.callable: my_model: my_model.py is missing in" in (
        refused
    )
    assert "Traceback" not in refused
