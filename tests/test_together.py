"""Runs trained side by side leave the files that each would leave alone, up to rounding."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import figures, kinds, recipes
from cobaye.config import Config
from cobaye.data import splits
from cobaye.data.normalization import fit_normalization
from cobaye.evaluation import evaluate
from cobaye.models import networks
from cobaye.objective import matmul
from cobaye.planning import runs
from cobaye.planning.plan import Plan
from cobaye.storage import checkpoints, files, journal, manifests, paths, resume
from cobaye.storage.jobs import Job
from cobaye.storage.mapped_rows import MappedRows
from cobaye.training import engines, loop, together
from cobaye.training.engines import _cross_entropy, batched, linear_path
from tests import archives
from tests.conftest import ROOT
from tests.jobs import job
from tests.test_training import CLASSES, SIZE, TRAINING, root  # noqa: F401 (a fixture)

GROUP = {"study": "s", "group": "g"}
FILES = {"history.csv", "run.json", "train.json"}


def member(widths, rate, momentum=0.0, weight_decay=0.0, **more):
    """Return the recipe of a run of a group."""
    kind = recipes.Kind("mlp", {"widths": widths, "activation": more.pop("activation", "relu")})
    algorithm = recipes.Kind("sgd", {"momentum": momentum, "nesterov": more.pop("nesterov", False)})
    optimizer = dataclasses.replace(
        TRAINING.optimizer,
        algorithm=algorithm,
        learning_rate=rate,
        batch_size=more.pop("batch_size", 16),
    )
    return dataclasses.replace(
        TRAINING,
        engine="network",
        model=kind if widths else recipes.Kind("linear", {}),
        optimizer=optimizer,
        weight_decay=weight_decay,
        **more,
    )


def engine_of(members, split):
    normalization = fit_normalization(split, members[0].optimizer)
    made = [networks.build(r.model, (1, SIZE, SIZE), CLASSES, r.seed) for r in members]
    make = kinds.load("engines", kind_of(members)).build_together
    return make(members, made, split, normalization, "cpu")


def kind_of(members):
    """Return the engine that trains a group."""
    return "linear-path" if members[0].model.kind == "linear" else "batched"


LAST = {"weight_decay": "0", "seed": 0}
GROUPS = {
    "plain": [member((7,), 0.1), member((3,), 0.5), member((7,), 0.01)],
    "penalties": [member((7,), 0.1, 0.9, 0.01), member((3,), 0.2), member((3,), 0.1, 0.5, 0.1)],
    "free biases": [
        member((7,), 0.1, weight_decay=0.1, penalize_bias=False),
        member((2,), 0.1, penalize_bias=False),
    ],
    "deep, tanh, Nesterov": [
        member((5, 4), 0.1, 0.9, activation="tanh", nesterov=True),
        member((2, 4), 0.2, 0.5, 0.01, activation="tanh", nesterov=True),
        member((5, 4), 0.05, 0.9, activation="tanh", nesterov=True),
    ],
    "three hidden layers": [member((5, 4, 3), 0.1), member((5, 2, 3), 0.1)],
    "linear": [member((), 0.1), member((), 0.3, 0.9, 0.1), member((), 0.1, 0.9)],
    "linear, free biases, Nesterov": [
        member((), 0.1, 0.9, 0.1, nesterov=True, penalize_bias=False),
        member((), 0.3, 0.5, 0.01, nesterov=True, penalize_bias=False),
    ],
    "one": [member((4,), 0.3, batch_size=90)],
    "batches of one": [member((4,), 0.05, batch_size=1), member((3,), 0.01, batch_size=1)],
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", GROUPS)
def test_each_network_learns_as_if_alone(root, name, precision, monkeypatch):  # noqa: F811
    """Three epochs against autograd and torch's SGD, from the same weights in the same order.

    In float64 to 1e-12 of the largest weight, in float32 to 1e-5: rounding.
    """
    # Chunks of a few batches, so that there are several in an epoch.
    monkeypatch.setattr(batched, "HELD", 3 * 16 * SIZE * SIZE)
    tolerance = {"float64": 1e-12, "float32": 1e-5}[precision]
    members = [dataclasses.replace(each, precision=precision) for each in GROUPS[name]]
    split = splits.load(TRAINING.data, "train", root)
    group = engine_of(members, split)
    normalization = fit_normalization(split, members[0].optimizer)
    alone = [
        engines.build(
            dataclasses.replace(each, engine="network"),
            networks.build(each.model, (1, SIZE, SIZE), CLASSES, each.seed),
            split,
            normalization,
            "cpu",
        )
        for each in members
    ]
    for epoch in (1, 2, 3):
        order = loop.batch_order(0, epoch, len(split.labels))
        rates = [each.optimizer.learning_rate / epoch for each in members]
        found = group.epoch(order, rates)
        for number, (one, rate) in enumerate(zip(alone, rates, strict=True)):
            means = one.epoch(order, rate)
            assert found[number].loss == pytest.approx(means.loss, rel=tolerance)
            assert found[number].penalty == pytest.approx(means.penalty, rel=tolerance)
            assert found[number].accuracy == pytest.approx(means.accuracy, abs=1e-12)
            own = group.tensors(number)
            assert list(own) == list(one.tensors())
            for key, tensor in one.tensors().items():
                scale = tensor.abs().max().item()
                assert torch.allclose(own[key], tensor, rtol=0, atol=tolerance * scale), key


@pytest.mark.parametrize("widths", [(7,), ()], ids=["hidden", "linear"])
def test_networks_do_not_touch_each_other(root, widths):  # noqa: F811
    """One that diverges leaves the bytes of the others as they are; so does its place."""
    split = splits.load(TRAINING.data, "train", root)
    order = loop.batch_order(0, 1, len(split.labels))
    wild, calm = member(widths, 3e38), member(widths, 0.1)
    beside_wild, beside_calm = engine_of([wild, calm], split), engine_of([calm, calm], split)
    for _ in range(2):
        first = beside_wild.epoch(order, [3e38, 0.1])
        second = beside_calm.epoch(order, [0.1, 0.1])
    assert not math.isfinite(first[0].loss)
    for key in ("loss", "penalty", "accuracy"):
        assert getattr(first[1], key) == getattr(second[1], key) == getattr(second[0], key)
    for name, tensor in beside_wild.tensors(1).items():
        assert torch.equal(tensor, beside_calm.tensors(1)[name])
        assert torch.equal(tensor, beside_calm.tensors(0)[name])


def test_features_on_a_disk_are_read_once_for_all_models(tmp_path, monkeypatch):
    rows = torch.randn(70, 9, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(70) % CLASSES
    for number, shard in enumerate(rows.split(40)):
        np.save(tmp_path / f"{number}.npy", shard.numpy())
    mapped = MappedRows([tmp_path / "0.npy", tmp_path / "1.npy"])
    read = []
    take = MappedRows.take
    monkeypatch.setattr(
        MappedRows, "take", lambda self, rows, out: (read.extend(rows), take(self, rows, out))
    )
    options = {"weight_decays": [0.0, 0.1, 0.2], "momenta": [0.9] * 3, "batch_size": 16}
    both = [linear_path.Engine(each, labels, CLASSES, **options) for each in (rows, mapped)]
    order = torch.randperm(70, generator=torch.Generator().manual_seed(1))
    first, second = (engine.epoch(order, [0.1] * 3) for engine in both)
    assert torch.equal(torch.stack(read), order)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.losses, other.losses)


def told(members):
    """Return what `train_together` is told of each run."""
    return [
        {
            "identity": {"study": "s", "model": f"m{i}", "optimizer": "o", **LAST},
            "recipe": recipes.plain(dataclasses.replace(each, engine=kind_of(members))),
            "code": f"code{i}",
        }
        for i, each in enumerate(members)
    ]


def train(members, root):  # noqa: F811
    return together.train_together(job("train_together", GROUP, {"runs": told(members)}, root))


def products(folders):
    """Return every file whose bytes are promised."""
    return {
        f"{folder.parts[-4]}/{file.name}": file.read_bytes()
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "run.json" and resume.FOLDER not in file.parts
    }


@pytest.mark.parametrize("name", ["penalties", "deep, tanh, Nesterov", "linear"])
def test_the_files_are_those_of_runs_trained_alone(root, name):  # noqa: F811
    members = GROUPS[name]
    made = train(members, root)
    for number, (path, recipe) in enumerate(zip(made, members, strict=True)):
        identity = {**told(members)[number]["identity"], "optimizer": "alone"}
        alone = loop.train(job("train", identity, recipe, root, code=f"code{number}")).parent
        own = path.parent
        assert {p.name for p in own.iterdir()} == {p.name for p in alone.iterdir()} - {
            resume.FOLDER
        }
        first, second = (files.read_json(each / "train.json") for each in (own, alone))
        penalties = [each["info"].pop("penalty") for each in (first, second)]
        assert penalties[0] == pytest.approx(penalties[1], rel=1e-5)
        assert first["info"] == second["info"]
        assert first["inputs"] == second["inputs"]
        assert first["files"].keys() == second["files"].keys()
        assert {**first["recipe"], "engine": "network"} == second["recipe"]
        rows = [pd.read_csv(each / "history.csv") for each in (own, alone)]
        pd.testing.assert_frame_equal(*rows, rtol=1e-5)
        for epoch in range(5):
            tensors = [
                checkpoints.load(each / "checkpoints" / paths.checkpoint(epoch))
                for each in (own, alone)
            ]
            assert tensors[0].keys() == tensors[1].keys()
            for key, tensor in tensors[0].items():
                assert torch.allclose(tensor, tensors[1][key], rtol=0, atol=1e-5), key
        run = files.read_json(own / "run.json")
        assert run["together"] == {**GROUP, "runs": len(members)}


def killed_at(root, members, monkeypatch, epoch):  # noqa: F811
    """Train a group in a process that dies, so to say, before it commits an epoch."""
    append = journal.Journal.append

    def dying(self, record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt
        append(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "append", dying)
        with pytest.raises(KeyboardInterrupt):
            train(members, root)
    return root / paths.TOGETHER.format(**GROUP) / resume.FOLDER


@pytest.fixture
def undisturbed(root, tmp_path_factory):  # noqa: F811
    """The bytes of the group `penalties`, one of which diverges, in a training without a kill."""
    other = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(root / "resources", other / "resources")
    return products(path.parent for path in train(MIXED, other))


MIXED = [*GROUPS["penalties"], member((3,), 1e6, 0.9)]


@pytest.mark.parametrize("epoch", [0, 1, 3, 4])
def test_a_killed_group_goes_on_from_its_last_epoch(root, monkeypatch, undisturbed, epoch):  # noqa: F811
    killed_at(root, MIXED, monkeypatch, epoch)
    made = train(MIXED, root)
    assert products(path.parent for path in made) == undisturbed
    run = files.read_json(made[0].parent / "run.json")
    assert run["resumed_from"] == ([epoch - 1] if epoch else [])
    assert files.read_json(made[3].parent / "train.json")["info"]["stopped"].startswith("diverged")


@pytest.mark.parametrize("keep", [2, None])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_group_keeps_the_checkpoints_that_its_runs_would(
    root,  # noqa: F811
    monkeypatch,
    undisturbed,
    keep,
    epoch,
):
    """Killed on the way, one run having diverged."""
    members = [dataclasses.replace(each, keep=keep) for each in MIXED]
    killed_at(root, members, monkeypatch, epoch)
    for path in train(members, root):
        last = files.read_json(path)["info"]["epochs"]
        kept = {paths.checkpoint(each) for each in recipes.kept_epochs(keep, last)}
        assert {file.name for file in (path.parent / "checkpoints").iterdir()} == kept
        found = products([path.parent])
        del found[f"{path.parts[-5]}/train.json"]
        assert found.items() <= undisturbed.items()


@pytest.mark.parametrize("library", ["mkl", "onednn"])
@pytest.mark.parametrize("alone", [False, True], ids=["together", "alone"])
def test_what_goes_on_keeps_its_library(root, monkeypatch, tmp_path_factory, library, alone):  # noqa: F811
    """On a processor for which another is the faster too."""
    members = GROUPS["linear"]

    def trained(root):
        if not alone:
            return train(members, root)
        recipe = dataclasses.replace(members[0], engine="linear")
        return [loop.train(job("train", told(members)[0]["identity"], recipe, root))]

    monkeypatch.setattr(_cross_entropy, "LARGE_PRODUCT", 0)
    monkeypatch.setattr(matmul, "fastest", lambda: library)
    other = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(root / "resources", other / "resources")
    undisturbed = products(path.parent for path in trained(other))

    batches, calls = _cross_entropy.CrossEntropy.batches, []

    def dying(self, order):
        calls.append(self._choose_product() is matmul.plain)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return batches(self, order)

    monkeypatch.setattr(_cross_entropy.CrossEntropy, "batches", dying)
    with pytest.raises(KeyboardInterrupt):
        trained(root)
    monkeypatch.setattr(matmul, "fastest", lambda: "mkl" if library == "onednn" else "onednn")
    made = trained(root)
    assert set(calls) == {library == "mkl"}
    assert products(path.parent for path in made) == undisturbed
    run = files.read_json(made[0].parent / "run.json")
    assert (run["products"], run["resumed_from"]) == (library, [2])


def torn(scratch):
    """Cut the journal's last line, as a power failure may."""
    path = scratch / journal.NAME
    path.write_bytes(path.read_bytes()[:-20])


