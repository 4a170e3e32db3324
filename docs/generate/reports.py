"""The page of the five reports: for each row a command, for each number of theirs ours.

Made of `reports.md.in`, of the rows in `reports.yaml`, and of the key `expected` of the studies. In
the template, ``<!-- rows: S0 -->`` stands for the table of a report's rows, and ``<!-- values: a b
-->`` for that of the values of a study and of its twins; ``-`` for a study of which there is none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from cobaye import figures
from cobaye.config import Config
from cobaye.recipes.expected_value import ExpectedValue
from cobaye.storage import table_names

FOLDER = Path(__file__).parent
CONFIG = FOLDER.parents[1] / "config"
NONE = "–"
HEAD = (
    "<!-- Made by `python docs/generate/reference.py` from docs/generate/reports.* and "
    "config/studies. -->\n\n"
)


def page() -> str:
    """Return the page in Markdown."""
    config = Config({"studies": ["glyphs"]}, CONFIG, figures.names())
    template = (FOLDER / "reports.md.in").read_text(encoding="utf-8")

    def filled(place: re.Match[str]) -> str:
        word, _, rest = place[1].partition(": ")
        return _rows(config, rest) if word == "rows" else _values(config, *rest.split())

    return re.sub(r"<!-- (.*?) -->", filled, template)


def rows() -> dict[str, dict[str, Any]]:
    """Return row → what it is, with the studies of its section where it has none of its own."""
    sections = yaml.safe_load((FOLDER / "reports.yaml").read_text(encoding="utf-8"))
    return {
        name: {"studies": section["studies"], **row}
        for section in sections.values()
        for name, row in section["rows"].items()
    }


def targets(config: Config, row: dict[str, Any]) -> list[list[str]]:
    """Return what shows a row, as targets of Snakemake: of the report's data, and of the twin."""
    shown = (row["shows"], row.get("twin", row["shows"]))
    return [
        [_target(config, study, each) for each in many] if study else []
        for study, many in zip(row["studies"], shown, strict=True)
    ]


def _target(config: Config, study: str, shown: str) -> str:
    if shown.startswith("resources/"):
        return shown
    if shown.startswith("features/"):
        return f"results/{shown}"
    if "/" in shown:
        return f"results/{study}/{shown}"
    if shown.endswith((".csv", ".parquet")):
        return str(table_names.place(shown.rpartition(".")[0], study))
    return f"results/{study}/figures/{shown}.pdf"


def _rows(config: Config, report: str) -> str:
    lines = [
        "| row | what | in the report | with the report's data | twin |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows().items():
        if name.partition(".")[0] == report:
            commands = [
                f"`snakemake --cores all {' '.join(many)}`" if many else row["without"]
                for many in targets(config, row)
            ]
            what = row["what"]
            if "tests" in row:
                what += f" (`pytest tests/{row['tests']}.py`)"
            lines.append(_line(name, what, row["at"], *commands))
    return "\n".join(lines)


def _values(config: Config, study: str, *twins: str) -> str:
    """Return a table with a line per quantity, in the order of the study, then of its twins."""
    named = [study] * (study != "-") + list(twins)
    found: dict[str, dict[str, ExpectedValue]] = {}
    for name in named:
        for value in config.studies[name].expected:
            found.setdefault(value.quantity, {})[name] = value
    heads = [f"`{name}`{', a twin: ours' if name in twins else ''}" for name in named]
    heads = ["value", *(["in the report"] if study != "-" else []), *heads]
    lines = [_line(*heads), "|---" * len(heads) + "|"]
    for quantity, values in found.items():
        cells = [_told(values.get(name)) for name in named]
        source = [values[study].source if study in values else NONE] * (study != "-")
        lines.append(_line(quantity, *source, *cells))
    return "\n".join(lines)


def _told(value: ExpectedValue | None) -> str:
    if value is None:
        return NONE
    bound = f"{value.bound} " if value.bound else ""
    return f"{bound}{value.value:.10g} ± {value.tolerance:.3g}".replace("-", "−").replace(
        "e−", "e-"
    )


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
