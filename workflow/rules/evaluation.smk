# Every checkpoint of a run on every split, a backbone's own last layer likewise; then the tables of a study.


rule evaluate:
    input:
        forced_if_stale(EVALUATE_MANIFEST, evaluate_stage),
        ancient(f"{paths.RUN}/checkpoints"),
        train=TRAIN_MANIFEST,
        manifests=lambda wildcards: split_manifests(*evaluated(wildcards))(wildcards),
        inputs=lambda wildcards: split_files(*evaluated(wildcards))(wildcards),
    output:
        f"{paths.RUN}/metrics.parquet",
        f"{paths.RUN}/classes.parquet",
        f"{paths.RUN}/predictions.parquet",
        manifest=EVALUATE_MANIFEST,
    log:
        f"{paths.LOGS}/evaluate/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.log",
    wildcard_constraints:
        study=one_of(ONE_BY_ONE),
        model=one_of(MODELS),
    resources:
        **asks(evaluate_needs),
        gpu=GPU,
    params:
        **told(evaluate_stage),
        expected=lambda wildcards: train_stage(wildcards).fingerprint,
    script:
        "../scripts/evaluate.py"


for study, group in GROUPS:

    rule:
        name:
            f"evaluate_together_{study}_{group}"
        input:
            forced_if_any_is_stale(study, group, evaluated=True),
            ancient(of_group(study, group, "checkpoints")),
            train=of_group(study, group, "train.json"),
            manifests=sorted(
                {
                    PLAN.split_manifest(study, split)
                    for split in CONFIG.studies[study].evaluate_splits
                }
            ),
            inputs=ancient(
                [
                    file
                    for split in CONFIG.studies[study].evaluate_splits
                    for file in PLAN.split_files(study, split)
                ]
            ),
        output:
            [
                file
                for name in ("metrics", "classes", "predictions")
                for file in of_group(study, group, f"{name}.parquet")
            ],
            manifests=of_group(study, group, "evaluate.json"),
        log:
            f"{paths.LOGS}/evaluate_together/{study}/{group}.log",
        resources:
            **asks(group_needs(study, group, evaluated=True)),
            gpu=GPU,
        params:
            **told(group_stage(study, group, evaluated=True)),
        script:
            "../scripts/evaluate_together.py"


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


rule evaluate_best:
    input:
        forced_if_stale(BEST_MANIFEST, best_stage),
        f"{paths.TABLES}/grid.csv",
        lambda wildcards: ancient(of_all_runs("checkpoints")(wildcards)),
        lambda wildcards: ancient(of_all_derived_runs("checkpoints")(wildcards)),
        tables=TABLES_MANIFEST,
        derived=if_derived(DERIVED_MANIFEST, f"{paths.TABLES}/derived.csv"),
        manifests=split_manifests("test"),
        inputs=split_files("test"),
    output:
        report(
            f"{paths.BEST}/best.csv",
            category="{study}",
            subcategory="tables",
            caption="../report/best.rst",
        ),
        manifest=BEST_MANIFEST,
    log:
        f"{paths.LOGS}/evaluate_best/{{study}}.log",
    resources:
        **asks(best_needs),
        gpu=GPU,
    params:
        **told(best_stage),
    script:
        "../scripts/evaluate_best.py"


rule evaluate_derived:
    input:
        forced_if_stale(EVALUATE_MANIFEST, evaluate_derived_stage),
        ancient(f"{paths.RUN}/checkpoints"),
        train=TRAIN_MANIFEST,
        manifests=lambda wildcards: split_manifests(*evaluated(wildcards))(wildcards),
        inputs=lambda wildcards: split_files(*evaluated(wildcards))(wildcards),
    output:
        f"{paths.RUN}/metrics.parquet",
        f"{paths.RUN}/classes.parquet",
        f"{paths.RUN}/predictions.parquet",
        manifest=EVALUATE_MANIFEST,
    log:
        f"{paths.LOGS}/evaluate_derived/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.log",
    wildcard_constraints:
        model=one_of(run.model for run in DERIVED),
    resources:
        **asks(derived_needs(evaluated=True)),
        gpu=GPU,
    params:
        **told(evaluate_derived_stage),
        expected=lambda wildcards: train_derived_stage(wildcards).fingerprint,
    script:
        "../scripts/evaluate_derived.py"


rule tabulate_derived:
    input:
        forced_if_stale(DERIVED_MANIFEST, tabulate_derived_stage),
        manifests=of_all_derived_runs("train.json", "evaluate.json"),
        histories=lambda wildcards: ancient(of_all_derived_runs("history.csv")(wildcards)),
        tables=lambda wildcards: ancient(
            of_all_derived_runs("metrics.parquet", "classes.parquet", "predictions.parquet")(
                wildcards
            )
        ),
    output:
        report(
            [f"{paths.TABLES}/{file}" for file in table_files.DERIVED_FILES.values()],
            category="{study}",
            subcategory="tables",
            caption="../report/derived.rst",
        ),
        manifest=DERIVED_MANIFEST,
    log:
        f"{paths.LOGS}/tabulate_derived/{{study}}.log",
    resources:
        **asks(tabulate_needs),
    params:
        **told(tabulate_derived_stage),
        expected=lambda wildcards: PLAN.expected_derived(wildcards.study),
    script:
        "../scripts/tabulate_derived.py"
