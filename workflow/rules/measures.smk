# Analyses that look inside each run: measure_<kind> for each run and state, then analyse_<kind> joins their tables.

for kind in measured_kinds():

    rule:
        name:
            f"measure_{kind}"
        input:
            forced_if_stale(
                f"{paths.MEASURE}/manifest.json".replace("{analysis}", kind), measure_stage(kind)
            ),
            ancient(f"{paths.RUN}/checkpoints"),
            train=TRAIN_MANIFEST,
            manifests=split_of_measure(kind, split_manifests),
            inputs=split_of_measure(kind, split_files),
        output:
            [
                f"{paths.MEASURE}/{table}.parquet".replace("{analysis}", kind)
                for table in table_files.made_by(kind)
            ],
            manifest=f"{paths.MEASURE}/manifest.json".replace("{analysis}", kind),
        log:
            f"{paths.LOGS}/measure_{kind}/{{study}}/{{model}}/{{optimizer}}/wd-{{weight_decay}}.seed-{{seed}}.{{state}}.log",
        threads: lambda wildcards: CONFIG.studies[wildcards.study].threads
        resources:
            **asks(measure_needs(kind)),
            gpu=GPU,
        params:
            **told(measure_stage(kind)),
            expected=lambda wildcards: train_stage(wildcards).fingerprint,
        script:
            "../scripts/measure.py"

    rule:
        name:
            table_files.stage(kind)
        input:
            forced_if_stale(f"{paths.TABLES}/{kind}.json", join_stage(kind)),
            manifests=of_all_measured(kind, "manifest.json"),
            tables=lambda wildcards, kind=kind: ancient(
                of_all_measured(
                    kind, *(f"{table}.parquet" for table in table_files.made_by(kind))
                )(wildcards)
            ),
        output:
            report(
                [f"{paths.TABLES}/{file}" for file in table_files.made_by(kind).values()],
                category="{study}",
                subcategory="inside the networks",
                caption=f"../report/{kind}.rst",
            ),
            manifest=f"{paths.TABLES}/{kind}.json",
        log:
            f"{paths.LOGS}/{table_files.stage(kind)}/{{study}}.log",
        localrule: True
        resources:
            **asks(light_needs),
        params:
            **told(join_stage(kind)),
            expected=lambda wildcards, kind=kind: PLAN.expected_measures(wildcards.study, kind),
        script:
            "../scripts/join_measures.py"


rule analyse_indicators:
    input:
        forced_if_stale(f"{paths.TABLES}/indicators.json", indicators_stage),
        tables_read(indicators_stage),
        manifests=table_manifests_read(indicators_stage),
    output:
        report(
            [f"{paths.TABLES}/{file}" for file in table_files.made_by("indicators").values()],
            category="{study}",
            subcategory="inside the networks",
            caption="../report/indicator-ranks.rst",
        ),
        manifest=f"{paths.TABLES}/indicators.json",
    log:
        f"{paths.LOGS}/analyse_indicators/{{study}}.log",
    localrule: True
    resources:
        **asks(light_needs),
    params:
        **told(indicators_stage),
    script:
        "../scripts/analyse_indicators.py"
