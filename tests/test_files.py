"""Files are whole or absent, manifests notice every change, and errors name file and repair."""

from __future__ import annotations

import json
import os
import stat

import pytest

from cobaye.errors import CorruptFile, StaleFile, UnwritableFile, writable
from cobaye.storage import files, manifests

IDENTITY = {"dataset": "d"}
REPAIR = "to repair: snakemake --cores all "


@pytest.fixture
def made(tmp_path):
    """A folder with one file and its manifest."""
    entry = manifests.describe(
        tmp_path / "a.bin", files.write_bytes(tmp_path / "a.bin", b"x" * 1000)
    )
    manifest = manifests.Manifest(
        "prepare_dataset", IDENTITY, {"r": 1}, "c0de", {}, {"a.bin": entry}
    )
    manifest.write(tmp_path / "manifest.json")
    return tmp_path


def read(folder, **changes):
    expected = {"stage": "prepare_dataset", "identity": IDENTITY, **changes}
    return manifests.read_manifest(folder / "manifest.json", **expected)


def test_a_manifest_is_read_back(made):
    manifest = read(made)
    assert manifest.check(made, "a.bin") == made / "a.bin"
    assert manifest.recipe == {"r": 1}


@pytest.mark.parametrize("size", [0, 1, 500, 999, 1001])
def test_a_file_of_another_length_is_refused_by_name(made, size):
    os.truncate(made / "a.bin", size)
    with pytest.raises(CorruptFile) as found:
        read(made).check(made, "a.bin")
    message = str(found.value)
    assert str(made / "a.bin") in message
    assert f"expected 1000 bytes, found {size}" in message
    manifest = made / "manifest.json"
    assert f"{REPAIR}{manifest} --forcerun {manifest}" in message


@pytest.mark.parametrize("position", [0, 500, 999])
def test_a_flipped_bit_is_refused_by_name(made, position):
    data = bytearray((made / "a.bin").read_bytes())
    data[position] ^= 4
    (made / "a.bin").write_bytes(data)
    with pytest.raises(CorruptFile, match="expected sha256"):
        read(made).check(made, "a.bin")


def test_a_missing_file_is_refused_by_name(made):
    manifest = read(made)
    (made / "a.bin").unlink()
    with pytest.raises(CorruptFile, match="missing"):
        manifest.check(made, "a.bin")


def test_every_changed_byte_of_a_manifest_is_noticed(made):
    path = made / "manifest.json"
    whole = path.read_bytes()
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1
        path.write_bytes(data)
        with pytest.raises(CorruptFile) as found:
            read(made)
        assert str(path) in str(found.value)
        assert REPAIR in str(found.value)


def test_a_truncated_or_missing_manifest_is_refused(made):
    path = made / "manifest.json"
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptFile, match=r"manifest\.json"):
            read(made)
    path.unlink()
    with pytest.raises(CorruptFile, match="missing"):
        read(made)


@pytest.mark.parametrize(
    "changes", [{"identity": {"dataset": "other"}}, {"stage": "train"}], ids=["identity", "stage"]
)
def test_an_exchanged_manifest_is_refused(made, changes):
    with pytest.raises(CorruptFile, match=f"expected {next(iter(changes))}"):
        read(made, **changes)


def test_a_future_format_is_refused(made):
    path = made / "manifest.json"
    content = json.loads(path.read_text())
    del content["seal"]
    content["format"] = manifests.FORMAT + 1
    files.write_json(path, {**content, "seal": files.digest(content)})
    with pytest.raises(
        CorruptFile,
        match=f"expected format version {manifests.FORMAT}, found {manifests.FORMAT + 1}",
    ):
        read(made)


def test_another_recipe_or_code_is_stale(made):
    manifest = read(made)
    now = manifests.stage_fingerprint({"r": 1}, "c0de")
    manifests.require_fresh("m", manifest, now)
    for recipe, code in [({"r": 2}, "c0de"), ({"r": 1}, "c0df")]:
        with pytest.raises(StaleFile, match=REPAIR):
            manifests.require_fresh("m", manifest, manifests.stage_fingerprint(recipe, code))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a"
    files.write_bytes(path, b"old")

    def fail():
        with files.writing(path) as file:
            file.write(b"half of the ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(UnwritableFile, match=r"/a: cannot be written: No space left on device"):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_only_what_concerns_the_file_is_called_unwritable(tmp_path):
    """What is read for the sake of a file that is being written has errors of its own."""

    def read_another():
        with files.writing(tmp_path / "a" / "b"):
            raise PermissionError(13, "Permission denied", "/elsewhere/image.png")

    with pytest.raises(PermissionError):
        read_another()
    with pytest.raises(UnwritableFile, match="a: cannot be written"), writable(tmp_path / "a"):
        raise PermissionError(13, "Permission denied", str(tmp_path))


def test_what_a_killed_writer_left_is_removed(tmp_path):
    path = tmp_path / "a"
    (tmp_path / f"{files.TEMPORARY}123-a").write_bytes(b"half")
    (tmp_path / f"{files.TEMPORARY}123-other").write_bytes(b"not ours")
    files.write_bytes(path, b"new")
    assert sorted(os.listdir(tmp_path)) == [f"{files.TEMPORARY}123-other", "a"]


def test_a_published_folder_replaces_what_an_orphan_left(tmp_path):
    for name, content in (("new", b"2"), ("target", b"1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(content)
    files.publish_directory(tmp_path / "new", tmp_path / "target")
    assert os.listdir(tmp_path) == ["target"]
    assert (tmp_path / "target/f").read_bytes() == b"2"


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a", {"loss": float("nan")})
    assert not (tmp_path / "a").exists()


def test_a_file_is_on_disk_before_it_is_named_and_its_name_after(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace

    def synced(descriptor):
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        return fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("rename") or replace(*names))
    files.write_bytes(tmp_path / "a", b"1")
    assert calls == ["file", "rename", "folder"]
    (tmp_path / "new").mkdir()
    files.publish_directory(tmp_path / "new", tmp_path / "target")
    assert calls[3:] == ["rename", "folder"]


def test_equal_values_are_equal_bytes(tmp_path):
    first = files.write_json(tmp_path / "a", {"b": 1, "a": {"d": 2, "c": 3}})
    assert first == files.write_json(tmp_path / "a", {"a": {"c": 3, "d": 2}, "b": 1})
    assert first == files.sha256(tmp_path / "a")