def forged(scratch):
    """Change the last line, whole as it is."""
    path = scratch / journal.NAME
    *before, last = path.read_text().splitlines()
    record = json.loads(last)
    record["runs"]["0"]["rows"] = record["runs"]["1"]["rows"]
    path.write_text("\n".join([*before, json.dumps(record)]) + "\n")


def flipped(scratch):
    """Flip a bit of a checkpoint of the last line."""
    path = scratch / "run-001/checkpoints" / paths.checkpoint(2)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def removed(scratch):
    (scratch / "run-002/checkpoints" / paths.checkpoint(2)).unlink()


@pytest.mark.parametrize("harm", [torn, forged, flipped, removed])
def test_what_is_not_whole_is_trained_again(root, monkeypatch, undisturbed, harm):  # noqa: F811
    scratch = killed_at(root, MIXED, monkeypatch, 3)
    harm(scratch)
    made = train(MIXED, root)
    assert products(path.parent for path in made) == undisturbed
    assert files.read_json(made[0].parent / "run.json")["resumed_from"] == [1]


def test_velocities_that_are_gone_are_not_guessed(root, monkeypatch, undisturbed):  # noqa: F811
    scratch = killed_at(root, MIXED, monkeypatch, 3)
    for file in scratch.glob("state-*"):
        file.write_bytes(b"")
    made = train(MIXED, root)
    assert products(path.parent for path in made) == undisturbed
    assert files.read_json(made[0].parent / "run.json")["resumed_from"] == []


