"""`cobaye widen`: λ beyond the end of a study's grid, written into its file.

Only the lists of λ are written anew; the text around them stays as it is, comments included.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from cobaye.config import yaml_files
from cobaye.errors import ConfigError, DataError, nearest
from cobaye.storage import files, manifests, paths, table_names
from cobaye.tables import grid_ends, reading


def widen(study: str) -> list[str]:
    """Add λ where the best ones stand at an end of a study's grid; return what was done, in lines.

    The tables of its last run decide. Raises CobayeError where there are none, and where the file
    cannot be changed; nothing is written then.
    """
    file = Path("config/studies") / f"{study}.yaml"
    known = [each.stem for each in file.parent.glob("*.yaml")]
    if study not in known:
        raise ConfigError(f"no study {study!r}: {nearest(study, known)}")
    content = yaml_files.read_yaml(file)
    lines, more = [], {("weight_decays",): set()}
    for optimizer, end in _ends(study):
        lines.append(
            f"{optimizer}: the {end.side} λ, {end.label}, is the best "
            + ("overall" if end.overall else f"of {100 * end.share:.0f} % of the classes")
            + (f": added {', '.join(end.more)}" if end.more else ": no λ within the bounds is left")
        )
        more["weight_decays",] |= {*end.more}
        if "weight_decays" in content["optimizers"][optimizer]:
            more.setdefault(("optimizers", optimizer, "weight_decays"), set()).update(end.more)
    if any(more.values()):
        files.write_bytes(file, _widened(file, more).encode())
    return lines or [f"no best λ stands at an end of the grid: {file} stays as it is"]


def _ends(study: str) -> Iterator[tuple[str, grid_ends.End]]:
    """Yield the optimizer and the end, for each configuration and end where a best λ stands."""
    best, runs = _table(study, "best-lambda"), _table(study, "runs")
    gains = _table(study, "class-gains")
    for _, row in best.iterrows():
        grid = reading.of_configuration(runs, row)["weight_decay"].unique()
        for end in grid_ends.ends(
            row["weight_decay"], reading.of_configuration(gains, row)["shrunk"], grid
        ):
            yield row["optimizer"], end


def _table(study: str, table: str) -> pd.DataFrame:
    """Return a table of a study, checked."""
    maker, folder = table_names.makers()[table], Path(paths.TABLES.format(study=study))
    path, identity = folder / table_names.manifest(table), {"study": study, "maker": maker}
    if not path.is_file():
        raise DataError(
            f"{path} is missing: first run: snakemake --cores all {study} (with the analysis "
            "classes, which is one of a study of the last layer unless it says otherwise)"
        )
    manifest = manifests.read_manifest(path, table_names.stage(maker), identity)
    return reading.read(folder, table, manifest)


def _widened(file: Path, more: dict[tuple[str, ...], set[str]]) -> str:
    """Return the text of a study with λ added to its lists. keys of `more`: where a list stands."""
    text, expected = file.read_text(encoding="utf-8"), yaml_files.read_yaml(file)
    for keys, labels in more.items():
        node, parent = yaml.compose(text, yaml.SafeLoader), expected
        for key in keys:
            node = next(value for name, value in node.value if name.value == key)
        for key in keys[:-1]:
            parent = parent[key]
        listed = parent[keys[-1]]
        falls = float(listed[0]) > float(listed[-1])
        parent[keys[-1]] = sorted({*listed, *labels}, key=float, reverse=falls)
        before = text[node.start_mark.index : node.end_mark.index].rstrip()
        if "#" in before:
            raise ConfigError(f"{file}: {'.'.join(keys)}: holds a comment: {_by_hand(labels)}")
        after = "[" + ", ".join(f'"{label}"' for label in parent[keys[-1]]) + "]"
        start = node.start_mark.index
        text = text[:start] + after + text[start + len(before) :]
    if yaml.load(text, yaml.SafeLoader) != expected:
        every = set().union(*more.values())
        raise ConfigError(f"{file}: weight_decays: not a plain list: {_by_hand(every)}")
    return text


def _by_hand(labels: set[str]) -> str:
    return f"add these by hand: {', '.join(sorted(labels, key=float))}"
