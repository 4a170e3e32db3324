"""Kinds are read from their files: constants, options, and one message for a mistake in them."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys

import pytest

from cobaye import figures, kinds, recipes
from cobaye.errors import ConfigError
from cobaye.storage import table_names
from tests.conftest import ROOT


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A copy of the library whose kinds may be changed; new ones are read from it."""
    copied = tmp_path / "cobaye"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "workflow/cobaye", copied, ignore=ignored)
    monkeypatch.setattr(kinds, "ROOT", copied)
    table_names.makers.cache_clear()
    yield copied
    table_names.makers.cache_clear()


def write(library, family, name, text):
    file = library / kinds.FAMILIES[family] / f"{name}.py"
    file.write_text(text)
    return file


def refused(file, call, *arguments):
    """Return the message of the error that a call raises, which names the file."""
    with pytest.raises(ConfigError) as raised:
        call(*arguments)
    message = str(raised.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message


def test_an_annotated_constant_is_read_as_a_plain_one(library):
    write(library, "datasets", "own", 'FORM: str = "features"\nSIZE: int\n')
    assert kinds.constant("datasets", "own", "FORM") == "features"
    assert kinds.constant("datasets", "own", "SIZE", 3) == 3


def test_the_last_assignment_counts(library):
    write(library, "datasets", "own", 'A = FORM = "images"\nFORM = "files"\n')
    assert kinds.constant("datasets", "own", "A") == "images"
    assert kinds.constant("datasets", "own", "FORM") == "files"


def test_a_computed_constant_is_named_with_file_and_line(library):
    file = write(library, "figures", "own", "import math\n\nNAMES: dict = dict(own={})\n")
    message = refused(file, kinds.constant, "figures", "own", "NAMES")
    assert message.startswith(f"{file}: line 3: NAMES: dict(own={{}}) must be a literal")


@pytest.mark.parametrize(
    ("family", "text", "variable", "said"),
    [
        ("figures", 'TABLES = ("runs",)', "NAMES", "missing: figure kinds state it, a dict"),
        ("figures", 'NAMES = {"own": {}}', "TABLES", "missing: figure kinds state it, a tuple"),
        ("figures", 'TABLES = "runs"', "TABLES", "'runs' is of another type"),
        ("analyses", "STATES = ()", "TABLES", "missing: analysis kinds state it, a dict"),
        ("analyses", 'STATES = ("trained",)', "COLUMNS", "missing: analysis kinds state it"),
        ("ways", "SPLITS = ()", "TABLES", "missing: way kinds state it, a tuple"),
        ("ways", "TABLES = ()", "SPLITS", "missing: way kinds state it, a tuple"),
    ],
)
def test_a_required_constant_is_asked_for(library, family, text, variable, said):
    file = write(library, family, "own", text)
    assert said in refused(file, kinds.constant, family, "own", variable)
    # A default does not stand in for it.
    assert said in refused(file, kinds.constant, family, "own", variable, {})


def test_an_analysis_of_no_single_runs_has_no_columns(library):
    write(library, "analyses", "own", "TABLES = {}")
    assert kinds.constant("analyses", "own", "COLUMNS") is None


def test_a_figure_without_names_is_no_silence(library):
    file = write(library, "figures", "own", 'TABLES = ("runs",)')
    assert "NAMES: missing" in refused(file, figures.names)


@pytest.mark.parametrize("constant", ["TABLES", "OPTIONAL_TABLES"])
@pytest.mark.parametrize("family", ["figures", "ways"])
def test_an_unknown_table_is_named_with_the_nearest(library, family, constant):
    tables = {"TABLES": (), constant: ("runs", "histry")}
    text = "\n".join(f"{name} = {value}" for name, value in tables.items())
    file = write(library, family, "own", text)
    message = refused(file, table_names.read_by, family, "own")
    assert f"{constant}: no table 'histry': did you mean 'history'?" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('TABLES = {"runs": "own.csv"}', "TABLES: 'runs' is a table of 'tables'"),
        (
            'TABLES = {"own": "own.csv"}\nSTATES = ("trained",)\nCOLUMNS = {"won": "a b"}',
            "COLUMNS and TABLES: 'own' is in one of them only",
        ),
    ],
)
def test_an_analysis_makes_tables_of_its_own(library, text, said):
    file = write(library, "analyses", "own", text)
    assert said in refused(file, table_names.makers)


def test_a_network_without_a_head_is_refused(monkeypatch):
    import torch

    from cobaye.models import networks
    from cobaye.models.networks import linear

    monkeypatch.setattr(linear, "build", lambda *_: torch.nn.Sequential(torch.nn.Linear(4, 3)))
    file = kinds.path("networks", "linear")
    message = refused(file, networks.build, recipes.Kind("linear", {}), (4,), 3)
    assert "has no `head`" in message


def test_options_may_have_bases_and_use_what_their_file_imports(library):
    write(library, "augmentations", "_shared", "LOWEST = 0\n\n\nclass Checked:\n    low = LOWEST\n")
    text = """
import math
from dataclasses import dataclass
import torch
from cobaye.errors import nearest as closest

MOST: float = 2.0


@dataclass(frozen=True)
class Options:
    factor: float = 1.0

    def __post_init__(self):
        if not math.isfinite(self.factor) or any(each > MOST for each in (self.factor,)):
            raise ValueError(closest("x", ["y"]))


def augment(images: torch.Tensor):
    return images
"""
    write(library, "augmentations", "own", text)
    options = kinds.options("augmentations", "own")
    assert dataclasses.asdict(options()) == {"factor": 1.0}
    for factor in (3.0, float("inf")):
        with pytest.raises(ValueError, match="known: y"):
            options(factor)


@pytest.mark.parametrize(
    ("imported", "used", "said"),
    [
        ("import torch", "torch.Tensor", "'torch', whose import needs torch: options"),
        ("from torch import Tensor", "Tensor", "'Tensor', whose import needs torch"),
        (
            "from cobaye.models.networks import linear",
            "linear.Linear",
            "'linear', whose import needs cobaye.models.networks → torch",
        ),
        (
            "from cobaye.training.loop import train",
            "train",
            "needs cobaye.training.loop → ",
        ),
        ("def helper(): pass", "helper", "uses 'helper': it may use builtins, literal constants"),
        ("", "nothing", "uses 'nothing': it may use"),
    ],
)
def test_options_that_need_torch_or_what_is_not_there_are_refused(library, imported, used, said):
    text = f"{imported}\nclass Options:\n    def method(self):\n        return {used}\n"
    file = write(library, "networks", "own", text)
    assert said in refused(file, kinds.options, "networks", "own")


def test_an_import_for_type_checkers_alone_needs_nothing(library):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nVALUE = 3\n"
    (library / "shared.py").write_text(text)
    assert kinds._heavy(["cobaye.shared.VALUE"], set()) == []
    (library / "shared.py").write_text(text.replace("if TYPE_CHECKING", "if VALUE"))
    kinds._tree.cache_clear()
    assert kinds._heavy(["cobaye.shared.VALUE"], set()) == ["cobaye.shared", "torch"]


def test_all_options_are_read_without_torch():
    code = (
        "import sys; from cobaye import kinds\n"
        "[kinds.options(f, n) for f in kinds.FAMILIES for n in kinds.names(f)]\n"
        "print(sorted(kinds.HEAVY & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr
