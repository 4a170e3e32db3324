"""Reported beside obtained: what a study expects is compared by a rule, and never stops a run."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cobaye import figures, recipes
from cobaye.config import Config
from cobaye.errors import ConfigError, CorruptFile
from cobaye.models import layers
from cobaye.planning import targets
from cobaye.planning.plan import Plan
from cobaye.recipes.expected_value import ExpectedValue
from cobaye.storage import table_names
from cobaye.storage.manifests import read_manifest
from cobaye.tables import expected
from cobaye.tables.writing import write_csv
from cobaye.workspace import command
from tests.conftest import ROOT, Project, edit, load, new_project
from tests.jobs import job

TABLE = pd.DataFrame(
    {
        "optimizer": ["sgd", "sgd", "adam", "adam"],
        "weight_decay": ["1e-3", "1e-2", "1e-3", "1e-2"],
        "fraction": [0.1, 0.1 + 0.2, 0.3, 0.5],
        "finite": [True, True, True, False],
        "accuracy": [0.5, 0.7, 0.75, 0.8],
        "loss": [1.0, 2.0, math.nan, math.inf],
        "verdict": ["beats", "0.5", "loses", ""],
    }
)


def value(column="accuracy", reported=0.75, tolerance=0.01, **more):
    return ExpectedValue("t", column, reported, tolerance, "the report", **more)


def compared(*values, table=TABLE):
    return expected.comparison(values, {"t": table}).to_dict("records")


@pytest.mark.parametrize(
    ("asked", "obtained"),
    [
        ({}, (0.5 + 0.7 + 0.75 + 0.8) / 4),
        ({"statistic": "max"}, 0.8),
        ({"statistic": "min"}, 0.5),
        ({"statistic": "sum"}, 2.75),
        ({"statistic": "last", "where": {"optimizer": "sgd"}}, 0.7),
        ({"statistic": "count", "where": {"finite": True}}, 3),
        ({"statistic": "count", "where": {"optimizer": "lamb"}}, 0),
        ({"where": {"optimizer": "sgd", "weight_decay": "1e-3"}}, 0.5),
        ({"where": {"optimizer": "sgd", "weight_decay": 0.001}}, 0.5),
        ({"where": {"fraction": 0.3}}, (0.7 + 0.75) / 2),
        ({"where": {"finite": False}}, 0.8),
        ({"column": "weight_decay", "where": {"accuracy": 0.8}}, 0.01),
        ({"column": "verdict", "where": {"accuracy": 0.7}}, 0.5),
        ({"column": "loss", "where": {"optimizer": "sgd"}}, 1.5),
    ],
)
def test_what_is_obtained(asked, obtained):
    row = compared(value(**asked))[0]
    assert row["obtained"] == pytest.approx(obtained, rel=1e-15)
    assert row["difference"] == pytest.approx(obtained - 0.75)
    assert row["missing"] is None


def test_correlation_is_pearsons():
    drawn = np.random.default_rng(0).normal(size=(20, 2))
    table = pd.DataFrame(drawn, columns=["accuracy", "rate"])
    row = compared(value(statistic="correlation", against="rate"), table=table)[0]
    x, y = (drawn - drawn.mean(axis=0)).T
    assert row["obtained"] == pytest.approx((x @ y) / np.sqrt((x @ x) * (y @ y)))
    flat = table.assign(rate=0.1)
    assert compared(value(statistic="correlation", against="rate"), table=flat)[0]["missing"]


@pytest.mark.parametrize(
    ("asked", "within"),
    [
        ({"tolerance": 0.05, "reported": 0.75}, "yes"),  # 0.8 − 0.75 is above 0.05 in floats
        ({"tolerance": 0.05, "reported": 0.85}, "yes"),
        ({"tolerance": 0.0499, "reported": 0.75}, "no"),
        ({"tolerance": 0.0, "reported": 0.8}, "yes"),
        ({"tolerance": 0.0, "reported": 0.7, "bound": "at least"}, "yes"),
        ({"tolerance": 0.0, "reported": 0.9, "bound": "at least"}, "no"),
        ({"tolerance": 0.2, "reported": 0.9, "bound": "at least"}, "yes"),
        ({"tolerance": 0.0, "reported": 0.9, "bound": "at most"}, "yes"),
        ({"tolerance": 0.0, "reported": 0.7, "bound": "at most"}, "no"),
    ],
)
def test_within_the_tolerance(asked, within):
    assert compared(value(statistic="max", **asked))[0]["within"] == within


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"column": "acuracy"}, "no column 'acuracy': did you mean 'accuracy'?"),
        ({"where": {"optimiser": "sgd"}}, "no column 'optimiser': did you mean 'optimizer'?"),
        ({"where": {"optimizer": "lamb"}}, "no such row"),
        ({"where": {"fraction": "half"}}, "no such row"),
        ({"column": "loss", "where": {"optimizer": "adam"}}, "no number, but nan"),
        ({"column": "loss", "where": {"finite": False}}, "no number, but inf"),
        ({"column": "verdict"}, "no number, but nan"),
        ({"statistic": "correlation", "against": "rate"}, "no column 'rate'"),
        ({"statistic": "last", "where": {"optimizer": "lamb"}}, "no such row"),
    ],
)
def test_what_is_missing_is_a_row_that_says_so(asked, said):
    row = compared(value(**asked))[0]
    assert row["missing"].startswith(said)
    assert row["within"] == "not there"
    assert math.isnan(row["obtained"])
    assert math.isnan(row["difference"])


@pytest.mark.parametrize("table", [TABLE.iloc[:0], pd.DataFrame()])
def test_an_empty_table_has_no_row(table):
    assert compared(value(), table=table)[0]["within"] == "not there"


def test_the_summary_names_what_is_not_as_expected():
    rows = [
        value(where={"finite": False}, reported=0.8),
        value(where={"optimizer": "sgd"}, tolerance=0.02),
        value("loss", 5, 0.5, bound="at least", where={"optimizer": "lamb"}),
    ]
    assert expected.summary(expected.comparison(rows, {"t": TABLE})) == [
        "1 of 3 expected values are within their tolerance.",
        "Warning: t: accuracy where optimizer = sgd: 0.6, expected 0.75 ± 0.02 (the report)",
        "Warning: t: loss where optimizer = lamb: not there (no such row), expected at least 5 ± "
        "0.5 (the report)",
    ]


@pytest.fixture
def tabulated(tmp_path):
    """The root of a study with two tables of one maker, and one with a rule of its own."""
    made = (("tabulate", "tables", ("runs", "best-lambda")), ("evaluate_best", None, ("best",)))
    for stage, maker, tables in made:
        done = job(stage, {"study": "s", **({"maker": maker} if maker else {})}, {}, tmp_path)
        done.publish({f"{t}.csv": write_csv(done.folder / f"{t}.csv", TABLE) for t in tables})
    return tmp_path


def test_the_job_reads_any_table_and_writes_one(tabulated):
    values = [
        ExpectedValue(table, "weight_decay", 0.0055, 0, "us") for table in ("best-lambda", "best")
    ]
    told = {"expected": recipes.plain(values)}
    path = expected.compare_expected(job("compare_expected", {"study": "s"}, told, tabulated))
    manifest = read_manifest(path, "compare_expected", {"study": "s"})
    table = pd.read_csv(manifest.check(path.parent, "expected.csv"))
    assert list(table.columns) == [
        *("source", "quantity", "reported", "bound", "obtained", "difference", "tolerance"),
        *("within", "missing"),
    ]
    assert list(table["within"]) == ["yes", "yes"]
    assert manifest.info["summary"] == ["2 of 2 expected values are within their tolerance."]
    assert len(manifest.inputs) == 2
    (tabulated / table_names.place("best", "s")).write_text("loss\n")
    with pytest.raises(CorruptFile, match=r"best\.csv"):
        expected.compare_expected(job("compare_expected", {"study": "s"}, told, tabulated))


def test_the_command_tells_of_all_finished_studies(tabulated, monkeypatch, capsys):
    monkeypatch.chdir(tabulated)
    assert command.main(["expected"]) == 0
    assert capsys.readouterr().out == "no study in results/ was compared with what it expects\n"
    value = ExpectedValue("best", "accuracy", 0.9, 0.1, "us")
    told = {"expected": [recipes.plain(value)]}
    path = expected.compare_expected(job("compare_expected", {"study": "s"}, told, tabulated))
    for given in ([], ["s"]):
        assert command.main(["expected", *given]) == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first == "s: 0 of 1 expected values are within their tolerance."
        assert second == "    Warning: best: accuracy: 0.6875, expected 0.9 ± 0.1 (us)"
    assert command.main(["expected", "t"]) == 1
    said = "cobaye: results/t/tables/expected.json is missing: first run: snakemake --cores all t"
    assert capsys.readouterr().err.startswith(said)
    path.write_text("{}")
    assert command.main(["expected"]) == 1
    assert "results/s/tables/expected.json" in capsys.readouterr().err


GIVEN = "expected: [{table: best-lambda, column: test_loss, value: 1, tolerance: 9, source: us}]\n"


def with_expected(folder, text, study="tiny"):
    edit(folder, f"studies/{study}.yaml", "models:", f"{text}models:")
    return folder


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("best-lambda", "best-lamda", "[0].table: no table 'best-lamda': did you mean 'best-l"),
        ("best-lambda", "rivals", "[0].table: the study does not make 'rivals', which needs 'riv"),
        ("best-lambda", "derived", "[0].table: the study does not make 'derived': known: runs, "),
        ("tolerance: 9", "tolerance: -1", "[0]: tolerance must be at least 0, not -1"),
        ("tolerance: 9", "tolerance: .nan", "[0].tolerance: nan: input should be a finite number"),
        ("tolerance: 9, ", "", "[0].tolerance: missing"),
        ("value: 1", "value: high", "[0].value: 'high': input should be a valid number"),
        ("source: us", "source: us, wher: {}", "[0].wher: unknown key: did you mean 'where'?"),
        (", source: us", "", "[0].source: missing"),
        ("source: us", "source: us, statistic: median", "[0].statistic: 'median': input should be"),
        ("source: us", "source: us, against: n", "[0]: against: a column, for statistic: corr"),
        ("source: us", "source: us, statistic: correlation", "[0]: against: a column, for stat"),
        ("source: us", "source: us, bound: above", "[0].bound: 'above': input should be 'at least"),
        ("source: us", "source: us, where: {model: m}", "[0].where.model: no model 'm': known"),
        ("source: us", "source: us, where: {optimizer: sgb}", "[0].where.optimizer: no optimizer"),
        ("source: us", "source: us, where: [model]", "[0].where: ['model']: "),
    ],
)
def test_a_bad_entry_gets_one_message(folder, old, new, said):
    assert old in GIVEN
    with_expected(folder, GIVEN.replace(old, new))
    with pytest.raises(ConfigError) as error:
        load(folder)
    assert str(error.value).startswith(f"{folder}/studies/tiny.yaml: expected{said}")
    assert "\n" not in str(error.value)


def test_columns_that_are_known_before_a_run_are_checked(folder):
    text = GIVEN.replace("best-lambda", "rotation").replace("test_loss", "cosine")
    edit(folder, "studies/tiny.yaml", "models:", "analyses: [weights]\nfigures: []\nmodels:")
    with_expected(folder, text.replace("source: us", "source: us, where: {layer: 1, seed: 0}"))
    with pytest.raises(ConfigError, match="no column of rotation 'cosine': did you mean 'cosine_"):
        load(folder)
    edit(folder, "studies/tiny.yaml", "cosine", "cosine_distance")
    load(folder)


def test_a_change_of_what_is_expected_leaves_every_other_job_as_it_was(folder):
    """Identity, recipe and code of each job are what Snakemake compares."""
    plans = []
    for text in ("", GIVEN, GIVEN.replace("9", "8")):
        (folder / "studies/tiny.yaml").write_text(
            "\n".join(
                line
                for line in (folder / "studies/tiny.yaml").read_text().splitlines()
                if not line.startswith("expected:")
            )
        )
        plan = Plan(load(with_expected(folder, text)), ROOT / "workflow/scripts")
        plans.append(plan)
    run = {"model": "linear", "optimizer": "sgd", "weight_decay": "0", "seed": 0}
    for rule, identity in (
        ("train", run),
        ("evaluate", run),
        ("tabulate", {"maker": "tables"}),
        ("analyse", {"maker": "classes"}),
        ("tell_story", {}),
        ("write_explorer", {}),
        ("plot", {"figure": "answer"}),
    ):
        stages = [plan.stage(rule, study="tiny", **identity) for plan in plans]
        assert stages[0] == stages[1] == stages[2], rule
    compare = [plan.stage("compare_expected", study="tiny") for plan in plans[1:]]
    assert compare[0].fingerprint != compare[1].fingerprint
    assert compare[0].code == compare[1].code
    with pytest.raises(ConfigError, match=r"tiny\.yaml: expected: the study states no values"):
        plans[0].stage("compare_expected", study="tiny")
    made = [set(targets.of_study(plan.config, "tiny")) for plan in plans]
    tables = "results/tiny/tables"
    assert made[1] - made[0] == {f"{tables}/expected.csv", f"{tables}/expected.json"}
    assert made[1] == made[2] > made[0]


@pytest.mark.slow
def test_a_run_warns_of_what_is_not_as_expected(tmp_path):
    project: Project = new_project(tmp_path / "p")
    study = "config/studies/tiny-images.yaml"
    second = "{table: metrics, column: acc, value: 1, tolerance: 0, source: S9}"
    project.edit(study, "models:", f"{GIVEN[:-2]}, {second}]\nmodels:")
    printed = project.run("tiny-images").stdout
    said = "Warning: metrics: acc: not there (no column 'acc': did you mean 'accuracy'?"
    assert said in printed
    assert "1 of 2 expected values are within their tolerance." in printed
    assert "More: results/tiny-images/tables/expected.csv" in printed
    assert project.jobs("tiny-images") == {}
    project.edit(study, "column: acc,", "column: accuracy,")
    assert project.jobs("tiny-images") == {"compare_expected": 1}
    printed = project.run("tiny-images").stdout
    assert "Warning: metrics: accuracy: 0." in printed
    assert project.jobs("tiny-images") == {}


SHIPPED = Config({"studies": ["glyphs"]}, ROOT / "config", figures.names())
DESCRIBED = [
    name
    for name in SHIPPED.studies
    if any(each.table == "layers" for each in SHIPPED.studies[name].expected)
]


@pytest.mark.parametrize("name", DESCRIBED)
def test_numbers_of_parameters_that_shipped_studies_expect(name):
    """They follow from the networks, so that neither data nor a run are needed."""
    study = SHIPPED.studies[name]
    shape = (3, 32, 32) if study.dataset == "cifar10" else (1, 28, 28)
    data = layers._Data(shape, "uint8", 10, {})
    values = [each for each in study.expected if each.table == "layers"]
    frames = []
    for model in {each.where.get("model", next(iter(study.models))) for each in values}:
        network = study.models[model].network
        rows = layers.layers(layers.Described(network, "cross-entropy", (), "float32", 1), data)
        frames.append(pd.DataFrame(rows).assign(model=model))
    table = expected.comparison(values, {"layers": pd.concat(frames)})
    assert set(table["within"]) == {"yes"}, table


def test_every_study_of_a_report_or_its_twin_expects_values():
    """Those that expect none say why: no number is known, or none is of interest."""
    without = {name for name in SHIPPED.studies if not SHIPPED.studies[name].expected}
    assert without == {
        *("cifar10-convnet-optimizers", "cifar100", "mnist-perceptron", "glyphs1000-backbone"),
    }
