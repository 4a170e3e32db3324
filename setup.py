"""The wheel: the library, and beside it, in cobaye_workflow/, the workflow, config, profiles."""

from setuptools import find_packages, setup

WORKFLOW = {
    "cobaye_workflow": ("workflow", ["Snakefile", "rules/*.smk", "scripts/*.py", "report/*.rst"]),
    "cobaye_workflow.config": ("config", ["*.yaml", "studies/*.yaml", "schemas/*.json"]),
    "cobaye_workflow.profiles": ("profiles", ["*/config.yaml"]),
}

setup(
    packages=[*find_packages("workflow"), *WORKFLOW],
    package_dir={"": "workflow", **{name: folder for name, (folder, _) in WORKFLOW.items()}},
    include_package_data=False,
    package_data={name: files for name, (_, files) in WORKFLOW.items()},
)
