# Analyses of the finished runs of a study: more tables, rules for each kind; their story; and
# a page to look classes up in.

for kind in ACROSS_RUNS:

    rule:
        name:
            f"analyse_{kind.replace('-', '_')}"
        input:
            rerun_if_stale("analyse", maker=kind),
            dataset=dataset_of_study,
            read=read_by_analysis(kind),
        output:
            tables_in_report(TABULATED, kind, f"analysis-{kinds.without_axis(kind)}"),
            manifest=f"{TABLES}/{kind}.json",
        log:
            f"{LOGS}/analyse/{{study}}/{kind}.log",
        localrule: not kinds.constant("analyses", kind, "READS_RUNS")
        resources:
            **asks("analyse", maker=kind),
        params:
            **told("analyse", maker=kind),
        message:
            f"Analysing {kind} of {{wildcards.study}}"
        script:
            "../scripts/analyse.py"


for kind in INSIDE_RUNS:

    rule:
        name:
            f"inspect_{kind.replace('-', '_')}"
        input:
            rerun_if_stale("inspect_run", analysis=kind),
            ancient(f"{RUN}/checkpoints"),
            train=f"{RUN}/train.json",
            data=split_of_inspection(kind),
        output:
            [
                f"{RUN}/inside/{kind}/{{state}}/{table}.parquet"
                for table in table_names.made_by(kind)
            ],
            manifest=f"{RUN}/inside/{kind}/{{state}}/manifest.json",
        log:
            f"{LOGS}/inspect/{{study}}/{kind}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.{{state}}.log",
        threads: threads_of_study
        resources:
            **asks("inspect_run", analysis=kind),
            gpu=GPU,
        params:
            **told("inspect_run", analysis=kind),
        message:
            f"Inspecting {kind} of {{wildcards.study}}: {{wildcards.model}}, {{wildcards.optimizer}}, λ = {{wildcards.weight_decay}}, seed {{wildcards.seed}}, {{wildcards.state}}"
        script:
            "../scripts/inspect_run.py"

    rule:
        name:
            f"analyse_{kind.replace('-', '_')}"
        input:
            rerun_if_stale("analyse", maker=kind),
            inspected=inspected_runs(kind),
        output:
            tables_in_report(INSIDE_NETWORKS, kind, f"analysis-{kind}"),
            manifest=f"{TABLES}/{kind}.json",
        log:
            f"{LOGS}/analyse/{{study}}/{kind}.log",
        localrule: True
        resources:
            **LIGHT,
        params:
            **told("analyse", maker=kind),
        message:
            f"Analysing {kind} of {{wildcards.study}}"
        script:
            "../scripts/analyse.py"


rule compare_expected:
    input:
        rerun_if_stale("compare_expected", whole=True),
        tables=tables_expected,
    output:
        tables_in_report(TABULATED, "expected", "expected", [table_names.EXPECTED]),
        manifest=f"{TABLES}/expected.json",
    log:
        f"{LOGS}/compare_expected/{{study}}.log",
    localrule: True
    resources:
        **LIGHT,
    params:
        **told("compare_expected"),
    message:
        "Comparing {wildcards.study} with what it expects"
    script:
        "../scripts/compare_expected.py"


rule tell_story:
    input:
        rerun_if_stale("tell_story", whole=True),
        tables=tables_of_story,
    output:
        f"{STUDY}/story.md",
        in_report(f"{STUDY}/story.html", ANSWER, "story"),
        manifest=f"{STUDY}/story.json",
    log:
        f"{LOGS}/tell_story/{{study}}.log",
    localrule: True
    resources:
        **LIGHT,
    params:
        **told("tell_story"),
    message:
        "Telling the story of {wildcards.study}"
    script:
        "../scripts/tell_story.py"


rule write_explorer:
    input:
        rerun_if_stale("write_explorer", whole=True),
        dataset=dataset_of_study,
        read=read_by_explorer,
    output:
        in_report(f"{STUDY}/explorer.html", ANSWER, "explorer"),
        manifest=f"{STUDY}/explorer.json",
    log:
        f"{LOGS}/write_explorer/{{study}}.log",
    localrule: True
    resources:
        **LIGHT,
    params:
        **told("write_explorer"),
    message:
        "Writing the explorer of {wildcards.study}"
    script:
        "../scripts/write_explorer.py"
