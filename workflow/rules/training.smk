# One training: one (study, model, optimizer, λ, seed); or a group of them side by side.


rule train:
    input:
        forced_if_stale(TRAIN_MANIFEST, train_stage),
        lambda wildcards: ancient(start_of_run(".safetensors")(wildcards)),
        lambda wildcards: ancient(warm_start("checkpoints")(wildcards)),
        manifest=lambda wildcards: split_manifests(*train_splits(wildcards))(wildcards),
        start=start_of_run(".json"),
        neighbour=warm_start("train.json"),
        inputs=lambda wildcards: split_files(*train_splits(wildcards))(wildcards),
    output:
        directory(f"{paths.RUN}/checkpoints"),
        f"{paths.RUN}/history.csv",
        f"{paths.RUN}/run.json",
        manifest=TRAIN_MANIFEST,
    log:
        f"{paths.LOGS}/train/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.log",
    wildcard_constraints:
        study=one_of(ONE_BY_ONE),
        model=one_of(MODELS),
        weight_decay=one_of(LABELS),
    threads: lambda wildcards: CONFIG.studies[wildcards.study].threads
    resources:
        **asks(train_needs),
        gpu=GPU,
    params:
        **told(train_stage),
        expected=lambda wildcards: PLAN.warm_start_expected(wildcards.study, run_of(wildcards)),
    script:
        "../scripts/train.py"


for study, group in GROUPS:

    rule:
        name:
            f"train_together_{study}_{group}"
        input:
            forced_if_any_is_stale(study, group, evaluated=False),
            manifest=PLAN.split_manifest(study, "train"),
            inputs=ancient(PLAN.split_files(study, "train")),
        output:
            directory(of_group(study, group, "checkpoints")),
            of_group(study, group, "history.csv"),
            of_group(study, group, "run.json"),
            manifests=of_group(study, group, "train.json"),
        log:
            f"{paths.LOGS}/train_together/{study}/{group}.log",
        threads: CONFIG.studies[study].threads
        resources:
            **asks(group_needs(study, group, evaluated=False)),
            gpu=GPU,
        params:
            **told(group_stage(study, group, evaluated=False)),
        script:
            "../scripts/train_together.py"


rule train_derived:
    input:
        forced_if_stale(TRAIN_MANIFEST, train_derived_stage),
        ancient(f"{paths.TABLES}/grid.csv"),
        lambda wildcards: ancient(of_all_runs("train.json")(wildcards)),
        tables=TABLES_MANIFEST,
        manifest=split_manifests("train", "val"),
        inputs=split_files("train", "val"),
    output:
        directory(f"{paths.RUN}/checkpoints"),
        f"{paths.RUN}/history.csv",
        f"{paths.RUN}/run.json",
        manifest=TRAIN_MANIFEST,
    log:
        f"{paths.LOGS}/train_derived/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.log",
    wildcard_constraints:
        model=one_of(run.model for run in DERIVED),
    threads: lambda wildcards: CONFIG.studies[wildcards.study].threads
    resources:
        **asks(derived_needs(evaluated=False)),
        gpu=GPU,
    params:
        **told(train_derived_stage),
    script:
        "../scripts/train_derived.py"
