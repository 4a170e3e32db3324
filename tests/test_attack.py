"""The attacks of `benchmarks/attack.py`, a few hundred tries of each: none ends badly."""

from __future__ import annotations

import pytest

from tests import attack_code, attack_config, attack_files, attack_inputs, attack_runs, chain

WELL = {"tried", "refused", "accepted rightly"}


@pytest.fixture
def defects():
    """What attacks report; none is left at the end of a test."""
    found = []
    yield lambda *told: found.append(told)
    assert found == []


def test_spoilt_config_files(tmp_path, defects):
    counts = attack_config.attack(tmp_path, 300, 0, defects)
    assert set(counts) <= WELL
    assert counts["refused"] > 200
    assert counts["accepted rightly"] > 10


def test_an_attack_that_finds_nothing_wrong_could_have(tmp_path, monkeypatch):
    """With an invariant that nothing fulfils, it does."""
    monkeypatch.setattr(attack_config.invariants, "violations", lambda config: ["never"])
    told = []
    counts = attack_config.attack(tmp_path, 40, 0, lambda *given: told.append(given))
    assert counts["wrong in silence"] == len(told) > 0
    assert counts["accepted rightly"] == 0


def test_damaged_results(chained, tmp_path, defects):
    other = chain.build(tmp_path / "other", seed=1)
    (tmp_path / "work").mkdir()
    counts = attack_files.attack(chained[-2], other[-2], tmp_path / "work", 32, 0, defects)
    assert set(counts) <= WELL
    assert counts["refused"] > 20


def test_odd_inputs(tmp_path, defects):
    for name, counts in attack_inputs.attack(tmp_path, defects).items():
        assert set(counts) <= WELL
        assert counts["accepted rightly"] > 30, name


@pytest.mark.slow
def test_damaged_manifests_before_a_call_of_snakemake(copied, defects):
    assert set(attack_runs.attack(copied, 3, 0, defects)) <= WELL


@pytest.mark.slow
def test_code_edited_at_a_random_moment_of_a_run(copied, defects):
    # Of a seed whose moment is in the trainings.
    assert set(attack_code.attack(copied, 1, 7, defects)) <= WELL
