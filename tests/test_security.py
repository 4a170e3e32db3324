"""Data are data: nothing is unpickled, no name leaves its folder, no text becomes markup."""

from __future__ import annotations

import io
import json
import pickle
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from cobaye import errors, figures, kinds
from cobaye.config import Config
from cobaye.data import datasets
from cobaye.storage import manifests, paths, table_names
from cobaye.tables import reading
from tests import chain
from tests.conftest import READ, TINY, whole
from tests.jobs import job
from tests.test_corruption import CASES, FEATURES, RUN, TABLES, put, resealed, states  # noqa: F401

HOSTILE = [
    "<script>alert(1)</script>",
    "$(touch x)",
    "`touch x`; touch x",
    "../../x",
    "{{wildcards}}",
    "{wildcards.study}",
    '\'; DROP "TABLE" --',
    "one\ntwo\r\nthree",
    "\u202egnol\u202c\u200f",
    "</text><image href='x' onload='alert(1)'/>",
    "$\\frac{1}{0}$",
    "&amp; ]]> <!--",
    "NA",
    # pandas before 3.1 reads a NUL as the end of a text, too.
    "\x00\x1b[31m\x7f" if READ == 0 else "\x1b[31m\x7f",
    "/etc/passwd",
    "-rf",
]


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return open, (str(self.witness), "w")


def pickles(witness) -> list[bytes]:
    """Return a bare pickle, one of numpy's arrays of objects, and a zip of such."""
    objects = np.array([Planted(witness)], dtype=object)
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, objects, allow_pickle=True)
    np.savez(archive, a=objects)
    return [pickle.dumps(Planted(witness)), array.getvalue(), archive.getvalue()]


def vouch_for(root, name, data) -> None:
    """Change the manifest over a file as one would who wants it to be believed."""
    for path in set(root.rglob("*.json")) - {root / name}:
        content = json.loads(path.read_bytes())
        for key in content.get("files", {}) if isinstance(content, dict) else {}:
            if path.parent / key == root / name:
                entry = {**manifests.describe(root / name), "bytes": len(data)}
                entries = {**content["files"], key: {**content["files"][key], **entry}}
                put(path, resealed(path.read_bytes(), files=entries))


READ = [(name, reader) for name, reader, _ in CASES]


@pytest.mark.parametrize(("name", "reader"), READ)
def test_a_pickle_under_any_name_is_refused_and_not_run(states, tmp_path, name, reader):  # noqa: F811
    """Even where its manifest was forged to vouch for it."""
    before, stage = states[reader]
    witness = tmp_path / "executed"
    for number, data in enumerate(pickles(witness)):
        root = chain.clone(before, tmp_path / str(number))
        put(root / name, data)
        vouch_for(root, name, data)
        with pytest.raises(errors.CobayeError) as error:
            stage.run(root)
        said = str(error.value)
        assert str(root / name) in said or "made from another" in said
        assert not (root / stage.manifest).exists()
    assert not witness.exists()


def test_planted_pickles_would_run():
    """So that the tests above can fail."""
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickles("/nonexistent/folder/x")[0])


NAMES = ["..", ".", "../x", "a/b", "/etc/x", "", "a\n", "a b", "$(x)", "{x}", "A", "-x", "é"]


