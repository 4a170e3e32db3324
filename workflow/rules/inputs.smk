# What each rule reads, where that depends on the config.


def all_shards(suffix):
    """The files of all shards of a split."""
    return lambda wildcards: expand(
        paths.SHARD + suffix,
        **wildcards,
        shard=PLAN.shards(wildcards.dataset),
        shards=PLAN.shard_count(wildcards.dataset),
    )


def split_manifests(*splits):
    """The manifests over what a study learns from."""
    return lambda wildcards: sorted(
        {PLAN.split_manifest(wildcards.study, split) for split in splits}
    )


def split_files(*splits):
    """The folders or files of what a study learns from: large, so compared by nothing."""
    return lambda wildcards: ancient(
        [file for split in splits for file in PLAN.split_files(wildcards.study, split)]
    )


def evaluated(wildcards):
    """The splits that a study scores."""
    return CONFIG.studies[wildcards.study].evaluate_splits


def start_of_run(suffix):
    """A file of the backbone whose weights a run starts from, if it starts from any."""
    return lambda wildcards: PLAN.start(wildcards.study, wildcards.model, suffix)


def warm_start(product):
    """A product of the run whose last weights a run starts from, if it starts from any."""
    return lambda wildcards: PLAN.warm_start_of(wildcards.study, run_of(wildcards), product)


def of_baseline(*products):
    """These products of a study's baseline, if it has one."""
    return lambda wildcards: [
        file for name in products for file in PLAN.baseline_product(wildcards.study, name)
    ]


def backbone_of(product):
    """A product of the backbone of a study."""
    return lambda wildcards: product.format(backbone=CONFIG.studies[wildcards.study].data.backbone)


def products_of(runs, products):
    """These products of every run of a study that `runs` lists."""
    return lambda wildcards: [
        f"{PLAN.run_folder(wildcards.study, run)}/{product}"
        for run in runs(CONFIG.studies[wildcards.study])
        for product in products
    ]


def of_all_runs(*products):
    """Of those in the product of its models, optimizers, λ and seeds."""
    return products_of(study_recipes.Study.runs, products)


def of_all_derived_runs(*products):
    """Of those that repeat what a table found."""
    return products_of(study_recipes.Study.derived_runs, products)


def of_all_per_class_runs(*products):
    """Of those with a λ for each class."""
    return products_of(study_recipes.Study.per_class_runs, products)


def split_of_measure(analysis, product):
    """What an analysis of single runs reads of the data, if it reads any."""
    split = kinds.constant("analyses", analysis, "SPLIT")
    return lambda wildcards: product(split)(wildcards) if split else []


def of_all_measured(analysis, *files):
    """These files of every run and state that an analysis looks into."""
    return lambda wildcards: [
        f"{folder}/{file}"
        for folder in PLAN.measured_folders(wildcards.study, analysis)
        for file in files
    ]


def tables_read(stage):
    """The files of the tables that a job is told to read."""
    return lambda wildcards: ancient(
        [
            f"{paths.TABLES}/{table_files.file(table)}".format(**wildcards)
            for table in stage(wildcards).recipe["tables"]
        ]
    )


def table_manifests_read(stage):
    """The manifests that cover them."""
    return lambda wildcards: sorted(
        {
            f"{paths.TABLES}/{table_files.manifest(table)}".format(**wildcards)
            for table in stage(wildcards).recipe["tables"]
        }
    )


def of_all_ways(product):
    """A product of every way in which a study chooses a λ for each class."""
    return lambda wildcards: [
        product.format(study=wildcards.study, way=way)
        for way in CONFIG.studies[wildcards.study].per_class
    ]


def more_of_story(wildcards):
    """The manifests of what a study's story tells beside what all of them tell."""
    return [
        f"{paths.TABLES}/{table_files.manifest(table)}".format(**wildcards)
        for table in PLAN.story(wildcards.study).recipe.get("tables", ())
    ]


def splits_of_way(wildcards):
    """The splits that a way of choosing a λ for each class reads."""
    return PLAN.splits_of_way(wildcards.study, wildcards.way)


def tables_of_way(product):
    """The files, or the manifests, of the tables that such a way reads."""
    return lambda wildcards: sorted(
        {
            f"{paths.TABLES}/{product(table)}".format(**wildcards)
            for table in PLAN.tables_of_way(wildcards.study, wildcards.way)
        }
    )


def chosen_of_run(product):
    """A product of the way in which the λ of a run were chosen."""

    def found(wildcards):
        way = CONFIG.studies[wildcards.study].per_class_runs()[run_of(wildcards)]
        return [product.format(study=wildcards.study, way=way)]

    return found


def if_derived(*products):
    """These products of a study, if it has derived runs."""
    return lambda wildcards: [
        product.format(**wildcards)
        for product in products
        if CONFIG.studies[wildcards.study].derived
    ]
