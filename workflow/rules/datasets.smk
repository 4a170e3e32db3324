# A dataset's images, labels and class names, as plain arrays.

DATASET_MANIFEST = f"{paths.DATASET}/manifest.json"


def dataset_stage(wildcards):
    return PLAN.dataset(wildcards.dataset)


rule prepare_dataset:
    input:
        forced_if_stale(DATASET_MANIFEST, dataset_stage),
    output:
        directory(expand(f"{paths.DATASET}/{{split}}", split=paths.SPLITS, allow_missing=True)),
        f"{paths.DATASET}/classes.json",
        manifest=DATASET_MANIFEST,
    params:
        **told(dataset_stage),
    log:
        f"{paths.LOGS}/prepare_dataset/{{dataset}}.log",
    script:
        "../scripts/prepare_dataset.py"
