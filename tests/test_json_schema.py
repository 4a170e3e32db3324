"""The schemas for editors against the loader: both are made of the same classes."""

from __future__ import annotations

import random

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from cobaye import figures
from cobaye.config import entries, json_schema
from cobaye.data.datasets import _partition
from cobaye.errors import CobayeError
from tests import attack_config, invariants
from tests.conftest import ROOT

CONFIG = ROOT / "config"


@pytest.fixture(scope="module")
def validators():
    made = json_schema.files(figures.names())
    for schema in made.values():
        jsonschema.Draft7Validator.check_schema(schema)
    return {name: jsonschema.Draft7Validator(schema) for name, schema in made.items()}


def of(file):
    """Return the name of the schema of a file of config/."""
    return "study" if file.startswith("studies/") else file.removesuffix(".yaml")


def test_shipped_files_are_valid(validators):
    for file in sorted(CONFIG.rglob("*.yaml")):
        content = yaml.safe_load(file.read_text())
        validators[of(str(file.relative_to(CONFIG)))].validate(content)


def refused_by_type(error):
    """Tell whether pydantic refused a value, for more than a rule of several keys."""
    problem = error.__context__
    return isinstance(problem, ValidationError) and any(
        each["type"] != "value_error" for each in problem.errors()
    )


def is_json(projects, mutation):
    """Tell whether a mutation can be told from the file's JSON, key by key.

    A key that stands twice, NaN and infinity are no JSON; 1e30 is an integer there. A value beside
    a grid of the same key is never read.
    """
    entry = projects.needed[mutation.study][mutation.file]
    entry = attack_config.at(entry, mutation.place[:-1])
    varied = isinstance(entry, dict) and mutation.place[-1] in (entry.get("grid") or {})
    odd = type(mutation.value) is float and not abs(mutation.value) < 2**63
    return not (varied or odd or mutation.how == "double")


def outcomes(folder, validators, count, seed):
    """Yield (mutation, the loader's error or None, the schema's error or None)."""
    projects = attack_config.Projects(folder)
    every = [each for each in projects.mutations() if is_json(projects, each)]
    for mutation in random.Random(seed).sample(every, count):
        content = projects.needed[mutation.study][mutation.file]
        text, error = attack_config.mutated(content, mutation), None
        projects.write(mutation.study, mutation.file, text)
        try:
            invariants.load(folder / mutation.study, projects.figures)
        except CobayeError as raised:
            error = raised
        said = jsonschema.exceptions.best_match(
            validators[of(mutation.file)].iter_errors(yaml.safe_load(text) or {})
        )
        yield mutation, error, said
        projects.write(mutation.study, mutation.file, attack_config.dump(content))


def test_what_the_loader_refuses_by_type_the_schema_refuses(validators, tmp_path):
    refused = accepted = 0
    for mutation, error, said in outcomes(tmp_path, validators, 80, seed=1):
        if error is None:
            accepted += 1
            assert said is None, (mutation, said.message)
        elif refused_by_type(error):
            refused += 1
            assert said is not None, (mutation, str(error))
    assert refused > 40
    assert accepted > 3


@pytest.mark.parametrize(
    ("file", "wrong", "said"),
    [
        ("config", {"studies": ["digits"], "memory_share": 1.5}, "maximum"),
        ("datasets", {"d": {"kind": "digits", "classes": 3}}, "classes"),
        ("backbones", {"b": {"torchvision": {"model": "resnet18", "weight": "x"}}}, "weight"),
    ],
)
def test_what_is_wrong_is_named(validators, file, wrong, said):
    error = jsonschema.exceptions.best_match(validators[file].iter_errors(wrong))
    assert said in error.message


def test_a_rule_of_splits_has_the_keys_that_are_checked():
    assert tuple(entries.SplitEntry.model_fields) == _partition.KEYS
