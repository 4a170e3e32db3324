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
