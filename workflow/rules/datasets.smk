# A dataset's images, labels and class names, as plain arrays.


rule prepare_dataset:
    input:
        forced_if_stale(DATASET_MANIFEST, dataset_stage),
    output:
        directory(expand(f"{paths.DATASET}/{{split}}", split=paths.SPLITS, allow_missing=True)),
        f"{paths.DATASET}/classes.json",
        manifest=DATASET_MANIFEST,
    log:
        f"{paths.LOGS}/prepare_dataset/{{dataset}}.log",
    resources:
        **asks(dataset_needs),
    params:
        **told(dataset_stage),
    script:
        "../scripts/prepare_dataset.py"
