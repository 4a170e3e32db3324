"""Sphinx's settings. The root of its sources is the repository's: every file stays in its place.

`make docs` calls this. Pages that are made of the code and of results/ are written to docs/made/.
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]

from docs.generate import gallery, library, mathml  # noqa: E402

with (ROOT / "pyproject.toml").open("rb") as file:
    release = tomllib.load(file)["project"]["version"]
project = "cobaye"
author = copyright = "The cobaye developers"

root_doc = "docs/index"
include_patterns = [
    "*.md",
    "benchmarks/README.md",
    "config/README.md",
    "docs/*.md",
    "docs/made/*.md",
]
exclude_patterns = [".*", "build", "resources", "results", "slurm"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
nitpicky = True
# Types in docstrings and signatures whose libraries have their own documentation.
nitpick_ignore_regex = [("py:.*", r"(?!cobaye\.(WeightDecayPath|PerClassWeightDecay|read)$).*")]
# Autodoc imports the library without what takes minutes to install.
HEAVY = ("matplotlib", "pandas", "PIL", "psutil", "pyarrow", "safetensors", "scipy", "sklearn")
autodoc_mock_imports = [
    name
    for name in (*HEAVY, "torch", "torchvision", "tqdm")
    if importlib.util.find_spec(name) is None
]
autodoc_typehints = "none"
default_role = "literal"
highlight_language = "none"

html_theme = "furo"
html_title = "cobaye"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_extra_path = ["_root"]
html_math_renderer = "mathml"
html_show_sphinx = False
copybutton_prompt_text = "$ "


def setup(app):
    """Write the pages that are made, and draw formulas as MathML, which needs no network."""
    mathml.setup(app)
    app.connect("autodoc-process-docstring", library.as_lists)
    app.connect("autodoc-process-signature", library.own_signature)
    made = ROOT / "docs/made"
    library.write(made)
    gallery.write(made, ROOT / "results")
