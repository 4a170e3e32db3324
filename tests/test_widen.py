"""`cobaye widen`: λ beyond the end of a grid, written where they belong and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest
import yaml

from cobaye.tables import grid_ends
from cobaye.workspace import widening
from cobaye.workspace.command import main
from tests.conftest import ROOT

STUDY = """\
# A comment.
dataset: d
models: {linear: {kind: linear}}
optimizers:
  sgd: {learning_rate: 0.1}
  exact:
    weight_decays: ["1e-3", "1e-2"]  # these alone
weight_decays: ["0", "1e-3", "1e-2"]  # the grid
seeds: [0]
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study `s`, and its tables: each optimizer's best λ, and the classes' own."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config/studies/s.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(STUDY)

    def with_tables(**best):
        pairs = {name: {"model": "linear", "optimizer": name} for name in best}
        grids = {"sgd": ["0", "1e-3", "1e-2"], "exact": ["1e-3", "1e-2"]}
        tables = {
            "best-lambda": [{**pairs[name], "weight_decay": label} for name, label in best.items()],
            "runs": [
                {**pairs[name], "weight_decay": label} for name in best for label in grids[name]
            ],
            "class-gains": [
                {**pairs[name], "shrunk": "1e-3"} for name in ("sgd",) for _ in range(9)
            ],
        }
        monkeypatch.setattr(widening, "_table", lambda _, name: pd.DataFrame(tables[name]))
        return file

    return with_tables


def lists(text):
    content = yaml.safe_load(text)
    return content["weight_decays"], content["optimizers"]["exact"].get("weight_decays")


def test_lambdas_go_into_the_list_and_all_else_stays(study):
    file = study(sgd="1e-2")
    assert widening.widen("s") == [
        "sgd: the largest λ, 1e-2, is the best overall: added 1e-1, 1e0, 1e1, 1e2"
    ]
    wide = '["0", "1e-3", "1e-2", "1e-1", "1e0", "1e1", "1e2"]  # the grid'
    assert file.read_text() == STUDY.replace('["0", "1e-3", "1e-2"]  # the grid', wide)


def test_an_optimizer_with_its_own_list_has_them_in_both(study):
    file = study(sgd="1e-3", exact="1e-3")
    widening.widen("s")
    new = ["1e-7", "1e-6", "1e-5", "1e-4"]
    assert lists(file.read_text()) == (["0", *new, "1e-3", "1e-2"], [*new, "1e-3", "1e-2"])
    assert file.read_text().count("#") == STUDY.count("#")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('["1e-2", "1e-3", "0"]', ["1e2", "1e1", "1e0", "1e-1", "1e-2", "1e-3", "0"]),
        ('\n  - "0"\n  - 1e-3\n  - "1e-2"', ["0", "1e-3", "1e-2", "1e-1", "1e0", "1e1", "1e2"]),
        ('[\n  "0", "1e-3",\n  "1e-2",\n]', ["0", "1e-3", "1e-2", "1e-1", "1e0", "1e1", "1e2"]),
    ],
)
def test_lists_in_every_style(study, written, expected):
    file = study(sgd="1e-2")
    file.write_text(STUDY.replace('["0", "1e-3", "1e-2"]  # the grid', written))
    widening.widen("s")
    assert lists(file.read_text())[0] == expected
    assert file.read_text().endswith("]\nseeds: [0]\n")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('[ # why\n  "0", "1e-3", "1e-2"]', "weight_decays: holds a comment: add these by hand"),
        ('&grid ["0", "1e-3", "1e-2"]', None),
    ],
)
def test_what_cannot_be_changed_line_by_line_stays(study, written, said, capsys):
    file = study(sgd="1e-2")
    text = STUDY.replace('["0", "1e-3", "1e-2"]', written)
    file.write_text(text)
    status = main(["widen", "s"])
    if said is None:
        assert (status, lists(file.read_text())[0][-1]) == (0, "1e2")
        return
    assert status == 1
    assert said in capsys.readouterr().err
    assert file.read_text() == text


def test_inside_the_grid_nothing_is_done(study, capsys):
    file = study(sgd="1e-3", exact="1e-2")
    file.write_text(STUDY)
    study(sgd="1e-3")
    assert main(["widen", "s"]) == 0
    assert "no best λ stands at an end of the grid" in capsys.readouterr().out
    assert file.read_text() == STUDY


def test_one_message_without_a_study_or_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config/studies").mkdir(parents=True)
    (tmp_path / "config/studies/glyphs.yaml").write_text(STUDY)
    assert main(["widen", "glyph"]) == 1
    assert "no study 'glyph': did you mean 'glyphs'" in capsys.readouterr().err
    assert main(["widen", "glyphs"]) == 1
    assert "first run: snakemake --cores all glyphs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("grid", "more"),
    [
        (["1e-3", "3.162e-3", "1e-2"], ("3.162e-2", "1e-1", "3.162e-1", "1e0")),
        (["0", "1e-2"], ("3.162e-2", "1e-1", "3.162e-1", "1e0")),
        (["1e4", "1e5"], ("1e6",)),
        (["1e5", "1e6"], ()),
    ],
)
def test_the_grid_goes_on_in_its_own_steps_within_bounds(grid, more):
    (end,) = grid_ends.ends(grid[-1], [], grid)
    assert [float(label) for label in end.more] == pytest.approx([*map(float, more)], rel=1e-3)


def test_both_ends_and_ties():
    found = grid_ends.ends("1e-3", ["1e-1"] * 2 + ["1e-2"] * 8, ["1e-1", "1e-2", "1e-3"])
    assert [(end.side, end.overall, end.share) for end in found] == [
        ("smallest", True, 0.0),
        ("largest", False, 0.2),
    ]
    assert grid_ends.ends("1e-3", ["1e-3"], ["1e-3"]) == []


@pytest.mark.slow
def test_after_widening_only_the_new_lambdas_are_trained(copied):
    """The run says so at its end, with the command; the command writes them."""
    copied.draw_only("answer")
    copied.edit("config/studies/tiny.yaml", '["0", "1e-2"]', '["1e-1", "1e0"]')
    ended = copied.run("tiny").stdout
    # Of two λ, the best is at an end, whichever it is.
    assert "λ of the study" in ended
    assert "run `cobaye widen tiny`" in ended
    done = subprocess.run(
        [sys.executable, "-m", "cobaye", "widen", "tiny"],
        cwd=copied.folder,
        env={**copied.environment(), "PYTHONPATH": str(ROOT / "workflow")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    listed = yaml.safe_load(copied.path("config/studies/tiny.yaml").read_text())["weight_decays"]
    assert len(listed) >= 2 + grid_ends.MORE
    # The project was built with 0 and 1e-2.
    assert copied.jobs("tiny")["train"] == len({*listed} - {"0", "1e-2", "1e-1", "1e0"})
