# The workflow is workflow/Snakefile. Its default target is named here: `include` alone drops it.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
    message:
        "Studies complete: {config[studies]}"