def test_a_group_begun_anew_can_itself_go_on(root, monkeypatch, undisturbed):  # noqa: F811
    scratch = killed_at(root, MIXED, monkeypatch, 3)
    for file in scratch.glob("state-*"):
        file.write_bytes(b"")
    killed_at(root, MIXED, monkeypatch, 2)
    made = train(MIXED, root)
    assert products(path.parent for path in made) == undisturbed
    assert files.read_json(made[0].parent / "run.json")["resumed_from"] == [1]


def test_a_group_of_other_runs_starts_anew(root, monkeypatch, capfd):  # noqa: F811
    killed_at(root, GROUPS["plain"], monkeypatch, 3)
    made = train(GROUPS["plain"][:2], root)
    assert files.read_json(made[0].parent / "run.json")["resumed_from"] == []
    assert len(made) == 2
    assert "resume state not used: it is of another run: runs.2" in capfd.readouterr().err


def test_a_finished_group_that_is_trained_again_costs_nothing(root, monkeypatch):  # noqa: F811
    first = products(p.parent for p in train(MIXED, root))
    monkeypatch.setattr(batched.Engine, "epoch", None)
    again = products(p.parent for p in train(MIXED, root))
    assert again == first


def test_published_files_are_not_written_to_again(root, monkeypatch):  # noqa: F811
    """They share their bytes with the resume folder's until evaluate removes that."""
    made = train(GROUPS["plain"], root)
    before = products(path.parent for path in made)
    others = [dataclasses.replace(each, weight_decay=0.5) for each in GROUPS["plain"]]
    killed_at(root, others, monkeypatch, 3)
    assert products(path.parent for path in made) == before


