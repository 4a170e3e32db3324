# A backbone, and what its penultimate layer says about every image.

BACKBONE_MANIFEST = f"{paths.BACKBONE}.json"
SHARD_MANIFEST = f"{paths.SHARD}.json"
FEATURES_MANIFEST = f"{paths.FEATURES}/manifest.json"


def backbone_stage(wildcards):
    return PLAN.backbone(wildcards.backbone)


def shard_stage(wildcards):
    return PLAN.shard(wildcards.dataset, wildcards.backbone, wildcards.split, wildcards.shard)


def features_stage(wildcards):
    return PLAN.features(wildcards.dataset, wildcards.backbone, wildcards.split)


def all_shards(suffix):
    return lambda wildcards: expand(
        paths.SHARD + suffix,
        **wildcards,
        shard=PLAN.shards(wildcards.dataset),
        shards=PLAN.shard_count(wildcards.dataset),
    )


rule prepare_backbone:
    input:
        forced_if_stale(BACKBONE_MANIFEST, backbone_stage),
        manifest=lambda wildcards: PLAN.backbone_run(wildcards.backbone) + "/train.json",
        checkpoints=lambda wildcards: ancient(
            PLAN.backbone_run(wildcards.backbone) + "/checkpoints"
        ),
    output:
        f"{paths.BACKBONE}.safetensors",
        manifest=BACKBONE_MANIFEST,
    params:
        **told(backbone_stage),
        expected=lambda wildcards: PLAN.backbone_training(wildcards.backbone).fingerprint,
    log:
        f"{paths.LOGS}/prepare_backbone/{{backbone}}.log",
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
    params:
        **told(shard_stage),
        model=lambda wildcards: recipes.plain(PLAN.backbone_model(wildcards.backbone)),
    resources:
        gpu=GPU,
    log:
        f"{paths.LOGS}/cache_features/{{dataset}}.{{backbone}}.{{split}}.{{shard}}-{{shards}}.log",
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
    params:
        **told(features_stage),
    log:
        f"{paths.LOGS}/gather_features/{{dataset}}.{{backbone}}.{{split}}.log",
    script:
        "../scripts/gather_features.py"
