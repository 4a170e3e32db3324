# What people read: the report, and the last lines of a run.

import base64


def caption_of(name):
    """The caption of a report's entry, if its author wrote one."""
    file = WORKFLOW / "report" / f"{name}.rst"
    return str(file) if file.exists() else None


# The parts of a study in the report, which sorts them.
ANSWER, DRAWN, TABULATED, INSIDE_NETWORKS = "1 the answer", "2 figures", "3 tables", "4 inside"


def in_report(file, part, name, caption=None):
    """A file that the report shows, in a part of its study, under a name."""
    caption = caption_of(caption or name)
    return report(
        file, category="{study}", subcategory=part, caption=caption, labels={"shows": name}
    )


def tables_in_report(part, maker, caption, names=None):
    """The tables of a maker, and the page that the report shows of them."""
    made = [f"{TABLES}/{file}" for file in names or table_names.made_by(maker).values()]
    return [*made, in_report(f"{TABLES}/{maker}.html", part, f"tables: {maker}", caption)]


def what_was_found():
    """The answer of each study that was asked for, and how it compares with what the study expects,
    once they are there: study → lines.
    """
    wanted = CONFIG.default_studies if {"all", "default"} & set(TARGETS) else TARGETS
    found = {}
    for study in [study for study in CONFIG.studies if study in wanted]:
        told_of = ["tell_story"] * facts.has_story(CONFIG, study) + ["compare_expected"]
        for stage in told_of:
            told_by = paths.manifest(stage, {"study": study})
            try:
                told = manifests.read_manifest(told_by, stage, {"study": study})
            except CobayeError:
                continue  # not told, or damaged: the job that tells it says so
            found[study] = [*found.get(study, []), *told.info.get("summary", [])]
    return found


def say_what_was_found():
    """Say, after the last job, what was found, and where it is told."""
    for study, lines in what_was_found().items():
        names = ("story.md", "explorer.html", f"tables/{table_names.EXPECTED}")
        pages = [f"{STUDY}/{name}".format(study=study) for name in names]
        more = f"More: {', '.join(filter(os.path.exists, pages))}"
        print("", study, *lines, more, sep="\n", file=sys.stderr, flush=True)


def landing_page():
    """What report/workflow.rst shows: study → lines, and its one picture, an address in pieces."""
    page = {}
    for study, lines in what_was_found().items():
        picture = Path(f"{FIGURES}/answer.png".format(study=study))
        data = base64.b64encode(picture.read_bytes()).decode() if picture.exists() else ""
        # docutils takes no line of more than 10,000 letters.
        pieces = [data[start : start + 5000] for start in range(0, len(data), 5000)]
        page[study] = {"lines": lines, "picture": data and ["data:image/png;base64,", *pieces]}
    return page