def test_a_group_is_evaluated_as_its_runs_would_be(root):  # noqa: F811
    """Byte for byte, and the state to resume from is gone."""
    made = train(GROUPS["plain"], root)
    members = []
    for path, one in zip(made, told(GROUPS["plain"]), strict=True):
        manifest = manifests.read_manifest(path, "train", one["identity"])
        recipe = recipes.Evaluation(TRAINING.data, "every", ("val",))
        expected = manifests.stage_fingerprint(manifest.recipe, manifest.code)
        place = paths.manifest("train", one["identity"])
        told_of_run = {"identity": one["identity"], "code": "c", "expected": {place: expected}}
        members.append({**told_of_run, "recipe": recipes.plain(recipe)})
        evaluate.evaluate(Job("evaluate", **members[-1], root=root))
    alone = products(path.parent for path in made)
    for path in made:
        for file in ("metrics.parquet", "evaluate.json"):
            (path.parent / file).unlink()
    evaluate.evaluate_together(job("evaluate_together", GROUP, {"runs": members}, root))
    assert products(path.parent for path in made) == alone
    assert not (root / paths.TOGETHER.format(**GROUP) / resume.FOLDER).exists()
    metrics = pd.read_parquet(made[0].parent / "metrics.parquet")
    assert set(metrics["split"]) == {"val"}
    assert np.isfinite(metrics["loss"]).all()


