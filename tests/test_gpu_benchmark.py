"""`benchmarks/gpu.py` runs at toy sizes, says what failed, and keeps the rest of its page."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu

PAGE = (ROOT / "benchmarks/gpu.md").read_text(encoding="utf-8")
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
    gpu.main()


@pytest.mark.parametrize("name", gpu.PARTS)
def test_each_part_runs_at_toy_sizes(monkeypatch, capsys, name):
    run(monkeypatch, "--device", "cpu", "--small", "--part", name)
    rows = [gpu.Row(*json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) >= 1
    # A processor does what a processor does: no comparison fails, and no speed is judged.
    judged = name in ("exact", "compare", "resume")
    assert {row.held for row in rows} == ({True} if judged else {None})


def test_the_parts_take_ten_minutes_at_most():
    assert sum(limit for _, limit in gpu.PARTS.values()) <= 600


@without_gpu
def test_without_a_gpu_one_message_says_so(monkeypatch):
    with pytest.raises(SystemExit, match="torch sees no GPU here; --device cpu --small"):
        run(monkeypatch)
    with pytest.raises(SystemExit, match="add --small"):
        run(monkeypatch, "--device", "cpu")


@without_gpu
def test_a_part_that_fails_is_a_row():
    (row,) = gpu.run_part("resume", "cuda", small=True)
    assert row[:2] == ("resume: failed", "exit status 1")
    assert "torch sees no GPU" in row.beside
    assert row.held is False


def test_a_part_that_takes_too_long_is_a_row(monkeypatch):
    monkeypatch.setitem(gpu.PARTS, "sweep", (gpu.sweep, 0.01))
    (row,) = gpu.run_part("sweep", "cpu", small=True)
    assert row[:2] == ("sweep: failed", "more than 0.01 s")


def test_the_page_keeps_what_stands_around_its_table(monkeypatch, tmp_path, capsys):
    rows = {"sweep": [gpu.Row("a", "1", "2", "≤ 3", True)], "resume": [gpu.Row("b", "4", "5")]}
    monkeypatch.setattr(gpu, "run_part", lambda name, device, small: rows[name])
    page = tmp_path / "gpu.md"
    options = ["--device", "cpu", "--small", "--page", str(page)]
    run(monkeypatch, *options, "--parts", "sweep", "resume")
    text = page.read_text(encoding="utf-8")
    before, after = PAGE.split(gpu.BEGIN)[0], PAGE.split(gpu.END)[1]
    assert text.startswith(before + gpu.BEGIN)
    assert text.endswith(gpu.END + after)
    lines = [line.replace(" ", "") for line in text.splitlines()]
    assert "|a|1|2|≤3|yes|" in lines
    assert "|b|4|5|–|–|" in lines
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"][0]["held"] is True
