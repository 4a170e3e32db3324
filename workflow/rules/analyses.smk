# Analyses of the finished runs of a study: more tables, a rule for each kind; and their story.


rule analyse_classes:
    input:
        forced_if_stale(f"{paths.TABLES}/classes.json", analysis_stage("classes")),
        manifests=of_all_runs("train.json", "evaluate.json"),
        predictions=lambda wildcards: ancient(of_all_runs("predictions.parquet")(wildcards)),
        dataset=lambda wildcards: PLAN.dataset_manifest(wildcards.study),
        split=split_manifests("test"),
    output:
        report(
            [f"{paths.TABLES}/{file}" for file in table_files.made_by("classes").values()],
            category="{study}",
            subcategory="analysis of classes",
            caption="../report/classes.rst",
        ),
        manifest=f"{paths.TABLES}/classes.json",
    log:
        f"{paths.LOGS}/analyse_classes/{{study}}.log",
    resources:
        **asks(classes_needs),
    params:
        **told(analysis_stage("classes")),
        data=lambda wildcards: recipes.plain(CONFIG.studies[wildcards.study].data),
        expected=lambda wildcards: PLAN.expected_runs(wildcards.study),
    script:
        "../scripts/analyse_classes.py"


rule tell_story:
    input:
        forced_if_stale(STORY_MANIFEST, story_stage),
        manifests=[TABLES_MANIFEST, f"{paths.TABLES}/classes.json"],
        more=lambda wildcards: more_of_story(wildcards),
    output:
        report(
            f"{paths.STUDY}/story.md",
            category="{study}",
            subcategory="analysis of classes",
            caption="../report/story.rst",
        ),
        manifest=STORY_MANIFEST,
    log:
        f"{paths.LOGS}/tell_story/{{study}}.log",
    localrule: True
    resources:
        **asks(light_needs),
    params:
        **told(story_stage),
    script:
        "../scripts/tell_story.py"
