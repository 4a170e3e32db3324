# A dataset's images, labels and class names, as plain arrays.


rule prepare_dataset:
    input:
        rerun_if_stale("prepare_dataset"),
    output:
        directory(expand(f"{DATASET}/{{split}}", split=SPLITS, allow_missing=True)),
        f"{DATASET}/classes.json",
        manifest=f"{DATASET}/manifest.json",
    log:
        f"{LOGS}/prepare_dataset/{{dataset}}.log",
    resources:
        **asks("prepare_dataset"),
    params:
        **told("prepare_dataset"),
    message:
        "Preparing dataset {wildcards.dataset}"
    script:
        "../scripts/prepare_dataset.py"
