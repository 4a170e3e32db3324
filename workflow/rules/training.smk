# One training: one (study, model, optimizer, λ, seed).

TRAIN_MANIFEST = f"{paths.RUN}/train.json"


def train_stage(wildcards):
    return PLAN.train(wildcards.study, run_of(wildcards))


rule train:
    input:
        forced_if_stale(TRAIN_MANIFEST, train_stage),
        manifest=lambda wildcards: PLAN.split_manifest(wildcards.study, "train"),
        inputs=lambda wildcards: ancient(PLAN.split_files(wildcards.study, "train")),
    output:
        directory(f"{paths.RUN}/checkpoints"),
        f"{paths.RUN}/history.csv",
        f"{paths.RUN}/run.json",
        manifest=TRAIN_MANIFEST,
    params:
        **told(train_stage),
    threads: lambda wildcards: CONFIG.studies[wildcards.study].threads
    resources:
        gpu=GPU,
    log:
        f"{paths.LOGS}/train/{{study}}.{{model}}.{{optimizer}}.wd-{{weight_decay}}.seed-{{seed}}.log",
    script:
        "../scripts/train.py"
