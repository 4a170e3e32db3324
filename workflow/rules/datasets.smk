# A dataset's images, labels and class names, as plain arrays.


# Where Snakemake runs: machines of a cluster often have no network. What it says is forgotten once
# the dataset is prepared, so that files that were removed since are downloaded when they are needed.
rule fetch_dataset:
    input:
        rerun_if_stale("fetch_dataset"),
    output:
        manifest=temp(f"{DATASET}/fetched.json"),
    log:
        f"{LOGS}/fetch_dataset/{{dataset}}.log",
    localrule: True
    resources:
        **LIGHT,
    params:
        **told_unrecorded("fetch_dataset"),
    message:
        "Fetching the files of {wildcards.dataset}"
    script:
        "../scripts/fetch_dataset.py"


rule prepare_dataset:
    input:
        rerun_if_stale("prepare_dataset"),
        fetched_files,
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
