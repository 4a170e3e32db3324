"""The generated reference: of the code as it stands, complete, and in words."""

from __future__ import annotations

import dataclasses

import pytest
from docs.generate import reference, studies

from cobaye import kinds
from cobaye.config import bounds, json_schema, meanings, schema
from tests.conftest import ROOT

README = (ROOT / "config/README.md").read_text()
FAMILIES = [each for each in kinds.FAMILIES if each not in ("engines", "origins")]


def test_the_generated_files_are_those_of_the_code():
    old = reference.stale()
    assert not old, f"stale: {', '.join(old)}; they are made by: {reference.COMMAND}"


def test_a_changed_file_is_called_stale(monkeypatch, tmp_path):
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "files", lambda: {"a.md": "new", "b.md": "same"})
    (tmp_path / "b.md").write_text("same")
    assert reference.stale() == {"a.md": "new"}
    monkeypatch.setattr("sys.argv", ["reference.py", "--check"])
    assert reference.main() == 1
    monkeypatch.setattr("sys.argv", ["reference.py"])
    assert reference.main() == 0
    assert reference.stale() == {}


def test_the_table_of_studies_takes_the_first_sentence_of_each_part_of_a_head():
    head = "A study, 0.5 wide.\n\nNot this.\nTakes: 3 s (of 4.5 s). More.\nNeeds: a | b."
    assert studies.said(head, "Takes") == "3 s (of 4.5 s)"
    assert studies.said(head, "Needs") == "a \\| b"
    assert studies.said(head, "Expect") == ""
    assert studies._first(head) == "A study, 0.5 wide"
    rows = [row for row in studies.page(ROOT / "config").splitlines() if row.startswith("| [")]
    assert len(rows) == len(list((ROOT / "config/studies").glob("*.yaml")))


def test_every_key_of_every_file_has_a_meaning():
    named = [getattr(schema, name) for name in schema.__all__]
    classes = [each for each in named if hasattr(each, "model_fields")]
    for each in (*classes, *json_schema.PARTS):
        keys = getattr(each, "model_fields", None)
        fields = keys or {field.name: field for field in dataclasses.fields(each)}
        assert set(fields) == set(meanings.meanings(each)), each


@pytest.mark.parametrize("family", FAMILIES)
def test_every_option_of_every_kind_has_a_meaning(family):
    for kind in kinds.names(family):
        options = kinds.options(family, kind)
        fields = {field.name for field in dataclasses.fields(options)}
        assert fields == set(meanings.meanings(options)), kind
        assert f"**`{kind}`**" in README or family == "figures", kind


def test_every_study_names_its_schema():
    for file in (ROOT / "config").rglob("*.yaml"):
        head, _, path = file.read_text().splitlines()[0].partition("$schema=")
        assert head == "# yaml-language-server: "
        assert (file.parent / path).is_file()


def test_bounds_are_those_of_the_check():
    found = bounds.bounds("schedules", "plateau")
    assert found["factor"] == {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
    assert found["patience"] == {"minimum": 1}
    assert found["minimum"] == {"minimum": 0, "maximum": 1}
    assert bounds.bounds("networks", "convnet")["resize"] == {"minimum": 32}


def test_a_bound_that_moves_with_another_option_is_none():
    found = bounds.bounds("augmentations", "zoom")
    assert found == {"low": {"exclusiveMinimum": 0}, "high": {}}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": ["integer", "string"], "minimum": 1, "maximum": 99}, "integer 1 to 99"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "number > 0, < 1"),
        ({"anyOf": [{"enum": ["a", "b", "c"]}, {"type": "null"}]}, "`a`, `b` or `c`"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, "list of 2 or more texts"),
    ],
)
def test_types_in_words(schema, said):
    assert reference.words(schema) == said
