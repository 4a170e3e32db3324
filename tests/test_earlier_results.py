"""Results of an earlier version, and damaged manifests, are refused with one command."""

from __future__ import annotations

import pytest

from cobaye.storage import files, manifests

FEATURES = "results/features/tiny-glyphs/tiny-backbone/train/manifest.json"
RUN = "results/tiny/runs/linear/sgd/wd-0/seed-0"


def written_before(path):
    """Let a manifest be one of the format before this one."""
    content = files.read_json(path)
    del content["seal"]
    content |= {"format": manifests.FORMAT - 1, "code": "earlier"}
    files.write_json(path, {**content, "seal": files.digest(content)})


@pytest.mark.slow
def test_results_of_an_earlier_version_are_left_until_their_owner_says_so(copied):
    copied.draw_only("test-curves")
    written_before(copied.path(f"{RUN}/train.json"))
    before = copied.files("results", "resources")
    done = copied.run("tiny", check=False)
    assert done.returncode != 0
    assert "1 results were made by an earlier version" in done.stdout
    assert "--config recompute=true" in done.stdout
    assert copied.files("results", "resources") == before
    copied.run("tiny", "--config", "recompute=true")
    assert manifests.read_manifest(
        copied.path(f"{RUN}/train.json"),
        "train",
        {"study": "tiny", "model": "linear", "optimizer": "sgd", "weight_decay": "0", "seed": 0},
    )
    assert copied.jobs("tiny") == {}


@pytest.mark.slow
def test_a_flipped_bit_in_a_small_manifest_deletes_no_training(copied):
    path = copied.path(FEATURES)
    content = bytearray(path.read_bytes())
    place = content.index(b'"rows": ') + len(b'"rows": ')
    content[place] ^= 1
    before = copied.files("results", "resources")
    path.write_bytes(content)
    assert "Without -n, no job would run" in (dry := copied.run("-n", "tiny").stdout)
    done = copied.run("tiny", "--keep-going", check=False)
    assert done.returncode != 0
    assert FEATURES in done.stdout
    repair = f"snakemake --cores all {FEATURES} --forcerun {FEATURES}"
    assert repair in done.stdout
    assert repair in dry
    copied.run(FEATURES, "--forcerun", FEATURES)
    assert copied.jobs("tiny") == {}
    assert copied.files("results", "resources") == before
