"""What is missing is downloaded once, whole or not at all; else one message says why.

The hosts are a server on this machine, which serves tiny archives in the true formats.
"""

from __future__ import annotations

import io
import runpy
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torchvision import models

from cobaye.config import Config
from cobaye.data.datasets import _archives
from cobaye.data.datasets import torchvision as kind
from cobaye.errors import DataError, UnwritableFile
from cobaye.models import backbones, pretrained
from cobaye.models.networks import torchvision as zoo
from cobaye.planning import disk
from cobaye.storage import downloads, files
from tests import archives, host
from tests.archives import arrays, prepare
from tests.conftest import ROOT
from tests.jobs import job

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / "workflow/scripts")
    patch.setenv("TQDM_MININTERVAL", "10")  # what it sets would last
    _worker = runpy.run_path(str(ROOT / "workflow/scripts/_worker.py"))
FOLDER = "resources/downloads"
LAST_TEN = {
    "train": {"of": "train"},
    "val": {"of": "train", "last": 10},
    "test": {"of": "test"},
}
OPTIONS = {"folder": FOLDER, "splits": LAST_TEN}
NAMES = sorted(kind.FILES)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The host, and this process in a project without any file."""
    (tmp_path / "published").mkdir()
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    server = host.start(tmp_path / "published")
    yield server
    server.leave()


def publish(monkeypatch, server, name, **size):
    """Have a host serve tiny archives of a dataset; return part → images and labels."""
    loader, folder = getattr(torchvision.datasets, name), server.folder
    if name.startswith("CIFAR"):
        write = {"CIFAR10": archives.write_cifar10, "CIFAR100": archives.write_cifar100}[name]
        truth = write(folder, **size)
        archives.allow(monkeypatch, loader, folder)
        monkeypatch.setattr(loader, "tgz_md5", host.pack_cifar(loader, folder, folder))
        monkeypatch.setattr(loader, "url", server.address + loader.filename)
    else:
        truth = archives.write_mnist(folder, name, **size)
        resources = host.pack_mnist(folder / name / "raw", folder)
        monkeypatch.setattr(loader, "resources", resources)
        monkeypatch.setattr(loader, "mirrors", [server.address])
    return truth


def fetch(name):
    kind.fetch(kind.Options(name, FOLDER))


def left():
    """Return every file of the project, hidden ones too."""
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    return data[:20] + bytes([data[20] ^ 1]) + data[21:]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_dataset_is_downloaded_once(server, monkeypatch, name):
    truth = publish(monkeypatch, server, name)
    expected = {str(each) for item in _archives.held(name, FOLDER).items() for each in item[1]}
    expected |= {str(archive) for archive in _archives.held(name, FOLDER)}
    _, folder = prepare(Path(), "torchvision", name=name, **OPTIONS)
    images, labels = arrays(folder, "test")
    assert np.array_equal(images, truth["test"][0])
    assert labels.tolist() == list(truth["test"][1])
    assert {path for path in left() if path.startswith(FOLDER)} == expected
    sent = len(server.sent)
    assert sent == len(_archives.held(name, FOLDER))
    # The second time nothing is asked for, nor written.
    times = {path: Path(path).stat().st_mtime_ns for path in expected}
    fetch(name)
    assert len(server.sent) == sent
    assert {path: Path(path).stat().st_mtime_ns for path in expected} == times


@pytest.mark.parametrize("name", ["MNIST", "CIFAR10"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda server: setattr(server, "damage", cut), "not the published file, by its checksum"),
        (lambda server: setattr(server, "damage", flip), "not the published file, by its checksum"),
        (lambda server: server.leave(), "[Errno 111] Connection refused"),
        (lambda server: setattr(server, "folder", Path("none")), "HTTP Error 404: Not Found"),
    ],
    ids=["truncated", "corrupted", "no network", "no such file"],
)
def test_a_download_that_fails_is_one_message_and_leaves_nothing(
    server, monkeypatch, name, fault, reason
):
    publish(monkeypatch, server, name)
    fault(server)
    with pytest.raises(DataError) as found:
        prepare(Path(), "torchvision", name=name, **OPTIONS)
    archive, *others = _archives.held(name, FOLDER)
    beside = f" and, beside it, {', '.join(each.name for each in others)}" if others else ""
    for said in (
        f"d: {archive.name} cannot be downloaded:",
        f"{server.address}{archive.name}: ",
        reason,
        f"put it at {archive}{beside}; or set folder: in datasets.yaml to where",
    ):
        assert said in str(found.value)
    assert left() == set()


def test_a_host_that_falls_silent_is_given_up(server, monkeypatch):
    publish(monkeypatch, server, "CIFAR10")
    monkeypatch.setattr(downloads, "PATIENCE", 0.2)
    server.pause = 2.0
    with pytest.raises(DataError, match=r"no answer for 0\.2 s"):
        fetch("CIFAR10")
    assert left() == set()


def test_the_next_address_is_asked_where_one_fails(server, monkeypatch):
    publish(monkeypatch, server, "MNIST")
    nobody = "http://127.0.0.1:9/"
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [nobody, server.address])
    fetch("MNIST")
    assert len(server.sent) == 4


def test_a_slow_download_says_in_lines_how_far_it_is(server, monkeypatch):
    publish(monkeypatch, server, "CIFAR10", per_batch=20)
    server.pause, log = 0.05, io.StringIO()
    monkeypatch.setattr(sys, "stderr", _worker["_Lines"](log))
    fetch("CIFAR10")
    lines = log.getvalue().splitlines()
    shares = [int(line.partition("%")[0]) for line in lines if "%|" in line]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 100)
    assert len([share for share in shares if 0 < share < 100]) >= 3
    assert "\r" not in log.getvalue()


@pytest.mark.parametrize("name", ["MNIST", "CIFAR10"])
def test_a_damaged_archive_is_refused_and_left_as_it_is(server, monkeypatch, name):
    publish(monkeypatch, server, name)
    archive = next(iter(_archives.held(name, FOLDER)))
    archive.parent.mkdir(parents=True)
    damaged = cut((server.folder / archive.name).read_bytes())
    archive.write_bytes(damaged)
    with pytest.raises(DataError) as found:
        fetch(name)
    assert f"{archive}: it is not the published file, by its md5\nPut the right" in str(found.value)
    assert "remove it and, with download: true, run the same command again" in str(found.value)
    assert (archive.read_bytes(), left(), server.sent) == (damaged, {str(archive)}, [])
    archive.unlink()
    fetch(name)
    assert len(server.sent) == len(_archives.held(name, FOLDER))


def test_an_archive_put_there_by_hand_needs_no_network(server, monkeypatch):
    publish(monkeypatch, server, "CIFAR10")
    (archive,) = _archives.held("CIFAR10", FOLDER)
    archive.parent.mkdir(parents=True)
    archive.write_bytes((server.folder / archive.name).read_bytes())
    server.leave()
    fetch("CIFAR10")
    assert (archive.parent / "cifar-10-batches-py/test_batch").is_file()


def test_nothing_is_downloaded_that_may_not_be(server, monkeypatch):
    publish(monkeypatch, server, "MNIST")
    with pytest.raises(DataError, match="or set download: true to have it downloaded"):
        prepare(Path(), "torchvision", name="MNIST", download=False, **OPTIONS)
    assert (server.sent, left()) == ([], set())


def test_what_a_killed_download_left_counts_for_nothing_and_is_removed(server, monkeypatch):
    publish(monkeypatch, server, "CIFAR10")
    (archive,) = _archives.held("CIFAR10", FOLDER)
    stale = archive.with_name(f"{files.TEMPORARY}1-{archive.name}")
    stale.mkdir(parents=True)
    (stale / archive.name).write_bytes(cut((server.folder / archive.name).read_bytes()))
    archive.with_name(f".lock-{archive.name}").touch()
    assert kind.problems(kind.Options("CIFAR10", FOLDER, download=False)) != []
    fetch("CIFAR10")
    assert server.sent == [archive.name]
    assert not [path for path in left() if Path(path).name.startswith(".") or ".tmp-" in path]


def test_two_at_once_download_once(server, monkeypatch):
    publish(monkeypatch, server, "CIFAR10")
    server.pause = 0.01
    threads = [threading.Thread(target=fetch, args=("CIFAR10",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.sent == [torchvision.datasets.CIFAR10.filename]
    assert kind.problems(kind.Options("CIFAR10", FOLDER, download=False)) == []


def test_a_full_disk_is_no_missing_network(server, monkeypatch):
    publish(monkeypatch, server, "CIFAR10")

    def full(*told):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", full)
    with pytest.raises(UnwritableFile, match="No space left on device"):
        fetch("CIFAR10")
    assert left() == set()


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_of_a_download_are_known_before(server, monkeypatch, name):
    publish(monkeypatch, server, name)
    options = kind.Options(name, FOLDER)
    parts, (channels, height, width), _ = kind.SIZES[name]
    arrays_of = sum(parts.values()) * (channels * height * width + 1)
    assert kind.to_fetch(options) == arrays_of + _archives.BYTES[name]
    assert kind.to_fetch(kind.Options(name, FOLDER, download=False)) == 0
    first = next(iter(_archives.held(name, FOLDER)))
    first.parent.mkdir(parents=True)
    first.write_bytes((server.folder / first.name).read_bytes())
    there = first.stat().st_size
    assert kind.to_fetch(options) == arrays_of + _archives.BYTES[name] - there
    fetch(name)
    assert kind.to_fetch(options) == 0


def test_a_run_says_what_it_will_download(folder, monkeypatch):
    (folder / "datasets.yaml").write_text("m: {kind: torchvision, name: MNIST}\n")
    monkeypatch.chdir(folder)
    config = Config({"studies": ["tiny"]}, folder, {})
    said = disk.by_study(config, [disk.Job("fetch_dataset", {"dataset": "m"})])
    assert disk.said(said)[0][0].startswith("shared: will write 66.5 MB (downloads 66.5 MB); ")


@pytest.fixture
def weights(server, monkeypatch):
    """Weights of torchvision at the host: their file, and what torchvision knows of them."""
    network = zoo.create("shufflenet_v2_x0_5", num_classes=1000)
    file = server.folder / "weights.pth"
    torch.save(network.state_dict(), file)
    named = file.rename(file.with_name(f"shufflenet-{files.sha256(file)[:8]}.pth"))
    chosen = models.get_model_weights("shufflenet_v2_x0_5").DEFAULT
    monkeypatch.setattr(chosen.value, "url", server.address + named.name)
    return chosen


def prepare_weights(download=True):
    recipe = {
        "model": {"kind": "torchvision", "options": {"model": "shufflenet_v2_x0_5"}},
        "weights": "DEFAULT",
        "file": None,
        "download": download,
    }
    pretrained.fetch_weights(job("fetch_weights", {"backbone": "b"}, recipe)).unlink()
    backbones.prepare_backbone(job("prepare_backbone", {"backbone": "b"}, recipe))


def test_missing_weights_are_downloaded_once(server, weights):
    prepare_weights()
    place = backbones.cached(weights)
    published = server.folder / place.name
    assert place.read_bytes() == published.read_bytes()
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    truth = torch.load(published, weights_only=True)["fc.bias"]
    assert torch.equal(backbones.load("b").tensors["head.bias"], truth)
    prepare_weights()
    assert server.sent == [place.name]


def test_weights_are_not_downloaded_that_may_not_be(server, weights):
    with pytest.raises(DataError, match=r"^b: .*\.pth is missing: set download: true"):
        prepare_weights(download=False)
    assert (server.sent, left()) == ([], set())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda server: setattr(server, "damage", cut), "not the published file, by its checksum"),
        (lambda server: setattr(server, "damage", flip), "not the published file, by its checksum"),
        (lambda server: server.leave(), "Connection refused"),
    ],
    ids=["truncated", "corrupted", "no network"],
)
def test_weights_that_cannot_be_downloaded_are_one_message(server, weights, fault, reason):
    fault(server)
    with pytest.raises(DataError) as found:
        prepare_weights()
    place = backbones.cached(weights)
    for said in (
        f"b: {place.name} cannot be downloaded",
        reason,
        f"put it at {place}",
        "file: in backbones",
    ):
        assert said in str(found.value)
    assert (list(place.parent.iterdir()), left()) == ([], set())


def test_damaged_weights_are_refused_with_their_cure(server, weights):
    place = backbones.cached(weights)
    place.parent.mkdir(parents=True)
    place.write_bytes(flip((server.folder / place.name).read_bytes()))
    with pytest.raises(DataError, match=r"its sha256 should begin with .*: remove it and"):
        prepare_weights()
    assert server.sent == []


def test_weights_without_a_hash_in_their_name_are_taken(server):
    """Some of torchvision's are named so."""
    (server.folder / "plain.pth").write_bytes(b"weights")
    chosen = types.SimpleNamespace(url=f"{server.address}plain.pth")
    assert [pretrained.fetch(chosen).read_bytes() for _ in range(2)] == [b"weights"] * 2
