# A backbone, and what its penultimate layer says about every image.


rule fetch_weights:
    input:
        rerun_if_stale("fetch_weights"),
    output:
        manifest=temp(f"{BACKBONE}.fetched.json"),
    log:
        f"{LOGS}/fetch_weights/{{backbone}}.log",
    localrule: True
    resources:
        **LIGHT,
    params:
        **told_unrecorded("fetch_weights"),
    message:
        "Fetching the weights of {wildcards.backbone}"
    script:
        "../scripts/fetch_weights.py"


rule prepare_backbone:
    input:
        rerun_if_stale("prepare_backbone"),
        fetched_weights,
        trained=run_of_backbone,
    output:
        f"{BACKBONE}.safetensors",
        manifest=f"{BACKBONE}.json",
    log:
        f"{LOGS}/prepare_backbone/{{backbone}}.log",
    localrule: True
    resources:
        **LIGHT,
    params:
        **told("prepare_backbone"),
    message:
        "Preparing backbone {wildcards.backbone}"
    script:
        "../scripts/prepare_backbone.py"


rule cache_features:
    input:
        rerun_if_stale("cache_features"),
        ancient(f"{DATASET}/{{split}}"),
        ancient(f"{BACKBONE}.safetensors"),
        dataset=f"{DATASET}/manifest.json",
        backbone=f"{BACKBONE}.json",
    output:
        f"{SHARD}.npy",
        manifest=f"{SHARD}.json",
    log:
        f"{LOGS}/cache_features/{{dataset}}/{{backbone}}/{{split}}.{{shard}}-{{shards}}.log",
    threads: threads_of_backbone
    resources:
        **asks("cache_features"),
        gpu=GPU,
    params:
        **told("cache_features"),
    message:
        "Caching features of {wildcards.dataset} by {wildcards.backbone}: {wildcards.split}, shard {wildcards.shard} of {wildcards.shards}"
    script:
        "../scripts/cache_features.py"


rule gather_features:
    input:
        rerun_if_stale("gather_features"),
        ancient(f"{DATASET}/{{split}}"),
        dataset=f"{DATASET}/manifest.json",
        shards=shards_of_split,
    output:
        f"{FEATURES}/labels.npy",
        manifest=f"{FEATURES}/manifest.json",
    log:
        f"{LOGS}/gather_features/{{dataset}}/{{backbone}}/{{split}}.log",
    localrule: True
    resources:
        **asks("gather_features"),
    params:
        **told("gather_features"),
    message:
        "Gathering features of {wildcards.dataset} by {wildcards.backbone}: {wildcards.split}"
    script:
        "../scripts/gather_features.py"
