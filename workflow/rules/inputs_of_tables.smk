# What is read of finished runs, and of tables: by tables, analyses, figures, story and explorer.


def of_runs(study, wanted, *products):
    """These products of each run."""
    return [f"{runs.folder(study, run)}/{product}" for run in wanted for product in products]


def of_group(study, group, product):
    """A product of each run of a group that is trained together."""
    return of_runs(study, runs.groups(CONFIG.studies[study])[group], product)


def identities_of_group(study, group):
    return [runs.identity(study, run) for run in runs.groups(CONFIG.studies[study])[group]]


def finished_runs(wildcards):
    """Every run that the config states: its manifests and tables."""
    wanted = study_of(wildcards).runs()
    return results_of(wildcards.study, wanted)


def results_of(study, wanted):
    covered = ("history.csv", "metrics.parquet", "classes.parquet", "predictions.parquet")
    return [
        *of_runs(study, wanted, "train.json", "evaluate.json"),
        *ancient(of_runs(study, wanted, *covered)),
    ]


def finished_derived_runs(wildcards):
    """Every run that takes its recipe from the grid: its manifests and tables."""
    return results_of(wildcards.study, study_of(wildcards).derived_runs())


def baseline_of_study(wildcards, file="metrics.parquet"):
    """The scores of the backbone's own last layer, or its weights, if the study has them."""
    if not facts.has_baseline(CONFIG, wildcards.study):
        return []
    folder = BASELINE.format(**wildcards)
    return [f"{folder}/baseline.json", ancient(f"{folder}/{file}")]


def read_by_best(wildcards):
    """The tables that the best run is chosen from; where it is to be scored, checkpoints and test."""
    study = study_of(wildcards)
    tables = tables_of(study.name, PLAN.stage("evaluate_best", **wildcards).recipe["tables"])
    if facts.scores_test(CONFIG, study.name):
        return tables
    trained = of_runs(study.name, [*study.runs(), *study.derived_runs()], "checkpoints")
    return [*tables, *ancient(trained), *test_split(wildcards)]


def tables_of(study, tables):
    """Tables of a study, and the manifests that cover them."""
    folder = TABLES.format(study=study)
    covering = sorted({f"{folder}/{table_names.manifest(table)}" for table in tables})
    return [*covering, *ancient([f"{folder}/{table_names.file(table)}" for table in tables])]


def tables_expected(wildcards):
    """The tables of which a study expects values, and the manifests that cover them."""
    tables = dict.fromkeys(each.table for each in study_of(wildcards).expected)
    covered = [table_names.covering(table, wildcards.study) for table in tables]
    places = [str(table_names.place(table, wildcards.study)) for table in tables]
    return [*sorted({paths.manifest(*each) for each in covered}), *ancient(places)]


def tables_of_story(wildcards):
    return tables_of(wildcards.study, PLAN.stage("tell_story", **wildcards).recipe["tables"])


def read_by_explorer(wildcards):
    """The tables, the test split and the predictions of runs that an explorer reads."""
    read = study_of(wildcards).runs()
    return [
        # Their manifest changes with that of any run, see `read_by_analysis`.
        *tables_of(wildcards.study, PLAN.stage("write_explorer", **wildcards).recipe["tables"]),
        *ancient(of_runs(wildcards.study, read, "predictions.parquet")),
        *test_split(wildcards),
    ]


def tables_of_way(wildcards):
    """The tables that a way of choosing a λ for each class reads."""
    return tables_of(wildcards.study, facts.tables_of_way(CONFIG, wildcards.study, wildcards.way))


def splits_of_way(wildcards):
    """The splits that it reads."""
    return data_of(wildcards.study, facts.splits_of_way(CONFIG, wildcards.study, wildcards.way))


def tables_of_figure(figure):
    """The tables that a figure reads."""

    def read(wildcards):
        stage = PLAN.stage("plot", figure=figure, **wildcards)
        return tables_of(wildcards.study, stage.recipe["tables"])

    return read


def read_by_analysis(kind):
    """The runs, tables and splits that an analysis across runs reads."""
    files = kinds.constant("analyses", kind, "READS_RUNS", ())
    decayed = kinds.constant("analyses", kind, "READS_CLASS_DECAY", False)
    own_head = kinds.constant("analyses", kind, "READS_BASELINE", False)
    splits = kinds.constant("analyses", kind, "SPLITS", ())

    def read(wildcards):
        study, name = study_of(wildcards), wildcards.study
        chosen = [f"{TABLES}/chosen-{way}.json".format(study=name) for way in study.per_class]
        tables = facts.tables_of_analysis(CONFIG, name, kind)
        more = list(study.per_class_runs()) if decayed else []
        return [
            # Its manifest changes with that of any run, so theirs are not named again: each file of
            # each job costs time and memory.
            *tables_of(name, dict.fromkeys([*(["runs"] if files else []), *tables])),
            *of_runs(name, more, *runs.MANIFESTS),
            *ancient(of_runs(name, [*(study.runs() if files else []), *more], *files)),
            *(chosen if facts.reads_chosen(kind) else []),
            *(baseline_of_study(wildcards, "head.safetensors") if own_head else []),
            *data_of(name, splits),
        ]

    return read


def split_of_inspection(kind):
    """The split that an analysis of single runs reads, if it reads any."""
    split = kinds.constant("analyses", kind, "SPLIT")

    def read(wildcards):
        return data_of(wildcards.study, [split], wildcards.model) if split else []

    return read


def inspected_runs(kind):
    """What an analysis found inside each run: manifests and tables."""

    def read(wildcards):
        looked_at = PLAN.stage("analyse", study=wildcards.study, maker=kind).inputs
        folders = [INSIDE.format(**identity) for _, identity in looked_at]
        tables = [f"{table}.parquet" for table in table_names.made_by(kind)]
        return [
            *(f"{folder}/manifest.json" for folder in folders),
            *ancient([f"{folder}/{table}" for folder in folders for table in tables]),
        ]

    return read
