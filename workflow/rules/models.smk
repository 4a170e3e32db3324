# What a study's models are made of.


rule describe_models:
    input:
        forced_if_stale(LAYERS_MANIFEST, describe_stage),
        split_files("train"),
        manifests=split_manifests(*paths.SPLITS),
    output:
        report(
            [f"{paths.TABLES}/{file}" for file in DESCRIPTIONS],
            category="{study}",
            subcategory="tables",
            caption="../report/layers.rst",
        ),
        manifest=LAYERS_MANIFEST,
    log:
        f"{paths.LOGS}/describe_models/{{study}}.log",
    localrule: True
    resources:
        **asks(light_needs),
    params:
        **told(describe_stage),
    script:
        "../scripts/describe_models.py"
