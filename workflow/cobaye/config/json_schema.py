"""JSON schemas of the config files: what an editor completes and checks while one types.

They are made of the classes that check the files: types, bounds, defaults, meanings. What needs
more than one key, such as whether a name exists, is left to the check of the workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from cobaye import kinds, recipes
from cobaye.config import bounds, entries, meanings, study_entries, study_files, varied_values

Schema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
# Classes of a study file that other keys hold, and the families of the kinds in their keys.
PARTS = (
    study_entries.DerivedEntry,
    study_entries.ModelEntry,
    study_entries.OptimizerEntry,
    study_entries.PhaseEntry,
    study_entries.SampleEntry,
    recipes.EarlyStop,
    recipes.LongTail,
    recipes.Start,
    recipes.Stop,
    study_entries.ExpectedValue,
    entries.RunEntry,
    entries.TorchvisionEntry,
)
FAMILIES = {"algorithm": "optimizers", "schedule": "schedules", "augment": "augmentations"}
NAME = {
    "type": "string",
    "pattern": f"^{study_files.NAME.pattern}$",
    "maxLength": study_files.LONGEST,
}
# Texts that are read as a number or as true or false, as YAML reads 1e-4 as a text.
NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
INTEGER = r"^[-+]?[0-9]+(\.0*)?$"
WORDS = ("true", "t", "yes", "y", "on", "1", "false", "f", "no", "n", "off", "0")
TRUTH = "|".join("".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in w) for w in WORDS)
TRUTH = f"^({TRUTH})$"


class _Read(GenerateJsonSchema):
    """Types as the check reads them, without titles made of names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def int_schema(self, schema: core_schema.IntSchema) -> Schema:
        return _or_text(super().int_schema(schema), schema, INTEGER)

    def float_schema(self, schema: core_schema.FloatSchema) -> Schema:
        return _or_text(super().float_schema(schema), schema, NUMBER)

    def bool_schema(self, schema: core_schema.BoolSchema) -> Schema:
        return _or_text(super().bool_schema(schema), schema, TRUTH)


def _or_text(made: Schema, core: Mapping[str, Any], pattern: str) -> Schema:
    if core.get("strict"):
        return made
    numbers = ["integer"] if made["type"] == "boolean" else []
    limits = {"minimum": 0, "maximum": 1} if numbers else {}
    return made | limits | {"type": [made["type"], *numbers, "string"], "pattern": pattern}


def files(figures: Mapping[str, str]) -> dict[str, Schema]:
    """Return name → schema of each config file; figures: name → kind, of every figure."""
    dataset = {"entry": _with_kinds(keys(entries.DatasetEntry), "datasets")}
    return {
        "config": _titled("config.yaml", keys(entries.SettingsFile)),
        "datasets": _titled("datasets.yaml", _named(dataset)),
        "backbones": _titled("backbones.yaml", _named({"entry": keys(entries.BackboneEntry)})),
        "study": _titled("a file of studies/", _study(figures)),
    }


def _titled(file: str, schema: Schema) -> Schema:
    return {"$schema": DRAFT, "title": f"cobaye: {file}", **schema}


def _named(definitions: dict[str, Schema]) -> Schema:
    definitions |= definitions["entry"].pop("$defs", {})
    entry = {"additionalProperties": {"$ref": "#/$defs/entry"}, "propertyNames": NAME}
    return {"type": "object", **entry, "$defs": definitions}


def keys(cls: type) -> Schema:
    """Return the schema of a class of keys, with their types, bounds, defaults and meanings."""
    made = TypeAdapter(cls).json_schema(schema_generator=_Read)
    inner = made.get("$defs", {})
    for part in PARTS:
        if part.__name__ in inner:
            _describe(inner[part.__name__], part)
    return _describe(made, cls)


def _describe(schema: Schema, cls: type) -> Schema:
    said = meanings.meanings(cls)
    for key, each in schema["properties"].items():
        if each.get("default", 0) is None:
            del each["default"]
        if key in said:
            each["description"] = said[key]
    schema.pop("title", None)
    schema.pop("description", None)
    return schema


def options(family: str, kind: str) -> Schema:
    """Return the schema of the options of a kind."""
    made = keys(dataclass(kinds.options(family, kind), frozen=True, config=entries.STRICT))
    for key, found in bounds.bounds(family, kind).items():
        for each in made["properties"][key].get("anyOf", [made["properties"][key]]):
            if {"integer", "number"} & set(each.get("type", ())):
                each |= found
    if family == "datasets" and "splits" in made["properties"]:
        names = ("train", "val", "test")
        rules = dict.fromkeys(names, keys(entries.SplitEntry))
        made["properties"]["splits"] |= {"properties": rules, "required": list(names)}
        made["properties"]["splits"]["additionalProperties"] = False
    return made


