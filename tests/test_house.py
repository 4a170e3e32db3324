"""The house: sizes, who may import whom, what a parse may not import, the linters."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

import pytest

from cobaye import figures
from tests.conftest import ROOT

LIBRARY = ROOT / "workflow/cobaye"
# Each module imports only from those before it; kinds and figures hang below their packages.
ORDER = [
    "errors",
    "randomness",
    "kinds",
    "statistics",
    "recipes",
    "storage",
    "config",
    "data",
    "objective",
    "planning",
    "models",
    "tables",
    "features",
    "training",
    "evaluation",
    "inside",
    "figures",
    "story",
    "derived",
    "analyses",
]
# What reads the config and plans from it, for the Snakefile alone.
PARSE = ("config", "planning")
# What `snakemake --lint` asks for and is declined: the environment is one, pinned in
# requirements.txt for every rule, so that plain pip is enough.
DECLINED_LINTS = {"Specify a conda environment or container for each rule."}


def imported(file):
    """Return the top-level cobaye modules that a file imports."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "cobaye":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cobaye."):
            yield node.module.split(".")[1]


def modules():
    for file in sorted(LIBRARY.rglob("*.py")):
        name = file.relative_to(LIBRARY).parts[0].removesuffix(".py")
        if name != "__init__":
            yield name, file


def test_modules_import_only_from_those_before_them():
    assert sorted({name for name, _ in modules()}) == sorted(ORDER)
    wrong = [
        f"{file.relative_to(ROOT)} imports {other}"
        for name, file in modules()
        for other in imported(file)
        if ORDER.index(other) > ORDER.index(name)
    ]
    assert wrong == []


def test_only_the_snakefile_knows_the_config():
    """Pydantic stays behind `config`, and Snakemake outside the library."""
    for name, file in modules():
        if name not in PARSE:
            assert not set(PARSE) & set(imported(file)), file
            assert not re.search(r"^\s*(import|from) (pydantic|snakemake)", file.read_text(), re.M)
    for file in (ROOT / "workflow/scripts").glob("*.py"):
        assert not set(PARSE) & set(imported(file)), file


def test_sizes():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 60
    for file in (ROOT / "workflow/scripts").glob("[a-z]*.py"):
        assert len(file.read_text().splitlines()) <= 40, file
    for _, file in modules():
        assert len(file.read_text().splitlines()) <= 250, file


def test_no_torch_at_parse_time():
    """Dry runs and every job of a cluster parse the Snakefile."""
    code = (
        "import sys; from snakemake.cli import main\n"
        "try: main(['-n', '-q', '--cores', '1'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        # Snakemake imports pandas itself.
        "heavy = {'torch', 'matplotlib', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["snakefmt", "--check", "Snakefile", "workflow/rules"],
    ],
    ids=" ".join,
)
def test_linters(command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_snakemake_lints_but_those_declined():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = set(re.findall(r"^    \* (.*):$", done.stdout + done.stderr, re.MULTILINE))
    # Not just among them: a workflow that cannot be parsed has no lints either.
    assert found == DECLINED_LINTS, done.stdout + done.stderr


def test_every_figure_has_a_caption():
    captions = {file.stem for file in (ROOT / "workflow/report").glob("*.rst")}
    assert set(figures.names()) <= captions


@pytest.mark.slow
def test_every_shipped_study_is_planned():
    """A dry run of each, with nothing downloaded and nothing made."""
    studies = [file.stem for file in sorted((ROOT / "config/studies").glob("*.yaml"))]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--cores", "1", *studies],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_names_this_machine():
    """No path of the machine that wrote it, no registry's address in what installs."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in tracked:
        # A link to a folder, such as `slurm`, is its target's name.
        file = ROOT / name
        content = os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
        assert str(ROOT.parent).encode() + b"/" not in content, name
    requirements = (ROOT / "requirements.txt").read_text()
    assert "://" not in requirements
    assert "index-url" not in requirements
