# Every checkpoint of a run on every split; then the tables of a study.

EVALUATE_MANIFEST = f"{paths.RUN}/evaluate.json"
TABLES_MANIFEST = f"{paths.TABLES}/tables.json"
RUN_TABLES = [f"{paths.RUN}/{name}.parquet" for name in ("metrics", "classes", "predictions")]


def evaluate_stage(wildcards):
    return PLAN.evaluate(wildcards.study, run_of(wildcards))


def tabulate_stage(wildcards):
    return PLAN.tabulate(wildcards.study)


def of_all_runs(*templates):
    """The files of all runs of a study, for each of these templates below a run's folder."""
    return lambda wildcards: [
        f"{PLAN.run_folder(wildcards.study, run)}/{template}"
        for run in CONFIG.studies[wildcards.study].runs()
        for template in templates
    ]


rule evaluate:
    input:
        forced_if_stale(EVALUATE_MANIFEST, evaluate_stage),
        ancient(f"{paths.RUN}/checkpoints"),
        train=TRAIN_MANIFEST,
        manifests=lambda wildcards: sorted(
            {PLAN.split_manifest(wildcards.study, split) for split in paths.SPLITS}
        ),
        inputs=lambda wildcards: ancient(
            [file for split in paths.SPLITS for file in PLAN.split_files(wildcards.study, split)]
        ),
    output:
        RUN_TABLES,
        manifest=EVALUATE_MANIFEST,
    params:
        **told(evaluate_stage),
        expected=lambda wildcards: train_stage(wildcards).fingerprint,
    resources:
        gpu=GPU,
    log:
        f"{paths.LOGS}/evaluate/{{study}}.{{model}}.{{optimizer}}.wd-{{weight_decay}}.seed-{{seed}}.log",
    script:
        "../scripts/evaluate.py"


rule tabulate:
    input:
        forced_if_stale(TABLES_MANIFEST, tabulate_stage),
        manifests=of_all_runs("train.json", "evaluate.json"),
        tables=lambda wildcards: ancient(
            of_all_runs(
                "history.csv", "metrics.parquet", "classes.parquet", "predictions.parquet"
            )(wildcards)
        ),
        dataset=lambda wildcards: PLAN.dataset_manifest(wildcards.study),
    output:
        report(
            [f"{paths.TABLES}/{file}" for file in paths.TABLE_FILES.values() if file.endswith(".csv")],
            category="{study}",
            subcategory="tables",
            caption="../report/tables.rst",
        ),
        [f"{paths.TABLES}/{file}" for file in paths.TABLE_FILES.values() if file.endswith(".parquet")],
        manifest=TABLES_MANIFEST,
    params:
        **told(tabulate_stage),
        dataset=lambda wildcards: CONFIG.studies[wildcards.study].data.dataset,
        expected=lambda wildcards: PLAN.expected_runs(wildcards.study),
    log:
        f"{paths.LOGS}/tabulate/{{study}}.log",
    script:
        "../scripts/tabulate.py"
