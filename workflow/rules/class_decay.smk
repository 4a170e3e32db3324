# A λ for each class, chosen from finished runs. The rule `train` then trains one run with all of them.


rule choose_weight_decay:
    input:
        rerun_if_stale("choose_weight_decay"),
        tables=tables_of_way,
        dataset=dataset_of_study,
        data=splits_of_way,
    output:
        CHOSEN,
        in_report(f"{TABLES}/chosen-{{way}}.html", TABULATED, "chosen λ: {way}", "chosen"),
        manifest=f"{TABLES}/chosen-{{way}}.json",
    log:
        f"{LOGS}/choose_weight_decay/{{study}}/{{way}}.log",
    threads: threads_of_study
    resources:
        **asks("choose_weight_decay"),
        gpu=GPU,
    params:
        **told("choose_weight_decay"),
    message:
        "Choosing a λ for each class of {wildcards.study}: {wildcards.way}"
    script:
        "../scripts/choose_weight_decay.py"
