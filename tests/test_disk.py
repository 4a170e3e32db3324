"""What a study will write is said before it is written, and refused where it does not fit."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import yaml

from cobaye.models import networks
from cobaye.planning import disk, network_costs, runs
from tests.conftest import ROOT, edit, load
from tests.examples import example
from tests.test_networks import CASES

STUDY = "studies/tiny.yaml"
RUN = {"model": "linear", "optimizer": "sgd", "weight_decay": "0", "seed": 0}
SPLITS = ("train", "val", "test")


@pytest.mark.parametrize(("kind", "given", "shape"), CASES, ids=str)
def test_a_network_states_what_its_checkpoints_hold(kind, given, shape):
    model = example("networks", kind, **given)
    tensors = networks.build(model, shape, 7, 0).state_dict().values()
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    stated = 4 * network_costs.numbers(model, shape, 7)
    # torchvision's have any size; a kind that says nothing is taken for ResNet-50.
    assert stated == (held if kind != "torchvision" else 4 * network_costs.NUMBERS)


def test_checkpoints_are_counted_as_they_are_kept(folder):
    # 256 features and a bias for each of 6 classes, float32.
    one, rest = 4 * 257 * 6 + disk.HEAD, 4 * disk.LINE + disk.MANIFESTS
    for keep, count in (("all", 5), ("every 3", 3), ("last", 2)):
        text = (folder / STUDY).read_text()
        (folder / STUDY).write_text(f"keep: {keep}\n{text}")
        assert disk.train(load(folder), "tiny", **RUN) == count * one + rest
        (folder / STUDY).write_text(text)
    edit(folder, STUDY, "backbone:", "precision: float64\nbackbone:")
    assert disk.train(load(folder), "tiny", **RUN) == 5 * (2 * one - disk.HEAD) + rest


def test_train_is_scored_once_or_at_every_kept_epoch(folder):
    every = disk.evaluate(load(folder), "tiny", **RUN)
    edit(folder, STUDY, "backbone:", "train_epochs: last\nbackbone:")
    # Four epochs less of train, 6 classes each.
    assert every - disk.evaluate(load(folder), "tiny", **RUN) == pytest.approx(
        4 * (6 * disk.BY_CLASS + disk.METRIC)
    )


def shared(*studies):
    """The jobs of a dataset, a backbone, features and one run of each of some studies."""
    features = {"dataset": "tiny-glyphs", "backbone": "tiny-backbone", "split": "val"}
    return [
        disk.Job("prepare_dataset", {"dataset": "tiny-glyphs"}),
        disk.Job("prepare_backbone", {"backbone": "tiny-backbone"}),
        disk.Job("cache_features", {**features, "shard": "00", "shards": "02"}),
        disk.Job("gather_features", features),
        *(disk.Job("train", {"study": study, **RUN}) for study in studies),
    ]


def test_what_studies_share_counts_once(folder):
    found = disk.by_study(load(folder), shared("tiny"))
    assert set(found) == {"tiny"}
    assert set(found["tiny"]) == {"datasets", "backbones", "features", "checkpoints"}
    assert found["tiny"]["features"] == 6 * 5 * (256 * 4 / 2 + 8)
    assert found["tiny"]["datasets"] == 6 * (12 + 5 + 6) * (32 * 32 + 8)
    # Of two, the first in the config; where none trains, that too.
    assert set(disk.by_study(load(folder), shared())) == {"tiny", "tiny-backbone"}
    edit(folder, STUDY, "dataset: tiny-glyphs", "dataset: tiny-digits")
    edit(folder, STUDY, "backbone: tiny-backbone", "")
    assert "features" in disk.by_study(load(folder), shared("tiny"))[""]


def test_what_is_there_is_not_written_again(folder):
    config, job = load(folder), shared("tiny")[-1]
    whole = disk.by_study(config, [job])["tiny"]["checkpoints"]
    part = disk.by_study(config, [job._replace(there=1000)])["tiny"]["checkpoints"]
    assert whole - part == 1000
    assert disk.by_study(config, [job._replace(there=10 * whole)]) == {"tiny": {}}


def test_a_file_with_two_names_counts_once(tmp_path):
    run, scratch = tmp_path / "run", tmp_path / "run/.resume/checkpoints"
    (run / "checkpoints").mkdir(parents=True)
    scratch.mkdir(parents=True)
    (scratch / "a").write_bytes(bytes(700))
    os.link(scratch / "a", run / "checkpoints/a")
    (scratch / "b").write_bytes(bytes(20))
    (run / "train.json").write_bytes(bytes(3))
    outputs = [str(run / name) for name in ("checkpoints", "train.json", "history.csv")]
    assert disk.there(outputs) == 703
    assert disk.there(outputs, [str(run)]) == 723


def test_a_group_is_its_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    config = load(tmp_path / "config")
    study = config.studies["digits-grid"]
    group, members = next(iter(runs.groups(study).items()))
    identity = {"study": "digits-grid", "group": group}
    scratch = tmp_path / f"results/digits-grid/together/{group}/.resume"
    scratch.mkdir(parents=True)
    (scratch / "journal.jsonl").write_bytes(bytes(len(members)))
    found = list(disk.jobs(config, "train", identity, []))
    assert [job.identity for job in found] == [runs.identity("digits-grid", run) for run in members]
    assert {job.there for job in found} == {1.0}
    assert {job.there for job in disk.jobs(config, "evaluate", identity, [])} == {0.0}


Usage = namedtuple("Usage", "total used free")
WRITTEN = {"a": {"checkpoints": 1.04e9, "features": 6e7}, "b": {"datasets": 2e8}, "c": {}}


@pytest.mark.parametrize(("free", "fits"), [(1.3e9, True), (1.299e9, False)])
def test_all_studies_together_must_fit(tmp_path, monkeypatch, free, fits):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free))
    assert disk.said(WRITTEN, tmp_path) == (
        [
            "a: will write 1.1 GB (checkpoints 1.04 GB, features 60 MB); 1.3 GB are free",
            "b: will write 200 MB (datasets 200 MB); 1.3 GB are free",
        ],
        fits,
    )


@pytest.mark.parametrize(
    ("results", "resources", "fits"), [(1.2e9, 3e8, True), (1e9, 9e9, False), (9e9, 1e8, False)]
)
def test_two_disks_are_looked_at_one_by_one(tmp_path, monkeypatch, results, resources, fits):
    (tmp_path / "results").mkdir()
    (tmp_path / "resources").mkdir()
    free = {"results": results, "resources": resources}
    stat = Path.stat

    def on_two(path, **more):
        found = stat(path, **more)
        if path.name not in free:
            return found
        return os.stat_result([*found[:2], path.name == "results", *found[3:10]])

    monkeypatch.setattr(Path, "stat", on_two)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free[path.name]))
    assert disk.said(WRITTEN, tmp_path)[1] == fits


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 kB"), (1234, "1.23 kB"), (999_600, "1 MB"), (43.21e9, "43.2 GB"), (2e12, "2 TB")],
)
def test_sizes_in_words(count, words):
    assert disk.size(count) == words


def bytes_of(folder, *patterns):
    found = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    return sum(file.stat().st_size for file in found)


@pytest.mark.slow
def test_estimates_are_what_was_written(built, monkeypatch):
    monkeypatch.chdir(built.folder)
    config, run = load(built.path("config")), "results/*/runs/*/*/*/*"
    found = {
        "checkpoints": bytes_of(
            built.folder, *(f"{run}/{name}" for name in ("checkpoints/*", "*.csv", "*n.json"))
        ),
        "predictions": bytes_of(built.folder, f"{run}/*.parquet", f"{run}/evaluate.json"),
        "features": bytes_of(built.folder, "results/features/*/*/*/*.npy"),
        "datasets": bytes_of(built.folder, "resources/datasets/*/*/*.npy"),
        "backbones": bytes_of(built.folder, "resources/backbones/*.safetensors"),
    }
    features = {"dataset": "tiny-glyphs", "backbone": "tiny-backbone"}
    jobs = [disk.Job("prepare_dataset", {"dataset": name}) for name in config.datasets]
    jobs.append(disk.Job("prepare_backbone", {"backbone": "tiny-backbone"}))
    for split in SPLITS:
        of_split = {**features, "split": split}
        jobs.append(disk.Job("gather_features", of_split))
        for shard in ("00", "01"):
            jobs.append(disk.Job("cache_features", {**of_split, "shard": shard, "shards": "02"}))
    for study in config.studies.values():
        rules = ("train",) if study.name == "tiny-backbone" else ("train", "evaluate")
        for each in study.runs():
            jobs += [disk.Job(rule, runs.identity(study.name, each)) for rule in rules]
    said = {}
    for parts in disk.by_study(config, jobs).values():
        for part, amount in parts.items():
            said[part] = said.get(part, 0) + amount
    for part, amount in found.items():
        assert said[part] == pytest.approx(amount, rel=0.1), part
    assert sum(said.values()) == pytest.approx(sum(found.values()), rel=0.1)


@pytest.mark.slow
def test_a_run_says_it_and_refuses_what_cannot_fit(fresh):
    planned = fresh.run("-n", "tiny-images").stdout
    assert "tiny-images: will write" in planned
    config = yaml.safe_load(fresh.path("config/studies/tiny-images.yaml").read_text())
    config["models"] = {"wide": {"kind": "mlp", "widths": [90_000, 90_000]}}
    config["optimizers"]["sgd"]["epochs"] = 9999
    fresh.path("config/studies/tiny-images.yaml").write_text(yaml.safe_dump(config))
    refused = fresh.run("tiny-images", check=False)
    assert refused.returncode
    assert "tiny-images: will write 324 TB (" in refused.stdout
    assert "Not enough space is free." in refused.stdout
    assert "Traceback" not in refused.stdout
    assert not fresh.path("resources").exists()
    assert "Not enough space is free." in fresh.run("-n", "tiny-images").stdout
