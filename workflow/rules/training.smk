# One training: one (study, model, optimizer, λ, seed); or several runs together.


rule train:
    input:
        rerun_if_stale("train"),
        training_splits,
        starting_weights,
        neighbour,
        origin_tables,
    output:
        directory(f"{RUN}/checkpoints"),
        f"{RUN}/history.csv",
        f"{RUN}/run.json",
        manifest=f"{RUN}/train.json",
    log:
        f"{LOGS}/train/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.log",
    threads: threads_of_study
    resources:
        **asks("train"),
        gpu=GPU,
    params:
        **told("train"),
    message:
        "Training {wildcards.study}: {wildcards.model}, {wildcards.optimizer}, λ = {wildcards.weight_decay}, seed {wildcards.seed}"
    script:
        "../scripts/train.py"


# Snakemake prefers these to `train`, as they have no wildcards.
for study, group in TOGETHER:

    rule:
        name:
            f"train_together_{study}_{group}"
        input:
            rerun_if_stale("train", identities_of_group(study, group)),
            data=data_of(study, ["train"]),
        output:
            directory(of_group(study, group, "checkpoints")),
            of_group(study, group, "history.csv"),
            of_group(study, group, "run.json"),
            manifests=of_group(study, group, "train.json"),
        log:
            f"{LOGS}/train_together/{study}/{group}.log",
        threads: CONFIG.studies[study].threads
        resources:
            **asks("train_together", study=study, group=group),
            gpu=GPU,
        params:
            **told_together("train", study, group),
        message:
            f"Training {study}: {len(of_group(study, group, ''))} runs together, {group}"
        script:
            "../scripts/train_together.py"


rule describe_models:
    input:
        rerun_if_stale("describe_models"),
        data=every_split,
    output:
        tables_in_report(TABULATED, "layers", "layers", table_names.DESCRIPTIONS),
        manifest=f"{TABLES}/layers.json",
    log:
        f"{LOGS}/describe_models/{{study}}.log",
    localrule: True
    resources:
        **LIGHT,
    params:
        **told("describe_models"),
    message:
        "Describing the models of {wildcards.study}"
    script:
        "../scripts/describe_models.py"