def _with_kinds(base: Schema, family: str, grid: bool = False) -> Schema:
    """Return the schema of an entry with a `kind`: its keys, and by its kind those of the kind.

    grid: whether `grid` may give values to keys that the entry leaves out.
    """
    known = kinds.names(family)
    said = "; ".join(f"`{kind}`: {meanings.of_kind(family, kind)}" for kind in known)
    base = {**base, "properties": dict(base["properties"])}
    base["properties"]["kind"] = {"enum": known, "description": said}
    base.pop("additionalProperties", None)
    if grid:
        base["properties"]["grid"] = _grid(base["properties"])
        _unless_grid(base)
    base["allOf"] = [
        *base.get("allOf", ()),
        *(_of_kind(base, family, kind, grid) for kind in known),
    ]
    return base


def _of_kind(base: Schema, family: str, kind: str, grid: bool) -> Schema:
    made = options(family, kind)
    then = {"properties": dict.fromkeys(base["properties"], True) | made["properties"]}
    then |= {"additionalProperties": False}
    if "required" in made:
        then["required"] = made["required"]
    if grid:
        then["properties"]["grid"] = {"properties": varied_values.lists(made["properties"])}
        _unless_grid(then)
    return {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then}


def _unless_grid(schema: Schema) -> None:
    """Require keys only in an entry without a grid."""
    if required := schema.pop("required", None):
        either = [{"required": ["grid"]}, {"required": required}]
        schema["allOf"] = [*schema.get("allOf", ()), {"anyOf": either}]


def _grid(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of `grid`: a list of values for each key, and for those inside of it."""
    varied = varied_values.lists({key: each for key, each in properties.items() if key != "kind"})
    for key in (each for each in FAMILIES if each in properties):
        inside: dict[str, list[Schema]] = {}
        for kind in kinds.names(FAMILIES[key]):
            for option, each in options(FAMILIES[key], kind)["properties"].items():
                inside.setdefault(f"{key}.{option}", []).append(each)
        varied |= varied_values.lists(
            {option: {"anyOf": found} for option, found in inside.items()}
        )
    said = "Field → list of values: the entry stands for every combination of them."
    return {"type": "object", "minProperties": 1, "properties": varied, "description": said}


def _study(figures: Mapping[str, str]) -> Schema:
    made = keys(study_entries.StudyFile)
    inner, properties = made["$defs"], made["properties"]
    for key in ("models", "optimizers", "derived"):
        properties[key]["propertyNames"] = NAME
    for family in FAMILIES.values():
        inner[family] = _with_kinds(keys(entries.WithOptions), family)
    inner["ModelEntry"] = _with_kinds(inner["ModelEntry"], "networks", grid=True)
    recipe = inner["OptimizerEntry"]["properties"]
    for key, family in FAMILIES.items():
        _refer(recipe[key], family)
    _refer(inner["PhaseEntry"]["properties"]["algorithm"], "optimizers")
    recipe["grid"] = _grid(recipe)
    del inner["WithOptions"]
    for key, family in (("per_class", "ways"), ("analyses", "analyses")):
        properties[key] = _names(
            properties[key], {n: options(family, n) for n in kinds.names(family)}
        )
    inner |= {f"figure-{kind}": options("figures", kind) for kind in kinds.names("figures")}
    named = {name: _figure(name, figures[name]) for name in sorted(figures)}
    properties["figures"] = _names(properties["figures"], named)
    return made


def _refer(schema: Schema, family: str) -> None:
    """Refer to the kinds of a family where a schema refers to any mapping with a kind."""
    for each in (schema, schema.get("items", {}), *schema.get("anyOf", ())):
        if each.get("$ref") == "#/$defs/WithOptions":
            each["$ref"] = f"#/$defs/{family}"


def _names(given: Schema, known: Mapping[str, Schema]) -> Schema:
    """Return the schema of a list of names, or names with options."""
    null = {"type": "null"}
    listed = {"type": "array", "items": {"enum": list(known)}}
    mapped = {name: {"anyOf": [null, each]} for name, each in known.items()}
    either = [listed, {"type": "object", "properties": mapped, "additionalProperties": False}]
    either += [null] if null in given.get("anyOf", ()) else []
    return {"description": given["description"], "anyOf": either}


def _figure(name: str, kind: str) -> Schema:
    """Return the schema of a figure's options: a split that its name states is not among them."""
    named = "split" in kinds.constant("figures", kind, "NAMES")[name]
    alone = {"not": {"required": ["split"]}} if named else {}
    return {"allOf": [{"$ref": f"#/$defs/figure-{kinds.without_axis(kind)}"}, alone]}
