"""Studies are read when something asks for them, and those that nobody asks for stop nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cobaye import figures
from cobaye.config import Config, study_files
from cobaye.errors import ConfigError
from cobaye.planning import asked
from tests.conftest import edit, new_project

IMAGES = "studies/tiny-images.yaml"


@pytest.fixture
def config(folder, monkeypatch):
    """The tiny config; `read`: the names of the studies that were read, in their order."""
    names, read = [], study_files.read
    (folder / "backbones.yaml").write_text(
        (folder / "backbones.yaml").read_text()
        + "other: {run: {study: nowhere, model: m, optimizer: o, weight_decay: '0'}}\n"
    )

    def count(file, *arguments):
        names.append(file.stem)
        return read(file, *arguments)

    monkeypatch.setattr(study_files, "read", count)
    found = Config({"studies": ["tiny"]}, folder, figures.names())
    found.read = names
    return found


@pytest.mark.parametrize(
    ("targets", "mentions", "wanted"),
    [
        (["default"], [], ["tiny", "tiny-backbone"]),
        (["all"], [], ["tiny", "tiny-backbone"]),
        (["tiny-images"], [], ["tiny-images"]),
        (["results/tiny-images/figures/test-curves.svg"], [], ["tiny-images"]),
        (["train tiny-images linear sgd 1e-3 0"], [], ["tiny-images"]),
        (["train_together_tiny-images_all"], [], ["tiny-images"]),
        (["resources/backbones/tiny-backbone.safetensors"], [], ["tiny-backbone"]),
        (["results/features/tiny-glyphs/tiny-backbone/val/labels.npy"], [], ["tiny-backbone"]),
        (["resources/datasets/tiny-digits/manifest.json"], [], []),
        (["verify"], ["--forcerun results/tiny-images/story.md"], ["tiny-images"]),
        (["verify", "no-such-name"], [], ["tiny", "tiny-backbone", "tiny-images"]),
        ([""], [], ["tiny", "tiny-backbone", "tiny-images"]),
    ],
)
def test_what_is_asked_for_is_read_with_its_origins_and_nothing_else(
    config, targets, mentions, wanted
):
    studies, warnings = asked.studies(config, targets, mentions)
    assert (sorted(study.name for study in studies), warnings) == (sorted(wanted), [])
    assert sorted(config.read) == sorted(wanted)


def test_a_broken_study_stops_only_those_who_ask_for_it(config, folder):
    edit(folder, IMAGES, "learning_rate", "learning_rat")
    wrong = r"studies/tiny-images.yaml: optimizers.sgd.learning_rat: "
    assert asked.studies(config, ["tiny"])[1] == []
    for mentioned in (["verify"], ["tiny-images"]), (["no-such-name"], []):
        studies, warnings = asked.studies(config, *mentioned)
        assert "tiny-images" not in [study.name for study in studies]
        assert len(warnings) == 1
        assert "learning_rat:" in warnings[0]
    with pytest.raises(ConfigError, match=wrong):
        asked.studies(config, ["results/tiny-images/story.md"])


def test_a_broken_origin_stops_those_who_need_it(config, folder):
    edit(folder, "studies/tiny-backbone.yaml", "learning_rate", "learning_rat")
    with pytest.raises(ConfigError, match=r"studies/tiny-backbone.yaml: .*learning_rat"):
        asked.studies(config, ["tiny"])
    assert [study.name for study in asked.studies(config, ["tiny-images"])[0]] == ["tiny-images"]


def test_a_broken_backbone_stops_those_who_use_it(config):
    with pytest.raises(ConfigError, match=r"backbones.yaml: other.run.study: no study 'nowhere'"):
        asked.studies(config, ["prepare_backbone other"])


# Snakemake in a process that says which studies it read, and how many sources it parsed.
COUNTED = """
import sys
sys.path.insert(0, "workflow")
from cobaye.config import study_files
from cobaye.storage import code_digest
from snakemake.cli import main
read, parse, studies, parsed = study_files.read, code_digest._parsed, [], []
study_files.read = lambda file, *rest: (studies.append(file.stem), read(file, *rest))[1]
code_digest._parsed = lambda data: (parsed.append(data), parse(data))[1]
try: main(sys.argv[1:])
except SystemExit as end: assert not end.code, end.code
print("READ", *sorted(studies), len(parsed))
"""


@pytest.mark.slow
def test_a_call_reads_each_study_that_it_needs_once_and_no_source_twice(tmp_path):
    project = new_project(tmp_path / "project")
    edit(project.path("config"), "config.yaml", "[tiny, tiny-images]", "[tiny]")
    edit(project.path("config"), IMAGES, "learning_rate", "learning_rat")

    def read(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", COUNTED, "-q", "--cores", "1", *arguments],
            cwd=project.folder,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        *studies, parsed = done.stdout.splitlines()[-1].split()[1:]
        return studies, int(parsed), done.stderr

    studies, parsed, said = read("-n")
    assert (studies, "learning_rat" in said) == (["tiny", "tiny-backbone"], False)
    assert parsed > 40
    assert read("-n")[:2] == (studies, 0)
    studies, _, said = read("--list-rules")
    assert (studies, "learning_rat: " in said) == (["tiny", "tiny-backbone", "tiny-images"], True)
    done = project.run("-n", "tiny-images", check=False)
    assert done.returncode != 0
    assert "studies/tiny-images.yaml: optimizers.sgd.learning_rat: " in done.stdout
    assert "Traceback" not in done.stdout
    done = project.run("-n", "results/tiny/runs/linear/sgd/wd-7/seed-0/train.json", check=False)
    assert "the study has no run results/tiny/runs/linear/sgd/wd-7/seed-0" in done.stdout
    done = project.run("-n", "results/tinny/runs/linear/sgd/wd-0/seed-0/train.json", check=False)
    assert "no study 'tinny': did you mean 'tiny'?" in done.stdout
