"""The figures of weights and pruning, of a made study of three families of three levels."""

from __future__ import annotations

import functools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text

from cobaye import figures, kinds, weights
from cobaye.figures import _families, _style, weight_histograms

RUN = ["model", "optimizer", "weight_decay", "seed"]
MINE = ("rotation", "rotation-terms", "pruning", "weight-histograms")
FIGURES = [name for name, kind in figures.names().items() if kind in MINE]
FAMILIES = ("sgd", "wd", "layca")
EPOCHS = 6


@functools.cache
def study(families=FAMILIES, levels=3, layers=15, seeds=1, diverged=(), size=40):
    """Return tables in which level l of family f turns layers by more the higher l and f are."""
    rows = {name: [] for name in ("rotation", "history", "metrics", "runs", "pruning")}
    parts = []
    for f, family in enumerate(families):
        for level in range(levels):
            for seed in range(seeds):
                run = ("vgg16", f"{family}-{level}", "2e-3" if f == 1 else "0", seed)
                bad = (family, level) in diverged
                rows["runs"].append((*run, EPOCHS, "diverged" if bad else "all epochs", not bad))
                _training(rows, run, 0.15 * level + 0.02 * f)
                if not bad:
                    parts += _weights(rows["rotation"], run, f, level, layers, size)
                    _pruning(rows["pruning"], run, f, level)
    columns = {
        "rotation": "epoch layer name kind parameters cosine_distance norm norm_ratio projection "
        "near_zero near_own_zero",
        "history": "epoch accuracy learning_rate",
        "metrics": "epoch split accuracy",
        "runs": "epochs stopped finite",
        "pruning": "how fraction repeat accuracy loss",
    }
    made = {name: pd.DataFrame(rows[name], columns=[*RUN, *columns[name].split()]) for name in rows}
    empty = pd.DataFrame(columns=[*RUN, "quantity", "layer", "name", "lower", "upper", "count"])
    made["weight-histograms"] = pd.concat(parts, ignore_index=True) if parts else empty
    return made


def _training(rows, run, better):
    for epoch in range(EPOCHS + 1):
        reached = (0.55 + better) * (1 - np.exp(-epoch / 2)) + 0.01 * run[3]
        rate = np.nan if epoch == 0 else 10 ** (better * 5 - 3) * 0.2 ** (epoch // 3)
        rows["history"].append((*run, epoch, np.nan if epoch == 0 else min(reached + 0.1, 1), rate))
        rows["metrics"].append((*run, epoch, "val", reached))


def _weights(rows, run, f, level, layers, size):
    """The layers of one network: w₀, kept less and less, and as much of other directions."""
    parts = []
    for layer in range(1, layers + 1):
        generator = torch.Generator().manual_seed(layer + 100 * run[3])
        before = torch.empty(size, size // 2)
        torch.nn.init.xavier_uniform_(before, generator=generator)
        other = before.std() * torch.randn(before.shape, generator=generator)
        for epoch in range(EPOCHS + 1):
            turn = (0.05, 0.15, 1)[level % 3] * (1 - 0.02 * layer) * epoch / EPOCHS
            kept = (1, 1 - turn * (0.4 + 0.03 * layer), (1 - turn**2) ** 0.5)[f % 3]
            now = kept * before + (1.5, 0.4 - 0.02 * layer, 1)[f % 3] * turn * other
            told = (*run, epoch, layer, f"conv{layer}", "conv", before.numel())
            rows.append((*told, *weights.rotation(before, now, 0.1).values()))
        table = weights.histograms(before, now)
        table[[*RUN, "layer", "name"]] = *run, layer, f"conv{layer}"
        parts.append(table)
    return parts


def _pruning(rows, run, f, level):
    rng = np.random.default_rng(run[3])
    for fraction in np.arange(10) / 10:
        for how, repeats in (("random", 5), ("magnitude", 1)):
            for repeat in range(repeats):
                bent = 8 - 2 * level if how == "random" else 2 - 0.6 * f
                reached = 0.1 + (0.55 + 0.1 * level) * (1 - fraction) ** bent
                noise = rng.normal(0, 0.02) * (how == "random") * (fraction > 0)
                rows.append((*run, how, fraction, repeat, max(reached + noise, 0.1), 1.0))


def of(figure, given, **asked):
    kind = figures.names()[figure]
    fixed = kinds.constant("figures", kind, "NAMES")[figure] | asked
    read = {name: given[name] for name in kinds.constant("figures", kind, "TABLES")}
    return kind, read, kinds.options("figures", kind)(**fixed)


def drawn(figure, given, **asked):
    """The matplotlib Figure, laid out, from the tables that the kind says it reads."""
    kind, read, options = of(figure, given, **asked)
    with _style.house():
        result = kinds.load("figures", kind).draw(read, options)
        _style.lay_out(result)
        return result


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def small(**asked):
    return study(**{"layers": 4, "levels": 2, "size": 12} | asked)


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_comes_in_three_formats(figure):
    result = figures.render(*of(figure, small()))
    assert ElementTree.fromstring(result["svg"]).tag.endswith("svg")
    assert result["pdf"].startswith(b"%PDF")
    assert result["png"].startswith(b"\x89PNG")


STUDIES = {
    "one": {"families": ("adam",), "levels": 1, "layers": 1},
    "seeds": {"seeds": 2},
    "diverged": {"diverged": (("wd", 1), ("layca", 0))},
    "all-diverged": {"families": ("sgd",), "diverged": (("sgd", 0), ("sgd", 1))},
    "many": {"levels": 5, "families": (*FAMILIES, "adam", "rms", "a", "b")},
}


@pytest.mark.parametrize("case", STUDIES)
def test_every_figure_draws_every_study(case):
    for figure in FIGURES:
        if "-sgd" not in figure and not figure.endswith(("-wd", "-layca")):
            with _style.house():
                drawn(figure, small(**STUDIES[case])).draw_without_rendering()


@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_to_show(figure):
    empty = {name: table.iloc[:0] for name, table in small().items()}
    assert "nothing to show" in texts(drawn(figure, empty))
    if figure.endswith("-wd"):
        assert "nothing to show" in texts(drawn(figure, small(families=("sgd",))))
