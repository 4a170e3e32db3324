"""With many classes, does one weight decay suit every class?

images → penultimate features → the last layer once per (model, optimizer, λ, seed) → class by class.
"""

from snakemake.utils import min_version

min_version("9.10")


configfile: "config/config.yaml"


resource_scopes:
    gpu="local",


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/analyses.smk"
include: "workflow/rules/measures.smk"
include: "workflow/rules/per_class.smk"
include: "workflow/rules/figures.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        [product for study in CONFIG.default_studies for product in PLAN.products(study)],


# Every study's name is a target.
for study in CONFIG.studies:

    rule:
        name:
            study
        input:
            PLAN.products(study),
        localrule: True


onstart:
    refuse_missing_data()
