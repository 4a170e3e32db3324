"""Every kind of file, damaged in every way, is refused by name before anything is made of it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from cobaye import errors
from cobaye.storage import files, journal, manifests, paths, resume
from cobaye.training import loop
from tests import chain
from tests.jobs import job

DATASET = "resources/datasets/d"
BACKBONE = "resources/backbones/b"
FEATURES = "results/features/d/b"
SHARD = f"{FEATURES}/train/shard-00-of-02"
OTHER_SHARD = f"{FEATURES}/train/shard-01-of-02"
TRAINED = paths.RUN.format(**chain.BACKBONE_RUN)
RUN, OTHER_RUN = (paths.RUN.format(**run) for run in chain.RUNS)
TABLES = "results/s/tables"
LAST = "checkpoints/epoch-001.safetensors"
FOUND = f"{RUN}/inside/weights/trained"
LOOKED_AT = f"{FOUND}/manifest.json"

# What is damaged, the manifest of what reads it, the file it is exchanged with, and the manifest
# that makes it anew.
CASES = [
    (f"{DATASET}/train/images.npy", f"{TRAINED}/train.json", f"{DATASET}/val/images.npy"),
    (f"{DATASET}/train/labels.npy", f"{TRAINED}/train.json", f"{DATASET}/val/labels.npy"),
    (f"{DATASET}/train/images.npy", f"{SHARD}.json", f"{DATASET}/val/images.npy"),
    (f"{DATASET}/train/labels.npy", f"{FEATURES}/train/manifest.json", f"{DATASET}/val/labels.npy"),
    (f"{DATASET}/classes.json", f"{TABLES}/tables.json", None),
    (f"{DATASET}/manifest.json", f"{TRAINED}/train.json", f"{DATASET}/classes.json"),
    (f"{TRAINED}/train.json", f"{BACKBONE}.json", f"{DATASET}/manifest.json"),
    *(
        (f"{run}/checkpoints/epoch-001.safetensors", reader, f"{run}/checkpoints/{first}")
        for run, reader in ((TRAINED, f"{BACKBONE}.json"), (RUN, f"{RUN}/evaluate.json"))
        for first in [paths.checkpoint(0)]
    ),
    (f"{BACKBONE}.safetensors", f"{SHARD}.json", f"{TRAINED}/checkpoints/epoch-000.safetensors"),
    (f"{BACKBONE}.json", f"{SHARD}.json", f"{TRAINED}/train.json"),
    (f"{SHARD}.npy", f"{FEATURES}/train/manifest.json", f"{OTHER_SHARD}.npy"),
    (f"{SHARD}.json", f"{FEATURES}/train/manifest.json", f"{OTHER_SHARD}.json"),
    (f"{SHARD}.npy", f"{RUN}/train.json", f"{OTHER_SHARD}.npy"),
    (f"{FEATURES}/train/labels.npy", f"{RUN}/train.json", f"{FEATURES}/val/labels.npy"),
    (f"{FEATURES}/train/manifest.json", f"{RUN}/train.json", f"{FEATURES}/val/manifest.json"),
    (f"{FEATURES}/val/labels.npy", f"{RUN}/evaluate.json", f"{FEATURES}/test/labels.npy"),
    (f"{RUN}/train.json", f"{RUN}/evaluate.json", f"{TRAINED}/train.json"),
    *(
        (f"{RUN}/{name}", f"{TABLES}/tables.json", f"{OTHER_RUN}/{name}")
        for name in (
            "train.json",
            "history.csv",
            "evaluate.json",
            "metrics.parquet",
            "classes.parquet",
            "predictions.parquet",
        )
    ),
    (f"{RUN}/train.json", LOOKED_AT, f"{OTHER_RUN}/train.json"),
    (
        f"{RUN}/checkpoints/epoch-001.safetensors",
        LOOKED_AT,
        f"{OTHER_RUN}/checkpoints/epoch-001.safetensors",
    ),
    (LOOKED_AT, f"{TABLES}/weights.json", LOOKED_AT.replace(RUN, OTHER_RUN)),
    *(
        (f"{FOUND}/{table}.parquet", f"{TABLES}/weights.json", f"{FOUND}/{other}.parquet")
        for table, other in (("rotation", "weight-histograms"), ("weight-histograms", "rotation"))
    ),
    (f"{TABLES}/classes.csv", "results/s/figures/best-lambda-test.json", f"{TABLES}/metrics.csv"),
    (f"{TABLES}/tables.json", "results/s/figures/best-lambda-test.json", f"{RUN}/train.json"),
]


@pytest.fixture(scope="module")
def states(chained):
    """Manifest → the state before the stage that writes it, and the stage."""
    return {
        stage.manifest: (chained[number - 1], stage) for number, stage in enumerate(chain.stages())
    }


def put(path, data) -> None:
    """Replace a file, not what shares its content by a hard link."""
    path.unlink()
    path.write_bytes(data)


def flipped(data: bytes, place: int, mask: int = 4) -> bytes:
    changed = bytearray(data)
    changed[place] ^= mask
    return bytes(changed)


def damages(data: bytes) -> dict[str, bytes]:
    """Return every damage of a file's content: cut, and one bit changed."""
    size = len(data)
    cut = {f"cut to {n}": data[:n] for n in sorted({0, 1, size // 2, size - 1})}
    return cut | {f"bit at {n}": flipped(data, n) for n in sorted({0, size // 2, size - 2})}


def of_the_future(data: bytes) -> bytes:
    """Return a manifest as a later version of this project might seal it."""
    return resealed(data, format=manifests.FORMAT + 1)


def resealed(data: bytes, **changes: object) -> bytes:
    content = json.loads(data)
    del content["seal"]
    content |= changes
    return files._encoded({**content, "seal": files.digest(content)})


def refused(root, stage, *names: str) -> str:
    """Run a stage that must refuse one of some files by name, and make nothing."""
    before = chain.contents(root)
    with pytest.raises(errors.CorruptFile) as error:
        stage.run(root)
    said = str(error.value)
    assert any(said.startswith(f"{root / name}: ") for name in names), said
    assert re.search(r"\nto repair: snakemake --cores all (\S+) --forcerun \1$", said), said
    assert chain.contents(root) == before
    return said


def maker(name: str) -> str:
    """Return the manifest whose repair makes a file anew."""
    if name.endswith(".json") and name != f"{DATASET}/classes.json":
        return name
    if name.startswith(DATASET):
        return f"{DATASET}/manifest.json"
    if name.endswith("labels.npy"):
        return name.replace("labels.npy", "manifest.json")
    if name.startswith(TABLES):
        return f"{TABLES}/tables.json"
    if name.startswith(FOUND):
        return LOOKED_AT
    if name.endswith("parquet"):
        return name.rpartition("/")[0] + "/evaluate.json"
    if "/runs/" in name:
        return name.partition("/checkpoints")[0].removesuffix("/history.csv") + "/train.json"
    return name.rpartition(".")[0] + ".json"


@pytest.mark.parametrize(("name", "reader", "partner"), CASES)
def test_a_damaged_file_is_refused_by_name(states, tmp_path, name, reader, partner):
    before, stage = states[reader]
    root = chain.clone(before, tmp_path / "root")
    path, whole = root / name, (root / name).read_bytes()
    for damage, data in damages(whole).items():
        put(path, data)
        said = refused(root, stage, name)
        assert said.endswith(f"--forcerun {root / maker(name)}"), damage
    if path.suffix == ".json" and maker(name) == name:
        put(path, of_the_future(whole))
        assert (
            f"expected format version {manifests.FORMAT}, found {manifests.FORMAT + 1}"
            in refused(root, stage, name)
        )
    if partner is not None:
        other = (root / partner).read_bytes()
        put(path, other)
        put(root / partner, whole)
        refused(root, stage, name, partner)
        put(root / partner, other)
    path.unlink()
    assert "missing" in refused(root, stage, name)
    path.write_bytes(whole)
    stage.run(root)


BEGUN = chain.training_of(
    chain.RUNS[0], optimizer=dataclasses.replace(chain.OPTIMIZER, normalize="none", epochs=2)
)


@pytest.fixture
def begun(states, tmp_path, monkeypatch):
    """A training that was killed after its first epoch of two, and what it gives undisturbed."""
    before, _ = states[f"{RUN}/train.json"]
    undisturbed = chain.clone(before, tmp_path / "undisturbed")
    loop.train(job("train", chain.RUNS[0], BEGUN, undisturbed, code=chain.CODE))
    root = chain.clone(before, tmp_path / "root")
    order = loop.batch_order

    def stop_at_the_second(*key):
        if key[1] == 2:
            raise KeyboardInterrupt
        return order(*key)

    monkeypatch.setattr(loop, "batch_order", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        loop.train(job("train", chain.RUNS[0], BEGUN, root, code=chain.CODE))
    monkeypatch.undo()
    return root, chain.contents(undisturbed)


FIRST, SECOND = paths.checkpoint(0), paths.checkpoint(1)


@pytest.mark.parametrize(
    "name",
    [journal.NAME, "state-001.safetensors", *(f"checkpoints/{each}" for each in (FIRST, SECOND))],
)
def test_damaged_resume_state_is_said_and_not_used(begun, tmp_path, capsys, name):
    left, expected = begun
    whole = (left / RUN / resume.FOLDER / name).read_bytes()
    found = damages(whole)
    if name == journal.NAME:
        first, *epochs = whole.splitlines(keepends=True)
        future = {**json.loads(first)["told"], "format": manifests.FORMAT + 1}
        sealed = {"told": future, "seal": files.digest(future)}
        found["future"] = b"".join([files.canonical(sealed).encode() + b"\n", *epochs])
    else:
        checkpoints = left / RUN / resume.FOLDER / resume.CHECKPOINTS
        other = SECOND if name.endswith(FIRST) else FIRST
        found["exchanged"] = (checkpoints / other).read_bytes()
    for damage, data in found.items():
        root = chain.clone(left, tmp_path / damage.replace(" ", "-"))
        put(root / RUN / resume.FOLDER / name, data)
        loop.train(job("train", chain.RUNS[0], BEGUN, root, code=chain.CODE))
        said = capsys.readouterr().err
        assert "resume state not used" in said, damage
        assert (
            f"format: {manifests.FORMAT + 1} → {manifests.FORMAT}" if damage == "future" else name
        ) in said
        # Of epochs 0 and 1, the first is left where the damage is of the second.
        before_last = whole[: whole.rindex(b"\n", 0, -1) + 1]
        of_second = not name.endswith(FIRST)
        is_left = data.startswith(before_last) if name == journal.NAME else of_second
        resumed = files.read_json(root / RUN / "run.json")["resumed_from"]
        assert resumed == ([0] if is_left else []), damage
        assert chain.contents(root) == expected


def folder_at(path):
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "file").touch()


def link_at(path):
    """Whole, as it stands; what it links to goes with the resume folder."""
    if path.exists():
        path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def pipe_at(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("stand", [folder_at, link_at, pipe_at])
@pytest.mark.parametrize(
    "name",
    [journal.NAME, "published"]
    + [f"state-{epoch:03d}.safetensors" for epoch in (0, 1, 2)]
    + [f"checkpoints/{paths.checkpoint(epoch)}" for epoch in (0, 1, 2)],
)
def test_what_stands_in_place_of_resume_state_is_removed(begun, tmp_path, name, stand):
    left, expected = begun
    root = chain.clone(left, tmp_path / "clone")
    stand(root / RUN / resume.FOLDER / name)
    loop.train(job("train", chain.RUNS[0], BEGUN, root, code=chain.CODE))
    resume.forget(root / RUN)
    assert chain.contents(root) == expected
    left_over = [path for path in (root / RUN).rglob("*") if path.is_symlink() or path.is_fifo()]
    assert left_over == []


def test_resume_state_that_cannot_be_read_is_not_used(begun, tmp_path, monkeypatch, capsys):
    left, expected = begun
    root = chain.clone(left, tmp_path / "clone")
    sha256 = files.sha256

    def bad_sector(path):
        if path.name == SECOND:
            monkeypatch.setattr(files, "sha256", sha256)
            raise OSError(errno.EIO, "bad sector")
        return sha256(path)

    monkeypatch.setattr(files, "sha256", bad_sector)
    loop.train(job("train", chain.RUNS[0], BEGUN, root, code=chain.CODE))
    assert f"not used after epoch 0: {root / RUN}" in capsys.readouterr().err
    assert chain.contents(root) == expected


def test_whole_resume_state_is_used(begun, capsys):
    """So that the tests around this one can fail."""
    root, expected = begun
    loop.train(job("train", chain.RUNS[0], BEGUN, root, code=chain.CODE))
    assert files.read_json(root / RUN / "run.json")["resumed_from"] == [1]
    assert "not used" not in capsys.readouterr().err
    assert chain.contents(root) == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weight_decay": 0.5}, "recipe.weight_decay: 0.0 → 0.5"),
        ({"seed": 7}, "recipe.seed: 0 → 7"),
        ({"penalize_bias": False}, "recipe.penalize_bias: True → False"),
        (
            {"optimizer": dataclasses.replace(BEGUN.optimizer, learning_rate=0.5)},
            "recipe.optimizer.learning_rate: 0.05 → 0.5",
        ),
    ],
)
def test_resume_state_of_another_recipe_is_named_and_not_used(begun, capsys, changes, said):
    root, _ = begun
    recipe = dataclasses.replace(BEGUN, **changes)
    loop.train(job("train", chain.RUNS[0], recipe, root, code=chain.CODE))
    assert f"it is of another run: {said}\n" in capsys.readouterr().err
    assert files.read_json(root / RUN / "run.json")["resumed_from"] == []


def test_resume_state_of_another_run_moved_here_is_not_used(begun, capsys):
    root, _ = begun
    (root / OTHER_RUN).parent.mkdir(parents=True, exist_ok=True)
    (root / RUN).rename(root / OTHER_RUN)
    loop.train(job("train", chain.RUNS[1], BEGUN, root, code=chain.CODE))
    assert "another run: identity.weight_decay: 0 → 1e-2" in capsys.readouterr().err
    assert files.read_json(root / OTHER_RUN / "run.json")["resumed_from"] == []


@pytest.mark.slow
def test_snakemake_refuses_damage_and_the_command_it_names_mends_it(built, copied):
    run = "results/tiny/runs/linear/sgd/wd-0/seed-0"
    checkpoint = copied.path(f"{run}/checkpoints/epoch-004.safetensors")
    put(checkpoint, flipped(checkpoint.read_bytes(), -1))
    features = "results/features/tiny-glyphs/tiny-backbone/val"
    shard = copied.path(f"{features}/shard-01-of-02.npy")
    put(shard, shard.read_bytes()[:-1])
    targets = (f"{run}/evaluate.json", f"{features}/labels.npy")
    for name in targets:
        copied.path(name).unlink()
    repairs = set()
    while True:
        done = copied.run("--keep-going", *targets, check=False)
        if done.returncode == 0:
            break
        assert "Traceback" not in done.stdout
        assert not all(copied.path(name).exists() for name in targets)
        found = re.findall(r"to repair: snakemake (.*)", done.stdout)
        assert found
        assert not repairs & set(found)
        for command in sorted(set(found)):
            subprocess.run(
                [sys.executable, "-m", "snakemake", *shlex.split(command)],
                cwd=copied.folder,
                env=copied.environment(),
                check=True,
                capture_output=True,
            )
        repairs |= set(found)
    assert {command.split()[2] for command in repairs} == {
        f"{run}/train.json",
        f"{features}/shard-01-of-02.json",
    }
    assert copied.files("results", "resources") == built.files("results", "resources")
