# Every checkpoint of a run on every split; then the tables of a study.


rule evaluate:
    input:
        rerun_if_stale("evaluate"),
        ancient(f"{RUN}/checkpoints"),
        train=f"{RUN}/train.json",
        data=evaluated_splits,
    output:
        f"{RUN}/metrics.parquet",
        f"{RUN}/classes.parquet",
        f"{RUN}/predictions.parquet",
        manifest=f"{RUN}/evaluate.json",
    log:
        f"{LOGS}/evaluate/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.log",
    resources:
        **asks("evaluate"),
        gpu=GPU,
    params:
        **told("evaluate"),
    message:
        "Evaluating {wildcards.study}: {wildcards.model}, {wildcards.optimizer}, λ = {wildcards.weight_decay}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate.py"


for study, group in TOGETHER:

    rule:
        name:
            f"evaluate_together_{study}_{group}"
        input:
            rerun_if_stale("evaluate", identities_of_group(study, group)),
            ancient(of_group(study, group, "checkpoints")),
            train=of_group(study, group, "train.json"),
            data=data_of(study, CONFIG.studies[study].evaluate_splits),
        output:
            of_group(study, group, "metrics.parquet"),
            of_group(study, group, "classes.parquet"),
            of_group(study, group, "predictions.parquet"),
            manifests=of_group(study, group, "evaluate.json"),
        log:
            f"{LOGS}/evaluate_together/{study}/{group}.log",
        resources:
            **asks("evaluate_together", study=study, group=group),
            gpu=GPU,
        params:
            **told_together("evaluate", study, group),
        message:
            f"Evaluating {study}: {len(of_group(study, group, ''))} runs together, {group}"
        script:
            "../scripts/evaluate_together.py"


rule evaluate_baseline:
    input:
        rerun_if_stale("evaluate_baseline"),
        backbone=backbone_of_study,
        dataset=dataset_of_study,
        data=every_split,
    output:
        f"{BASELINE}/head.safetensors",
        f"{BASELINE}/metrics.parquet",
        f"{BASELINE}/classes.parquet",
        f"{BASELINE}/predictions.parquet",
        manifest=f"{BASELINE}/baseline.json",
    log:
        f"{LOGS}/evaluate_baseline/{{study}}.log",
    resources:
        **asks("evaluate_baseline"),
        gpu=GPU,
    params:
        **told("evaluate_baseline"),
    message:
        "Evaluating the backbone's own last layer on {wildcards.study}"
    script:
        "../scripts/evaluate_baseline.py"


# tables: of the runs that the config states. derived: of those that take their recipe from the grid.
for maker, whose, tabulated in [
    ("tables", "the", [finished_runs, baseline_of_study, dataset_of_study]),
    ("derived", "derived", [finished_derived_runs]),
]:

    rule:
        name:
            "tabulate" if maker == "tables" else "tabulate_derived"
        input:
            rerun_if_stale("tabulate", maker=maker),
            *tabulated,
        output:
            tables_in_report(TABULATED, maker, maker),
            manifest=f"{TABLES}/{maker}.json",
        log:
            f"{LOGS}/tabulate/{{study}}/{maker}.log",
        localrule: True
        resources:
            **asks("tabulate", maker=maker),
        params:
            **told("tabulate", maker=maker),
        message:
            f"Tabulating {whose} runs of {{wildcards.study}}"
        script:
            "../scripts/tabulate.py"


rule evaluate_best:
    input:
        rerun_if_stale("evaluate_best"),
        read=read_by_best,
    output:
        f"{BEST}/best.csv",
        in_report(f"{BEST}/best.html", TABULATED, "best"),
        manifest=f"{BEST}/best.json",
    log:
        f"{LOGS}/evaluate_best/{{study}}.log",
    resources:
        **asks("evaluate_best"),
        gpu=lambda wildcards: 0 if facts.scores_test(CONFIG, wildcards.study) else GPU(wildcards),
    params:
        **told("evaluate_best"),
    message:
        "Choosing the best run of {wildcards.study}, and its scores on test"
    script:
        "../scripts/evaluate_best.py"
