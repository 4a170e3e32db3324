# What each rule reads, where that depends on the config. Manifests are small and plain inputs; what
# they cover is large and `ancient`: Snakemake ignores its times, the manifest stands for it.


def study_of(wildcards):
    return CONFIG.studies[wildcards.study]


def run_of(wildcards):
    return Run(wildcards.model, wildcards.optimizer, wildcards.weight_decay, int(wildcards.seed))


def files_of(*studies):
    """All files that make studies complete."""

    def files(wildcards):
        try:
            return [file for study in studies for file in targets.of_study(CONFIG, study)]
        except CobayeError as error:
            raise WorkflowError(str(error)) from None

    return files


def origin_of(wildcards):
    """Where the recipe of a run comes from: the config, the table grid, or chosen λ."""
    return runs.origins(study_of(wildcards)).get(run_of(wildcards), "config")


def threads_of_study(wildcards):
    return study_of(wildcards).threads


def threads_of_backbone(wildcards):
    return CONFIG.backbones[wildcards.backbone].threads


def data_of(study, splits, model=None):
    """The manifests of splits of what a model, or a study, learns from; the files they cover."""
    sources = CONFIG.studies[study].sources
    if model is not None:
        sources = [CONFIG.studies[study].data_of(model)]
    every = [(data, split) for data in sources for split in splits]
    covered = [file for each in every for file in facts.split_files(CONFIG, *each)]
    return [*sorted({paths.split_manifest(*each) for each in every}), *ancient(covered)]


def every_split(wildcards):
    return data_of(wildcards.study, SPLITS)


def test_split(wildcards):
    return data_of(wildcards.study, ["test"])


def evaluated_splits(wildcards):
    return data_of(wildcards.study, study_of(wildcards).evaluate_splits, wildcards.model)


def training_splits(wildcards):
    """The splits that a run learns from, and val where a schedule or a stopping rule looks at it."""
    splits = facts.training_splits(CONFIG, wildcards.study, run_of(wildcards))
    return data_of(wildcards.study, splits, wildcards.model)


def fetched_files(wildcards):
    """What says that a dataset's files are here, if its kind can be downloaded. They are what their
    publisher says, whenever they came: so nothing is prepared anew because they did.
    """
    if not facts.is_fetched(CONFIG, wildcards.dataset):
        return []
    return ancient(paths.manifest("fetch_dataset", wildcards))


def fetched_weights(wildcards):
    """What says that torchvision's weights of a backbone are here, if it has some."""
    if not facts.has_fetched_weights(CONFIG, wildcards.backbone):
        return []
    return ancient(paths.manifest("fetch_weights", wildcards))


def dataset_of_study(wildcards):
    return f"{DATASET}/manifest.json".format(dataset=study_of(wildcards).dataset)


def backbone_of_study(wildcards):
    """The backbone whose features a study learns from."""
    base = BACKBONE.format(backbone=study_of(wildcards).data.backbone)
    return [f"{base}.json", ancient(f"{base}.safetensors")]


def run_of_backbone(wildcards):
    """The run that trained a backbone, if one did."""
    entry = CONFIG.backbones[wildcards.backbone]
    if entry.run is None:
        return []
    folder = runs.folder(entry.study, entry.run)
    chosen = CONFIG.studies[entry.study].choose_epoch != "last"
    return [
        f"{folder}/train.json",
        *([f"{folder}/evaluate.json"] if chosen else []),
        ancient(f"{folder}/checkpoints"),
    ]


def shards_of_split(wildcards):
    """All shards of a split's features."""
    count = CONFIG.datasets[wildcards.dataset].shards
    labels = [paths.shard_label(number) for number in range(count)]
    shards = expand(SHARD, **wildcards, shard=labels, shards=paths.shard_label(count))
    return [*(f"{shard}.json" for shard in shards), *ancient([f"{shard}.npy" for shard in shards])]


def starting_weights(wildcards):
    """The backbone whose weights a run starts from, if it starts from one."""
    model = study_of(wildcards).models.get(wildcards.model)
    if model is None or model.start is None:
        return []
    base = BACKBONE.format(backbone=model.start.backbone)
    return [f"{base}.json", ancient(f"{base}.safetensors")]


def neighbour(wildcards):
    """The run whose last weights a warm start begins from, if there is one."""
    run = runs.warm_start(study_of(wildcards), run_of(wildcards))
    if run is None:
        return []
    folder = runs.folder(wildcards.study, run)
    return [f"{folder}/train.json", ancient(f"{folder}/checkpoints")]


def origin_tables(wildcards):
    """The table that a run takes its recipe from, if the config does not state it."""
    origin, tables = origin_of(wildcards), TABLES.format(**wildcards)
    if origin == "grid":
        trained = of_runs(wildcards.study, study_of(wildcards).runs(), "train.json")
        return [f"{tables}/tables.json", *ancient([f"{tables}/grid.csv", *trained])]
    if origin == "class-decay":
        way = study_of(wildcards).per_class_runs()[run_of(wildcards)]
        return [f"{tables}/chosen-{way}.json", ancient(f"{tables}/chosen-{way}.csv")]
    return []


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
        *of_runs(wildcards.study, read, "train.json", "evaluate.json"),
        *ancient(of_runs(wildcards.study, read, "predictions.parquet")),
        *tables_of(wildcards.study, PLAN.stage("write_explorer", **wildcards).recipe["tables"]),
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
