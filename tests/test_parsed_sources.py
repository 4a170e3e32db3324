"""What was read of sources is kept between processes, and never changes a digest."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from cobaye import kinds
from cobaye.storage import code_digest, parsed_sources
from tests.conftest import ROOT

USES = [("networks", "linear"), ("engines", "linear")]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A copy of the library, to change, and nothing kept yet."""
    shutil.copytree(
        ROOT / "workflow", tmp_path / "workflow", ignore=shutil.ignore_patterns("__pycache__")
    )
    for module in (code_digest, kinds):
        monkeypatch.setattr(module, "ROOT", tmp_path / "workflow/cobaye")
    monkeypatch.setattr(parsed_sources.atexit, "register", lambda function: None)
    for name in ("_entries", "_kept", "_asked"):
        monkeypatch.setattr(parsed_sources, name, type(getattr(parsed_sources, name))())
    monkeypatch.setattr(parsed_sources, "_place", None)
    yield tmp_path / "workflow"
    code_digest.read_again()


@pytest.fixture
def process(library, monkeypatch):
    """Compute a digest as a process of its own would; return it and how many sources it parsed."""
    parse, place = code_digest._parsed, library.parent / "kept.json"

    def run(keep=True):
        parsed = []
        monkeypatch.setattr(code_digest, "_parsed", lambda data: parsed.append(data) or parse(data))
        code_digest.read_again()
        if keep:
            parsed_sources.keep_in(place)
        else:
            parsed_sources._entries.clear()
        digest = code_digest.code_digest(library / "scripts/train.py", USES)
        parsed_sources.leave()
        return digest, len(parsed)

    return run


def test_a_second_process_parses_nothing_and_finds_the_same_digest(process):
    alone, every = process(keep=False)
    assert every > 40
    assert process() == (alone, every)
    assert process() == (alone, 0)


def test_an_edit_is_seen_and_only_its_file_parsed_again(process, library):
    before, _ = process()
    with open(library / "cobaye/training/loop.py", "a") as source:
        source.write("\nCHANGED = 1\n")
    after, parsed = process()
    assert (after != before, parsed) == (True, 1)
    assert process(keep=False)[0] == after


def flip(place):
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda place: place.write_bytes(place.read_bytes()[:1000]),
        lambda place: place.write_bytes(b""),
        lambda place: place.unlink(),
        lambda place: (place.unlink(), place.mkdir()),
    ],
)
def test_what_is_damaged_is_not_used(process, library, damage):
    before, every = process()
    damage(library.parent / "kept.json")
    assert process() == (before, every)


def test_what_another_python_or_other_code_made_is_not_used(process, library, monkeypatch):
    before, every = process()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version", "3.99")
        assert process() == (before, every)
    assert process() == (before, every)
    monkeypatch.setattr(parsed_sources, "_maker", lambda: "other code")
    assert process() == (before, every)


def test_a_place_that_cannot_be_written_is_only_slower(process, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "replace", refuse)
    assert process()[1] == process()[1] > 0


def test_a_file_that_grew_too_long_keeps_what_was_asked_for(process, library, monkeypatch):
    process()
    with open(library / "scripts/train.py", "a") as source:
        source.write("\nCHANGED = 1\n")
    monkeypatch.setattr(parsed_sources, "LARGEST", 1)
    digest, _ = process()
    kept = json.loads((library.parent / "kept.json").read_bytes().partition(b"\n")[2])["entries"]
    assert kept.keys() == parsed_sources._asked < parsed_sources._entries.keys()
    assert process() == (digest, 0)
