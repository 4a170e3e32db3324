"""The page of the five reports: all that they ask for, commands that exist, our numbers."""

from __future__ import annotations

import re

import pytest
from docs.generate import reports

from cobaye import figures
from cobaye.config import Config
from cobaye.planning import targets
from cobaye.storage.paths import SPLITS
from tests.conftest import ROOT

CONFIG = Config({"studies": ["glyphs"]}, ROOT / "config", figures.names())
ROWS = reports.rows()
PAGE = (ROOT / "docs/reports.md").read_text()
COUNTS = {"S0": 14, "S1": 9, "S2": 18, "S3": 9, "S4": 6}
# Studies of no report: those that train a backbone, and an example.
OTHERS = {
    *("glyphs-axes", "glyphs-crops", "glyphs-backbone", "glyphs-backbone-seeds"),
    *("glyphs50-resnet18", "own-features"),
}


def is_known(target):
    """Tell whether the workflow has a rule and a study for a target."""
    if found := re.fullmatch(r"results/features/([^/]+)/([^/]+)/([^/]+)/manifest.json", target):
        dataset, backbone, split = found.groups()
        return dataset in CONFIG.datasets and backbone in CONFIG.backbones and split in SPLITS
    if found := re.fullmatch(r"resources/datasets/([^/]+)/manifest.json", target):
        return found[1] in CONFIG.datasets
    return target in targets.of_study(CONFIG, target.split("/")[1])


def test_every_row_is_there_once():
    wanted = [f"{name}.{number + 1}" for name, count in COUNTS.items() for number in range(count)]
    assert list(ROWS) == wanted
    assert re.findall(r"^\| (S\d\.\d+) \|", PAGE, re.M) == wanted


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_shown_by_targets_that_the_workflow_knows(name):
    row = ROWS[name]
    shown = reports.targets(CONFIG, row)
    assert len(shown) == 2
    assert shown[1], "each row has a twin, which anyone can run"
    assert shown[0] or row["without"]
    for many in shown:
        assert [target for target in many if not is_known(target)] == []
        assert not many or f"`snakemake --cores all {' '.join(many)}`" in PAGE
    assert "tests" not in row or (ROOT / f"tests/{row['tests']}.py").is_file()


def test_a_target_that_nothing_makes_is_noticed():
    for target in (
        "results/digits/figures/rotation.pdf",
        "results/digits/tables/grid.parquet",
        "results/features/glyphs/imagenet/test/manifest.json",
        "resources/datasets/gliphs/manifest.json",
    ):
        assert not is_known(target)


def test_every_number_of_the_studies_is_on_the_page():
    """That they are the numbers of the studies' files, `test_reference` checks."""
    named = {name for name in CONFIG.studies if CONFIG.studies[name].expected}
    assert {name for name in named if f"`{name}`" not in PAGE} == OTHERS
    lines = PAGE.splitlines()
    for name in sorted(named - OTHERS):
        head = next(line for line in lines if line.startswith("| value") and f"`{name}`" in line)
        assert ("a twin: ours" in head.partition(f"`{name}`")[2].partition("|")[0]) == (
            not name.startswith(("imagenet", "cifar10", "mnist"))
        )
        for value in CONFIG.studies[name].expected:
            assert any(line.startswith(f"| {value.quantity} |") for line in lines), value
            assert reports._told(value) in PAGE
