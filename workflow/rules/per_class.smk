# A λ for each class: chosen from finished runs, then one more run with all of them at once.


rule choose_weight_decay:
    input:
        forced_if_stale(CHOSEN_MANIFEST, choose_stage),
        lambda wildcards: ancient(tables_of_way(table_files.file)(wildcards)),
        tables=lambda wildcards: tables_of_way(table_files.manifest)(wildcards),
        dataset=lambda wildcards: PLAN.dataset_manifest(wildcards.study),
        manifests=lambda wildcards: split_manifests(*splits_of_way(wildcards))(wildcards),
        inputs=lambda wildcards: split_files(*splits_of_way(wildcards))(wildcards),
    output:
        report(
            paths.CHOSEN,
            category="{study}",
            subcategory="tables",
            caption="../report/chosen.rst",
        ),
        manifest=CHOSEN_MANIFEST,
    log:
        f"{paths.LOGS}/choose_weight_decay/{{study}}/{{way}}.log",
    threads: lambda wildcards: CONFIG.studies[wildcards.study].threads
    resources:
        **asks(choose_needs),
        gpu=GPU,
    params:
        **told(choose_stage),
    script:
        "../scripts/choose_weight_decay.py"


rule train_per_class:
    input:
        forced_if_stale(TRAIN_MANIFEST, train_stage),
        lambda wildcards: ancient(start_of_run(".safetensors")(wildcards)),
        lambda wildcards: ancient(chosen_of_run(paths.CHOSEN)(wildcards)),
        manifest=lambda wildcards: split_manifests(*train_splits(wildcards))(wildcards),
        start=start_of_run(".json"),
        chosen=lambda wildcards: chosen_of_run(CHOSEN_MANIFEST)(wildcards),
        inputs=lambda wildcards: split_files(*train_splits(wildcards))(wildcards),
    output:
        directory(f"{paths.RUN}/checkpoints"),
        f"{paths.RUN}/history.csv",
        f"{paths.RUN}/run.json",
        manifest=TRAIN_MANIFEST,
    log:
        f"{paths.LOGS}/train_per_class/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.log",
    wildcard_constraints:
        weight_decay=one_of(PER_CLASS),
    threads: lambda wildcards: CONFIG.studies[wildcards.study].threads
    resources:
        **asks(train_needs),
        gpu=GPU,
    params:
        **told(train_stage),
    script:
        "../scripts/train_per_class.py"


rule analyse_per_class:
    input:
        forced_if_stale(f"{paths.TABLES}/per-class.json", analysis_stage("per-class")),
        f"{paths.TABLES}/best-lambda.csv",
        lambda wildcards: ancient(of_all_runs("checkpoints")(wildcards)),
        tables=TABLES_MANIFEST,
        runs=of_all_runs("train.json", "evaluate.json"),
        manifests=of_all_per_class_runs("train.json", "evaluate.json"),
        chosen=lambda wildcards: of_all_ways(CHOSEN_MANIFEST)(wildcards),
        predictions=lambda wildcards: ancient(
            of_all_runs("predictions.parquet")(wildcards)
            + of_all_per_class_runs("predictions.parquet")(wildcards)
        ),
        dataset=lambda wildcards: PLAN.dataset_manifest(wildcards.study),
    output:
        report(
            [f"{paths.TABLES}/{file}" for file in table_files.made_by("per-class").values()],
            category="{study}",
            subcategory="analysis of classes",
            caption="../report/per-class.rst",
        ),
        manifest=f"{paths.TABLES}/per-class.json",
    log:
        f"{paths.LOGS}/analyse_per_class/{{study}}.log",
    resources:
        **asks(tabulate_needs),
    params:
        **told(analysis_stage("per-class")),
        dataset=lambda wildcards: CONFIG.studies[wildcards.study].data.dataset,
        expected=lambda wildcards: PLAN.expected_per_class(wildcards.study),
    script:
        "../scripts/analyse_per_class.py"
