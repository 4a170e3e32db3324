"""The files that make a study complete: its runs, tables, story, explorer and figures."""

from __future__ import annotations

from cobaye.config import Config
from cobaye.planning import facts, runs
from cobaye.storage import paths, table_names

FORMATS = ("svg", "pdf", "png")


def of_study(config: Config, study: str) -> list[str]:
    """Return the targets of a study, manifests included."""
    entry = config.studies[study]
    everything = [run for each in runs.of_config(entry).values() for run in each]
    files = [f"{runs.folder(study, run)}/{name}" for run in everything for name in runs.MANIFESTS]
    makers = [table_names.TABULATE, *entry.analyses]
    if entry.derived:
        makers.append(table_names.DERIVED)
    for maker in makers:
        files += [f"{paths.TABLES}/{file}" for file in table_names.made_by(maker).values()]
        files.append(f"{paths.TABLES}/{maker}.json")
    if not entry.backbones:
        files += [f"{paths.TABLES}/{file}" for file in table_names.DESCRIPTIONS]
    for way in entry.per_class:
        files += [f"{paths.TABLES}/chosen-{way}.{suffix}" for suffix in ("csv", "json")]
    files += [f"{paths.BEST}/best.{suffix}" for suffix in ("csv", "json")]
    if facts.has_baseline(config, study):
        files.append(f"{paths.BASELINE}/baseline.json")
    if entry.expected:
        manifest = paths.manifest("compare_expected", {"study": study})
        files += [f"{paths.TABLES}/{table_names.EXPECTED}", manifest]
    if facts.has_story(config, study):
        told = ("story.md", "story.json", "explorer.html", "explorer.json")
        files += [f"{paths.STUDY}/{name}" for name in told]
    for figure in entry.figures:
        files += [f"{paths.FIGURES}/{figure}.{suffix}" for suffix in (*FORMATS, "json")]
    return [file.format(study=study) for file in files]
