# A backbone, and what its penultimate layer says about every image.


rule prepare_backbone:
    input:
        forced_if_stale(BACKBONE_MANIFEST, backbone_stage),
        manifest=lambda wildcards: PLAN.backbone_run(wildcards.backbone, "train.json"),
        checkpoints=lambda wildcards: ancient(PLAN.backbone_run(wildcards.backbone, "checkpoints")),
    output:
        f"{paths.BACKBONE}.safetensors",
        manifest=BACKBONE_MANIFEST,
    log:
        f"{paths.LOGS}/prepare_backbone/{{backbone}}.log",
    localrule: True
    resources:
        **asks(light_needs),
    params:
        **told(backbone_stage),
        expected=lambda wildcards: PLAN.backbone_expected(wildcards.backbone),
    script:
        "../scripts/prepare_backbone.py"


rule cache_features:
    input:
        forced_if_stale(SHARD_MANIFEST, shard_stage),
        ancient(f"{paths.DATASET}/{{split}}"),
        ancient(f"{paths.BACKBONE}.safetensors"),
        dataset=DATASET_MANIFEST,
        backbone=BACKBONE_MANIFEST,
    output:
        f"{paths.SHARD}.npy",
        manifest=SHARD_MANIFEST,
    log:
        f"{paths.LOGS}/cache_features/{{dataset}}/{{backbone}}/{{split}}.{{shard}}-{{shards}}.log",
    threads: lambda wildcards: CONFIG.backbones[wildcards.backbone].threads
    resources:
        **asks(shard_needs),
        gpu=GPU,
    params:
        **told(shard_stage),
        model=lambda wildcards: recipes.plain(PLAN.backbone_model(wildcards.backbone)),
    script:
        "../scripts/cache_features.py"


rule gather_features:
    input:
        forced_if_stale(FEATURES_MANIFEST, features_stage),
        ancient(f"{paths.DATASET}/{{split}}"),
        dataset=DATASET_MANIFEST,
        shards=all_shards(".json"),
        arrays=lambda wildcards: ancient(all_shards(".npy")(wildcards)),
    output:
        f"{paths.FEATURES}/labels.npy",
        manifest=FEATURES_MANIFEST,
    log:
        f"{paths.LOGS}/gather_features/{{dataset}}/{{backbone}}/{{split}}.log",
    localrule: True
    resources:
        **asks(features_needs),
    params:
        **told(features_stage),
    script:
        "../scripts/gather_features.py"
