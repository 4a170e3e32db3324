"""The wheel: the library, and beside it, in cobaye/workflow/, the workflow, its config and profiles."""

from setuptools import find_packages, setup

WORKFLOW = {
    "cobaye.workflow": ("workflow", ["Snakefile", "rules/*.smk", "scripts/*.py", "report/*.rst"]),
    "cobaye.workflow.config": ("config", ["*.yaml", "studies/*.yaml"]),
    "cobaye.workflow.profiles": ("profiles", ["*/config.yaml"]),
}

setup(
    packages=[*find_packages("workflow"), *WORKFLOW],
    package_dir={"": "workflow", **{name: folder for name, (folder, _) in WORKFLOW.items()}},
    include_package_data=False,
    package_data={name: files for name, (_, files) in WORKFLOW.items()},
)
