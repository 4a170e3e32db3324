# Every checkpoint of a run on every split, a backbone's own last layer likewise; then the tables of a study.


rule evaluate:
    input:
        forced_if_stale(EVALUATE_MANIFEST, evaluate_stage),
        ancient(f"{paths.RUN}/checkpoints"),
        train=TRAIN_MANIFEST,
        manifests=split_manifests(*paths.SPLITS),
        inputs=split_files(*paths.SPLITS),
    output:
        f"{paths.RUN}/metrics.parquet",
        f"{paths.RUN}/classes.parquet",
        f"{paths.RUN}/predictions.parquet",
        manifest=EVALUATE_MANIFEST,
    log:
        f"{paths.LOGS}/evaluate/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.log",
    resources:
        **asks(evaluate_needs),
        gpu=GPU,
    params:
        **told(evaluate_stage),
        expected=lambda wildcards: train_stage(wildcards).fingerprint,
    script:
        "../scripts/evaluate.py"


rule evaluate_baseline:
    input:
        forced_if_stale(BASELINE_MANIFEST, baseline_stage),
        lambda wildcards: ancient(backbone_of(f"{paths.BACKBONE}.safetensors")(wildcards)),
        backbone=backbone_of(BACKBONE_MANIFEST),
        dataset=lambda wildcards: PLAN.dataset_manifest(wildcards.study),
        manifests=split_manifests(*paths.SPLITS),
        inputs=split_files(*paths.SPLITS),
    output:
        [
            f"{paths.BASELINE}/{file}"
            for file in (
                "head.safetensors",
                "metrics.parquet",
                "classes.parquet",
                "predictions.parquet",
            )
        ],
        manifest=BASELINE_MANIFEST,
    log:
        f"{paths.LOGS}/evaluate_baseline/{{study}}.log",
    resources:
        **asks(baseline_needs),
        gpu=GPU,
    params:
        **told(baseline_stage),
    script:
        "../scripts/evaluate_baseline.py"


rule tabulate:
    input:
        forced_if_stale(TABLES_MANIFEST, tabulate_stage),
        manifests=of_all_runs("train.json", "evaluate.json"),
        baseline=of_baseline("baseline.json"),
        baseline_tables=lambda wildcards: ancient(of_baseline("metrics.parquet")(wildcards)),
        histories=lambda wildcards: ancient(of_all_runs("history.csv")(wildcards)),
        tables=lambda wildcards: ancient(
            of_all_runs("metrics.parquet", "classes.parquet", "predictions.parquet")(wildcards)
        ),
        dataset=lambda wildcards: PLAN.dataset_manifest(wildcards.study),
    output:
        report(
            [f"{paths.TABLES}/{file}" for file in table_files.FILES.values()],
            category="{study}",
            subcategory="tables",
            caption="../report/tables.rst",
        ),
        manifest=TABLES_MANIFEST,
    log:
        f"{paths.LOGS}/tabulate/{{study}}.log",
    localrule: True
    resources:
        **asks(tabulate_needs),
    params:
        **told(tabulate_stage),
        dataset=lambda wildcards: CONFIG.studies[wildcards.study].data.dataset,
        expected=lambda wildcards: PLAN.expected_runs(wildcards.study),
    script:
        "../scripts/tabulate.py"
