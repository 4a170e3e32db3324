"""The documentation: its code runs, its commands exist, its numbers stand where they come from."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from docs.generate import gallery, library, pictures, pipeline

import cobaye
from cobaye.storage import code_digest
from cobaye.workspace import command
from tests.conftest import CODE, ROOT, Project, copy_code

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "config/README.md"])
STUDIES = [file.stem for file in (ROOT / "config/studies").glob("*.yaml")]
RULES = re.findall(r"^rule (\w+)", "".join(f.read_text() for f in ROOT.rglob("*.smk")), re.M)


def blocks(page, language):
    """Return the fenced blocks of a page in a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)
    assert found, page
    return found


def test_the_conversions_of_lambda_hold():
    scope = {}
    for block in blocks(ROOT / "docs/objective.md", "python"):
        exec(block, scope)


def quoted():
    """Return the calibrations that the page of statistics quotes: row of the table, low, high."""
    text = " ".join((ROOT / "docs/statistics.md").read_text().split())
    return re.findall(r"`([^`]+: (?:size|cover))` ([\d.]+) to ([\d.]+) %", text)


def test_calibrations_are_those_of_the_benchmark():
    rows = {}
    for line in (ROOT / "benchmarks/README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        found = [float(n) for cell in cells[2:] for n in re.findall(r"\d+(?:\.\d+)?", cell)]
        rows.setdefault(cells[0], found)  # the first table is that of 50 classes of 50 images
    calibrated = {row for row in rows if row.endswith((": size", ": cover"))}
    assert {row for row, _, _ in quoted()} == calibrated
    for row, low, high in quoted():
        assert (float(low), float(high)) == (min(rows[row]), max(rows[row])), row


def commands(page):
    """Return the commands of a page: lines of code blocks, without their comments."""
    lines = re.findall(r"^(?:    )?((?:snakemake|cobaye) .*)$", page.read_text(), re.M)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_the_pages_exist(page):
    """Targets of Snakemake are studies, rules or results of studies; `cobaye` knows its flags."""
    for program, *words in commands(page):
        if program == "cobaye":
            command._parser().parse_args(words)
            continue
        for word in words:
            if word.startswith("results/"):
                _, study, *_ = word.split("/")
                assert study in (*STUDIES, "<study>"), (page, word)
            elif re.fullmatch(r"[a-z][a-z0-9_-]+", word) and word not in ("all", "slurm", "mysite"):
                assert word in (*STUDIES, *RULES, "verify"), (page, word)


def test_pins_are_those_of_the_workflow():
    """A package of both lists has one version, so that one environment can hold both."""
    pins = [
        dict(re.findall(r"^([a-z-]+)==([\w.]+)(?: ; python_full_version < .*)?$", text, re.M))
        for text in ((ROOT / f"requirements{which}.txt").read_text() for which in ("", "-docs"))
    ]
    assert {name: pins[0].get(name, pin) for name, pin in pins[1].items()} == pins[1]


@pytest.fixture
def results(tmp_path):
    """Results of a shipped study and of another one, a figure each; and what is no study."""
    for study, figure in (("digits", "class-gain"), ("my-own", "weight-norm")):
        folder = tmp_path / "results" / study / "figures"
        folder.mkdir(parents=True)
        (folder / f"{figure}.svg").write_text("<svg/>")
    (tmp_path / "results/logs").mkdir()
    return tmp_path / "results"


def test_gallery(results, tmp_path):
    made = tmp_path / "made"
    assert gallery.write(made, results) == ["digits", "my-own"]
    page = (made / "gallery-digits.md").read_text()
    assert "![class-gain](../results/digits/figures/class-gain.svg)" in page
    assert "    snakemake --cores all results/digits/figures/class-gain.svg\n" in page
    assert "Gain of each class in mean test cross-entropy" in page  # the report's caption
    assert "real images without a backbone" in page  # the head of the study
    assert "{{" not in page
    assert "schema" not in page
    assert "sum of the absolute" in (made / "gallery-my-own.md").read_text().lower()
    index = (made / "gallery.md").read_text()
    assert "gallery-digits\ngallery-my-own\n" in index
    assert "No study has run" not in index


def test_gallery_of_nothing(results, tmp_path):
    made = tmp_path / "made"
    gallery.write(made, results)
    assert gallery.write(made, tmp_path / "none") == []
    assert [file.name for file in made.iterdir()] == ["gallery.md"]
    assert "    snakemake --cores all\n" in (made / "gallery.md").read_text()


def test_the_page_of_the_library_has_every_public_name(tmp_path):
    library.write(tmp_path)
    page = (tmp_path / "api.md").read_text()
    for name in cobaye.__all__:
        assert re.search(rf"\.\. auto(class|function):: cobaye\.{name}\n", page), name
    assert "**`statistics`**: Statistical inference on the effect of λ on each class." in page


def test_docstrings_become_lists():
    lines = [
        "Fit.",
        "",
        "Attributes",
        "----------",
        "best_, place : the best.",
        "    Ties.",
        "n : 1",
    ]
    library.as_lists(None, "class", "", None, None, lines)
    assert lines == [
        *("Fit.", "", "**Attributes**", "", "", "- ``best_``, ``place``: the best.", "  Ties."),
        *("", "- ``n``: 1"),
    ]
    plain = ["See best_ and `place_`."]
    library.as_lists(None, "method", "", None, None, plain)
    assert plain == ["See ``best_`` and `place_`."]


SMALLER = {
    "epochs: 90": "epochs: 5",
    '["0", "1e-7", "1e-6", "3.162e-6", "1e-5", "3.162e-5", "1e-4", "3.162e-4", ': "[",
    "analyses: [classes, measures, rivals]": "analyses: {classes: {draws: 100, splits: 20}}\n"
    "figures: [class-loss-test]",
}


@pytest.mark.slow
def test_the_first_run(tmp_path):
    """Its blocks, one after the other, in a copy of the clone, on a smaller study."""
    for name in (*CODE, "config"):
        if not (tmp_path / name).exists():
            copy_code(ROOT / name, tmp_path / name)
    study = tmp_path / "config/studies/digits.yaml"
    # What it expects is of the whole study.
    study.write_text(study.read_text().partition("\n# Tolerances: ")[0] + "\n")
    for old, new in SMALLER.items():
        assert study.read_text().count(old) == 1
        study.write_text(study.read_text().replace(old, new))
    page = (ROOT / "docs/first-run.md").read_text()
    environment = Project(tmp_path).environment()
    environment["PYTHONPATH"] = str(tmp_path / "workflow")
    environment["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{environment['PATH']}"
    said = []
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```$", page, re.M | re.S):
        start = ["bash", "-ec"] if language == "bash" else [sys.executable, "-c"]
        done = subprocess.run(
            [*start, block], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        said.append(done.stdout + done.stderr)
        assert done.returncode == 0, (block, said[-1])
    assert (tmp_path / "results/digits/story.md").is_file()
    assert "between_sd" in said[2]
    assert re.search(r"^train +1$", said[3], re.M), json.dumps(said[3])


def test_the_pictures_of_the_readme_are_those_that_the_code_draws(monkeypatch):
    shown = re.findall(r"!\[[^]]*\]\(docs/([^)]+)\)", (ROOT / "README.md").read_text())
    assert set(shown) == set(pictures.digests())
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the digests are of sources as Python 3.11 parses them")
    assert pictures.stale() == [], f"made by: {pictures.COMMAND}"
    study, figure = pictures.PICTURES["answer.png"]
    before = pictures.drawn_by(study, figure)
    same = code_digest.normalised_source
    changed = {"_forest.py": "x = 1"}
    monkeypatch.setattr(
        code_digest, "normalised_source", lambda file: changed.get(file.name) or same(file)
    )
    assert pictures.drawn_by(study, figure) != before
    assert pictures.stale() == ["answer.png"]


def test_the_picture_of_the_workflow_shows_its_rules():
    rules = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    named = set(re.findall(r'^rule (\w+):|name:\s+f?"(\w+?)_?[{"]', rules, re.M))
    known = {name for pair in named for name in pair if name}
    assert {name.removesuffix("_*") for name in pipeline.BOXES} <= known
    assert {end for arrow in pipeline.ARROWS for end in arrow} == set(pipeline.BOXES)
