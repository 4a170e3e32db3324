"""The house stands: sizes, who may import whom, what a parse may not import, the linters."""

from __future__ import annotations

import ast
import collections
import graphlib
import os
import re
import subprocess
import sys

import pytest

from cobaye import figures, kinds
from tests.conftest import ROOT

LIBRARY = ROOT / "workflow/cobaye"
# Rooms, two lone modules and packages: each imports only from those before it.
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
    "tables",
    "models",
    "features",
    "training",
    "class_decay",
    "evaluation",
    "inside",
    "figures",
    "story",
    "analyses",
    "estimators",
    "workspace",
]
# What reads the config and plans from it, for the Snakefile alone, and what writes a config.
PARSE = ("config", "planning", "workspace")
# The library's door and the command line's, of no room.
DOORS = ("cobaye", "cobaye.__main__")
# What `snakemake --lint` asks for and is declined: the environment is one, pinned in
# requirements.txt for every rule, so that plain pip is enough.
DECLINED_LINTS = {"Specify a conda environment or container for each rule."}


FAMILIES = [LIBRARY / folder for folder in kinds.FAMILIES.values()]


def dotted(file):
    parts = file.relative_to(LIBRARY.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(file): file for file in sorted(LIBRARY.rglob("*.py"))}


def imported(file):
    """Return the modules of the library that a file imports, by their dotted names."""
    found, nodes = set(), [ast.parse(file.read_text())]
    for node in nodes:
        if not (isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"):
            nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cobaye":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in names}
    return found


def room(module):
    return module.split(".")[1]


@pytest.fixture(scope="module")
def graph():
    return {name: imported(file) for name, file in MODULES.items() if name not in DOORS}


def test_rooms_import_only_from_those_before_them(graph):
    assert sorted({room(name) for name in graph}) == sorted(ORDER)
    assert len(list(LIBRARY.glob("[a-z]*.py"))) <= 3
    assert len(ORDER) <= 19 + 3
    wrong = [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if ORDER.index(room(other)) > ORDER.index(room(name))
    ]
    assert wrong == []
    floors = dict.fromkeys(ORDER, 1)
    for above in ORDER:
        rooms = {room(o) for name, others in graph.items() if room(name) == above for o in others}
        floors[above] = 1 + max((floors[each] for each in rooms - {above}), default=0)
    assert max(floors.values()) <= 8, floors


def test_no_module_imports_itself_by_way_of_others(graph):
    """Within a room too; and what the kinds of a family share imports none of them."""
    graphlib.TopologicalSorter(graph).prepare()
    for family in FAMILIES:
        named = {dotted(file) for file in family.glob("[a-z]*.py")}
        for file in family.glob("_*.py"):
            assert not graph[dotted(file)] & named, file


def test_files_have_names_of_their_own():
    """Kinds aside, which are asked for by family and name."""
    files = [file for file in MODULES.values() if file.parent not in FAMILIES]
    stems = collections.Counter(file.stem for file in files if file.stem != "__init__")
    assert {stem for stem, count in stems.items() if count > 1} == set()


def test_every_package_says_what_it_is_for():
    for folder in {file.parent for file in MODULES.values()}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_every_file_of_tests_says_what_it_protects():
    for file in (ROOT / "tests").glob("[a-z]*.py"):
        head = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n\n")[0]
        assert head.endswith("."), file


@pytest.mark.parametrize(("budget", "status"), [(0.01, 1), (60, 0)])
def test_a_file_over_its_budget_fails_the_run(tmp_path, budget, status):
    (tmp_path / "test_long.py").write_text("def test(): sum(range(10**7))\n")
    code = (
        "import sys, pytest; from tests import budget; budget.BUDGET = float(sys.argv[1])\n"
        "sys.exit(pytest.main(['-q', '-p', 'tests.budget', 'test_long.py']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(budget)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert ("test_long.py: 0 s of a processor, and its budget" in done.stdout) is bool(status)


def test_only_the_snakefile_knows_the_config(graph):
    """Pydantic stays behind `config`, and Snakemake outside the library."""
    for name, others in graph.items():
        if room(name) not in PARSE:
            assert not set(PARSE) & {room(other) for other in others}, name
            text = MODULES[name].read_text()
            assert not re.search(r"^\s*(import|from) (pydantic|snakemake)", text, re.M), name
    for file in (ROOT / "workflow/scripts").glob("*.py"):
        assert not set(PARSE) & {room(other) for other in imported(file)}, file


def test_sizes():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 60
    for file in (ROOT / "workflow/scripts").glob("[a-z]*.py"):
        assert len(file.read_text().splitlines()) <= 40, file
    for file in MODULES.values():
        assert len(file.read_text().splitlines()) <= 250, file


@pytest.mark.slow
def test_every_shipped_study_is_planned_without_torch():
    """A dry run of each, with nothing downloaded and nothing made: jobs of a cluster plan too."""
    studies = [file.stem for file in sorted((ROOT / "config/studies").glob("*.yaml"))]
    code = (
        "import sys; from snakemake.cli import main\n"
        "try: main(['-n', '--cores', '1', *sys.argv[1:], '--quiet', 'all'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        # Snakemake imports pandas itself.
        "heavy = {'torch', 'matplotlib', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *studies],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["snakefmt", "--check", "Snakefile", "workflow/Snakefile", "workflow/rules"],
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