def project(tmp_path, **changes):
    """Return the config of the tiny project, some files of it replaced."""
    for name, text in {**TINY, **changes}.items():
        path = tmp_path / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return whole(Config({"studies": ["tiny"]}, tmp_path / "config", figures.names()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["datasets", "backbones", "models", "optimizers"])
def test_a_name_that_could_leave_its_folder_is_refused(tmp_path, where, name):
    quoted = json.dumps(name)
    file, old = {
        "datasets": ("datasets.yaml", "tiny-digits:"),
        "backbones": ("backbones.yaml", "tiny-backbone:"),
        "models": ("studies/tiny.yaml", "  linear:"),
        "optimizers": ("studies/tiny.yaml", "  sgd:"),
    }[where]
    indent = old[: len(old) - len(old.lstrip())]
    assert old in TINY[file]
    changed = TINY[file].replace(f"\n{old}", f"\n{indent}{quoted}:", 1)
    with pytest.raises(errors.ConfigError, match=r"names stand in paths|no backbone|no dataset"):
        project(tmp_path, **{file: changed})


@pytest.mark.parametrize("name", [n for n in NAMES if "/" not in n and n not in ("", ".", "..")])
def test_a_study_file_whose_name_could_do_harm_is_refused(tmp_path, name):
    with pytest.raises(errors.ConfigError, match="names stand in paths"):
        project(tmp_path, **{f"studies/{name}.yaml": TINY["studies/tiny.yaml"]})


LABELS = ["../0", "0/1", "/0", "..", ".", "1e-4\n", "1 ", "$(x)", "٣", "-1"]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_that_could_leave_its_folder_is_refused(tmp_path, label):
    text = TINY["studies/tiny.yaml"].replace('"1e-2"', json.dumps(label))
    with pytest.raises(errors.ConfigError, match=r"studies/tiny\.yaml: weight_decays"):
        project(tmp_path, **{"studies/tiny.yaml": text})


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """The tables of a study whose classes have hostile names."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    generator = np.random.default_rng(0)
    splits = {}
    for split in paths.SPLITS:
        labels = np.arange(len(HOSTILE)).repeat(2)
        images = generator.integers(0, 256, (len(labels), 1, 4, 4), dtype=np.uint8)
        splits[split] = (images, labels)
    prepared = datasets.Prepared([{"name": name} for name in HOSTILE], splits)
    folder = root / paths.DATASET.format(dataset="d")
    made = datasets.write(prepared, folder)
    info = {"classes": len(HOSTILE), "shape": [1, 4, 4], "form": "images"}
    manifest = manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info)
    manifest.write(folder / "manifest.json")
    for stage in chain.stages()[1:-1]:
        stage.run(root)
    return root


def test_hostile_class_names_are_text(hostile, tmp_path, monkeypatch):
    """Through tables and every figure: nothing but the products appears, and no markup in them."""
    monkeypatch.setattr(figures, "_METADATA", {"svg": figures._METADATA["svg"]})
    identity = {"study": "s", "maker": "tables"}
    made = manifests.read_manifest(hostile / TABLES / "tables.json", "tabulate", identity)
    read = reading.read(hostile / TABLES, "classes", made)
    assert list(read["name"].iloc[: len(HOSTILE)]) == HOSTILE
    for figure, kind in figures.names().items():
        read_by_it = kinds.constant("figures", kind, "TABLES")
        if not set(read_by_it) <= set(table_names.FILES):
            continue
        defaults = kinds.constant("figures", kind, "NAMES")[figure]
        recipe = {"kind": kind, "options": defaults, "tables": list(read_by_it), "width": 5.5}
        path = figures.plot(job("plot", {**identity, "figure": figure}, recipe, hostile))
        svg = path.with_suffix(".svg").read_text(encoding="utf-8")
        elements = list(ElementTree.fromstring(svg).iter())
        assert {element.tag.rpartition("}")[2] for element in elements} <= DRAWN, figure
        assert not [key for element in elements for key in element.attrib if key.startswith("on")]
        # matplotlib writes what it draws as a comment too.
        for bad in ("<script", "<image href='x'", "\u202e", "\x1b", "\x00"):
            assert bad not in svg, figure
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert {path.name for path in hostile.iterdir()} == {"resources", "results"}
    assert not list(hostile.rglob("x"))


# What matplotlib draws with; no script, no foreign object, no link.
DRAWN = {"svg", "metadata", "RDF", "Work", "type", "date", "format", "creator", "Agent", "title"}
DRAWN |= {"defs", "style", "g", "path", "use", "image", "clipPath", "rect", "text", "tspan"}


@pytest.mark.slow
def test_hostile_class_names_through_the_workflow_and_its_report(fresh):
    generator = np.random.default_rng(0)
    labels = np.arange(len(HOSTILE)).repeat(10)
    np.savez(fresh.path("own.npz"), features=generator.normal(size=(160, 3)), labels=labels)
    fresh.path("names.json").write_text(json.dumps(HOSTILE))
    splits = "{test: {of: a, fraction: 0.3, stratified: true}, train: {of: a}, "
    splits += "val: {of: a, fraction: 0.3, stratified: true}}"
    own = f"{{kind: features, parts: {{a: own.npz}}, class_names: names.json, splits: {splits}}}"
    fresh.edit("config/datasets.yaml", "{kind: digits, val: 0.2, test: 0.6}", own)
    fresh.edit("config/studies/tiny-images.yaml", "normalize: channel", "normalize: none")
    fresh.edit("config/studies/tiny-images.yaml", "[test-curves]", "[confusion, three-classes]")
    before = {path.name for path in fresh.folder.iterdir()}
    asked = ("--config", "studies=[tiny-images]")
    fresh.run(*asked)
    fresh.run("--report", "report.html", *asked)
    report = fresh.path("report.html").read_text(encoding="utf-8")
    assert "results/tiny-images/tables/tables.html" in report
    for bad in ("<script>alert", "onload='alert", "\u202e"):
        assert bad not in report
    after = {path.name for path in fresh.folder.iterdir()}
    assert after - before <= {"results", "resources", "report.html", ".snakemake"}
    assert not list(fresh.folder.rglob("x"))
