"""Make the reference of the config, the schemas, the table of the studies, the reports.

    python docs/generate/reference.py            # write what `files` names
    python docs/generate/reference.py --check    # name the files that are stale

The text between the tables is in `config.md.in`. There, ``<!-- keys: StudyFile -->`` stands for the
table of a class's keys, ``<!-- kinds: networks -->`` for that of a family's kinds and options, and
``<!-- figures -->`` for those of the figures.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMAND = "python docs/generate/reference.py"
sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]

from docs.generate import reports, studies  # noqa: E402

from cobaye import figures, kinds, recipes  # noqa: E402
from cobaye.config import entries, json_schema, meanings, output_keys, study_entries  # noqa: E402
from cobaye.storage import table_names  # noqa: E402

HEAD = f"<!-- Made by `{COMMAND}` from workflow/cobaye and docs/generate/config.md.in. -->\n\n"
TABLE = "| key | type | default | meaning |\n|---|---|---|---|"
# Options of figures that are not told where a figure's name states them.
BY_NAME = ("split", "value", "how", "quantity", "untrained", "end")
DOUBLE = '"'
PLURALS = {"integer": "integers", "number": "numbers", "text": "texts", "mapping": "mappings"}


def files() -> dict[str, str]:
    """Return path → text of every file that is made."""
    template = Path(__file__).with_name("config.md.in").read_text(encoding="utf-8")
    made = {"config/README.md": HEAD + re.sub(r"<!-- (.*?) -->", _filled, template)}
    for name, schema in json_schema.files(figures.names()).items():
        made[f"config/schemas/{name}.json"] = f"{_json(schema)}\n"
    made["docs/studies.md"] = studies.page(ROOT / "config")
    made["docs/reports.md"] = reports.HEAD + reports.page()
    return made


def _json(value: Any, depth: int = 2) -> str:
    """Return JSON with the entries of the outer mappings on lines of their own."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    entries = (f"{json.dumps(key)}: {_json(each, depth - 1)}" for key, each in value.items())
    return "{\n" + ",\n".join(entries) + "\n}"


def _filled(place: re.Match[str]) -> str:
    """Return the table that a comment of the template stands for."""
    word, _, name = place[1].partition(": ")
    if word == "keys":
        return "\n".join([TABLE, *_key_rows(name)])
    if word == "kinds":
        rows = [row for kind in kinds.names(name) for row in _kind_rows(name, kind)]
        return "\n".join([TABLE, *rows])
    return "\n\n".join(_figure_tables())


def _key_rows(name: str) -> Iterator[str]:
    classes = {**vars(recipes), **vars(entries), **vars(study_entries)}
    schema = json_schema.keys(classes[name])
    yield from _rows(schema, skip=("kind",))


def _rows(schema: dict[str, Any], skip: tuple[str, ...] = ()) -> Iterator[str]:
    required = schema.get("required", ())
    for key, each in schema["properties"].items():
        if key not in skip:
            default = "required" if key in required else _default(each)
            yield _row(f"`{key}`", words(each), default, each["description"])


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    if value is None:
        return "as the meaning says" if "properties" in schema else "none"
    if isinstance(value, float) and value == int(value):
        value = int(value)
    told = json.dumps(value, ensure_ascii=False)
    return f"`{told.replace(DOUBLE, '') if value else told}`"


def words(schema: dict[str, Any]) -> str:
    """Return the type of a key in words, with its bounds."""
    if "title" in schema:
        return schema["title"]
    if "anyOf" in schema:
        told = [words(each) for each in schema["anyOf"] if each.get("type") != "null"]
        return _or(list(dict.fromkeys(told)))
    if "$ref" in schema:
        return "`kind` and options" if "WithOptions" in schema["$ref"] else "keys and values"
    if "enum" in schema or "const" in schema:
        return _or([f"`{each}`" for each in schema.get("enum", [schema.get("const")])])
    types = schema.get("type", "object")
    main = types if isinstance(types, str) else types[0]
    if main == "boolean":
        return "`true` or `false`"
    if main == "array":
        return _list(schema)
    if main == "object":
        inner = schema.get("additionalProperties")
        return f"name → {words(inner)}" if isinstance(inner, dict) and inner else "keys and values"
    return f"{'text' if main == 'string' else main}{_bounds(schema)}"