FAITHFUL = {"mnist-grid": 96, "mnist-deep": 64 + 125}


@pytest.mark.parametrize("study", FAITHFUL)
def test_the_first_epochs_of_a_faithful_study(study, tmp_path):
    """Of each of its groups, on images of the true shape, made here; of the deep ones, the narrow.

    The widest of them all hold gigabytes.
    """
    config = Config({"studies": [study]}, ROOT / "config", figures.names())
    plan = Plan(config, ROOT / "workflow/scripts")
    of = config.studies[study]
    assert len(of.runs()) == FAITHFUL[study]
    archives.write_blots(tmp_path, of.data.dataset, (1, 28, 28))
    for group in runs.groups(plan.config.studies[study]):
        shortened = []
        for each in plan.together("train", study, group).recipe["runs"]:
            recipe = recipes.parse(recipes.Training, each["recipe"])
            two = dataclasses.replace(recipe.optimizer, epochs=2)
            if max(recipe.model.options["widths"]) <= 128:
                recipe = recipes.plain(dataclasses.replace(recipe, optimizer=two))
                shortened.append({**each, "recipe": recipe})
        identity = {"study": study, "group": group}
        made = together.train_together(
            job("train_together", identity, {"runs": shortened}, tmp_path)
        )
        for path in made:
            rows = pd.read_csv(path.parent / "history.csv")
            assert len(rows) == 3
            assert rows["loss"][2] < rows["loss"][1], path


def test_groups_are_what_shares_its_batches():
    config = Config({"studies": ["digits-grid"]}, ROOT / "config", figures.names())
    plan = Plan(config, ROOT / "workflow/scripts")
    assert list(runs.groups(plan.config.studies["digits-grid"])) == [
        f"batch{n}" for n in (4, 8, 16, 32, 64, 128)
    ]
    assert {len(runs) for runs in runs.groups(plan.config.studies["digits-grid"]).values()} == {16}
    assert list(runs.groups(plan.config.studies["mnist-deep"])) == [
        "layers3-epochs25",
        "layers4-epochs10",
    ]
    assert runs.groups(plan.config.studies["digits"]) == {}
    assert len(config.studies["digits-grid"].runs()) == 96
    read = plan.stage("tabulate", study="digits-grid", maker="tables").recipe["grid"]["epochs"]
    assert sum(len(read[run.optimizer]) for run in config.studies["digits-grid"].runs()) == 384
