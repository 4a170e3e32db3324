# One training: one (study, model, optimizer, λ, seed).


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
    threads: lambda wildcards: CONFIG.studies[wildcards.study].threads
    resources:
        **asks(train_needs),
        gpu=GPU,
    params:
        **told(train_stage),
        expected=lambda wildcards: PLAN.warm_start_expected(wildcards.study, run_of(wildcards)),
    script:
        "../scripts/train.py"