def _list(schema: dict[str, Any]) -> str:
    one = words(schema["items"])
    fewest = schema.get("minItems", 0)
    many = f"{fewest} or more " if fewest > 1 else ""
    head, _, rest = one.partition(" ")
    plural = PLURALS.get(head)
    return f"list of {many}{plural} {rest}".rstrip() if plural else f"list of {many}{one}"


def _bounds(schema: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    if "minimum" in schema and "maximum" in schema:
        return f" {schema['minimum']} to {schema['maximum']}"
    largest = {2**63: "2⁶³", 1e30: "1e30"}
    told = [
        f"{sign} {largest.get(schema[word], schema[word])}"
        for word, sign in signs.items()
        if word in schema
    ]
    return f" {', '.join(told)}" if told else ""


def _or(names: list[str]) -> str:
    return " or ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def _kind_rows(family: str, kind: str, skip: tuple[str, ...] = ()) -> Iterator[str]:
    yield _row(f"**`{kind}`**", "", "", meanings.of_kind(family, kind) + _parts(family, kind))
    yield from _rows(json_schema.options(family, kind), skip)


def _parts(family: str, kind: str) -> str:
    """Return what constants of a network say to the writer of a study."""
    said = ""
    if smallest := kinds.constant(family, kind, "SMALLEST") if family == "networks" else None:
        said += f" Images must be {smallest}×{smallest} or larger, unless `resize` makes them so."
    if parts := kinds.constant(family, kind, "PARTS") if family == "networks" else None:
        said += f" Parts: {', '.join(f'`{part}`' for part in parts)}."
    return said


def _figure_tables() -> Iterator[str]:
    """Yield a table for each maker of tables, of the figures that are drawn from them."""
    groups: dict[str, list[str]] = {}
    for kind in kinds.names("figures"):
        names = kinds.constant("figures", kind, "NAMES")
        makers = {table_names.makers()[table] for table in table_names.read_by("figures", kind)}
        needed = makers - {table_names.TABULATE, *output_keys.LAST_LAYER_ANALYSES}
        if set(names) & set(output_keys.LAST_LAYER_FIGURES):
            title = "Drawn by default, where the study makes their tables:"
        elif needed == {table_names.DERIVED}:
            title = "For studies with derived runs:"
        elif needed:
            title = f"For studies with the analysis `{min(needed)}`:"
        elif "grid" in kinds.constant("figures", kind, "TABLES"):
            title = "For studies with a grid:"
        else:
            title = "For any study:"
        groups.setdefault(title, []).append(kind)
    for title in sorted(groups, key=lambda each: (each[0] != "D", each[:7] != "For any", each)):
        yield "\n".join([title, "", TABLE, *(r for k in groups[title] for r in _of_figure(k))])


def _of_figure(kind: str) -> Iterator[str]:
    names = kinds.constant("figures", kind, "NAMES")
    for axis in kinds.constant("figures", kind, "OVER", {}):
        names |= kinds.constant("figures", kinds.over(kind, axis), "NAMES")
    stated = {option for options in names.values() for option in options}
    yield _row(", ".join(f"**`{n}`**" for n in names), "", "", meanings.of_kind("figures", kind))
    schema = json_schema.options("figures", kind)
    for option, each in schema["properties"].items():
        others = {name: given[option] for name, given in names.items() if option in given}
        if isinstance(each.get("default"), int) and others:
            told = ", ".join(f"`{name}`: `{value}`" for name, value in others.items())
            each["description"] += f" By default {told}."
    yield from _rows(schema, tuple(stated & set(BY_NAME)))


def stale() -> dict[str, str]:
    """Return path → text of the files that are not what the code makes of them now."""
    return {
        path: text
        for path, text in files().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    }


def main() -> int:
    """Write the files, or name those that are stale; return the exit status."""
    old = stale()
    if sys.argv[1:] == ["--check"]:
        print("".join(f"{path} is stale: {COMMAND}\n" for path in old), end="")
        return bool(old)
    for path, text in old.items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
