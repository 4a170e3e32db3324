"""The explorer: numbers against the tables that they come from, names that would do harm, bytes."""

from __future__ import annotations

import base64
import functools
import html.parser
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cobaye.figures import _lambda_axis
from cobaye.planning import targets
from cobaye.storage import manifests, table_names
from cobaye.story.explorer import charts, class_numbers, page, thumbnails
from tests import figure_tables
from tests.conftest import load

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "'\"`${x}\\",
    "🦆 duck",
    "a\u2028b",
)
PAIR = figure_tables.PAIR


@functools.cache
def tables(**options):
    """Return the tables of a study that an explorer reads."""
    made = figure_tables.study(classes=12, **options)
    return {name: made[name] for name in (*table_names.EXPLORER, *table_names.EXPLORER_TOO)}


def shown(of, classes=12):
    return class_numbers.configurations(of, classes)


def widened(configuration, classes):
    """Return a configuration whose classes are repeated until there are so many."""

    def longer(value):
        if isinstance(value, dict):
            return {key: longer(each) for key, each in value.items()}
        known = isinstance(value, list) and len(value) == 12
        return (value * (classes // 12 + 1))[:classes] if known else value

    wide = {**configuration, "ways": [longer(way) for way in configuration["ways"]]}
    return wide | {
        key: longer(configuration[key])
        for key in ("losses", "curve", "classes", "confused", "tested")
    }


def noise(classes, each=6, side=32):
    """Return pictures that hardly compress."""
    pixels = np.random.default_rng(0).integers(0, 256, (each, side, side), dtype=np.uint8)
    row = [Image.fromarray(picture) for picture in pixels]
    rows = [list(range(each))] * classes
    return thumbnails.Shown(rows, rows), [row] * classes


class _Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.scripts, self.tags, self._inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data


@functools.cache
def text(names, classes=12, optimizers=("sgd",)):
    """Return the page of linear models, one per optimizer."""
    of = tables(groups=tuple(("linear", each) for each in optimizers))
    wide = [widened(each, classes) for each in shown(of)]
    return page.page("s", "d", names, wide, [noise(classes)] * len(wide), "the last epoch")


def test_the_numbers_are_those_of_the_tables():
    of = tables(seeds=2)
    one = shown(of)[0]
    rows, best = of["classes"], one["labels"][one["best"]]
    rows = rows[(rows["split"] == "test") & (rows["class"] == 7)]
    mean = rows.groupby("weight_decay")["loss"].mean()
    assert one["labels"] == list(figure_tables.LAMBDAS)
    assert best == of["class-tests"]["best"][0]
    np.testing.assert_allclose(one["losses"]["test"][7], mean[one["labels"]])
    assert one["classes"]["loss"][7] == pytest.approx(mean[best])
    curve = of["shrunk-curves"].query("split == 'test' and `class` == 7")
    np.testing.assert_allclose(one["curve"]["shrunk"][7], curve["shrunk"])
    np.testing.assert_allclose(one["curve"]["raw"][7], curve["seen"], atol=1e-12)
    ranked = of["helped-harmed"].set_index("class")
    assert one["classes"]["effect"][7] == -ranked.at[7, "change"]
    gains = of["class-gains"].set_index("class")
    names = {way["name"]: way for way in one["ways"]}
    for way, name in class_numbers._WAYS.items():
        assert names[name]["lambdas"][7] == str(gains.at[7, way])
        assert names[name]["gains"][7][0] == gains.at[7, f"{way}_gain"]
    trained = ["hypergradient", "one λ on train and val"]
    assert [way["name"] for way in one["ways"][3:]] == trained
    assert len(one["rivals"]) == of["rivals"]["loss_difference"].notna().sum()


def test_confusions_are_the_largest_counts():
    of = tables()
    wanted = shown(of)[0]["labels"][shown(of)[0]["best"]]
    table = pd.DataFrame(
        [(0, 0, 5), (0, 1, 2), (0, 2, 3), (0, 3, 1), (0, 4, 1), (0, 5, 1), (0, 6, 1), (2, 2, 4)],
        columns=["label", "predicted", "n"],
    ).assign(model="linear", optimizer="sgd", weight_decay=wanted)
    one = shown({**of, "confusion": table})[0]
    assert one["confused"][0] == [(2, 3), (1, 2), (3, 1), (4, 1), (5, 1)]
    assert one["confused"][1:3] == [[], []]
    assert one["tested"][:3] == [14, 0, 4]


def test_a_study_without_trained_ways_and_rivals_has_none_of_them():
    of = {name: tables()[name] for name in tables() if name not in ("per-class-lambda", "rivals")}
    one = shown(of)[0]
    assert len(one["ways"]) == 3
    assert one["rivals"] == []


@pytest.mark.parametrize(("loss", "unit"), [("cross-entropy", " nats"), ("squared-error", "")])
def test_losses_have_their_unit(loss, unit):
    of = tables()
    assert shown({**of, "runs": of["runs"].assign(loss_name=loss)})[0]["unit"] == unit


def test_a_class_without_images_has_no_numbers():
    lost = {"confusion": "label", **dict.fromkeys(("best-lambda", "class-tests", "rivals", "runs"))}
    of = dict(tables())
    for name, made in of.items():
        column = lost.get(name, "class")
        of[name] = made if column is None else made[made[column] != 3]
    one = shown(of)[0]
    assert {key: values[3] for key, values in one["classes"].items() if values[3] == values[3]} == {
        "own": None,
        "effect": None,
        "against": None,
    }
    assert one["confused"][3] == []
    content = json.loads(page._json(one))
    assert content["losses"]["test"][3] == [None] * 11
    assert content["curve"]["shrunk"][3] == [None] * 11
    assert content["mean"] == pytest.approx(one["mean"], abs=1e-3)


def test_each_configuration_has_its_own_numbers():
    of = tables(groups=(("linear", "sgd"), ("linear", "adam")))
    first, second = shown(of)
    assert (first["optimizer"], second["optimizer"]) == ("sgd", "adam")
    assert first["losses"]["test"] != second["losses"]["test"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0.0", "0"),
        ("0.001", "0.0010"),
        ("0.0020990251", "2.099e-3"),
        ("2.0", "2"),
        ("1e-12", "1e-12"),
    ],
)
def test_a_weight_decay_is_written_as_its_config_does(value, said):
    assert class_numbers.as_written(value, ["0", "0.0010", "2"]) == said


@pytest.mark.parametrize("labels", [figure_tables.LAMBDAS, ("1e-3", "1e-1"), ("0", "1"), ("0",)])
def test_places_of_weight_decays_are_those_of_the_figures(labels):
    expected = _lambda_axis.LambdaAxis(labels).positions()
    found = class_numbers.places(labels)
    np.testing.assert_allclose(np.diff(found), np.diff(expected), atol=1e-3)


def test_names_are_one_line_and_none_stands_twice():
    names = ["a", "a\n", "", "\u202eb", "x" * 100, 7]
    found = class_numbers.shown_names(names)
    assert found == ["a #0", "a #1", "#2", "b", "x" * 80, "7"]


def test_hostile_names_are_data():
    names = (*HOSTILE, *(f"class {number}" for number in range(7)))
    read = _Page(text(names))
    assert len(read.scripts) == 3
    assert json.loads(read.scripts[0])["names"] == class_numbers.shown_names(names)
    assert text(names).count("alert(1)") == 1


def test_nothing_is_asked_of_a_network():
    read = _Page(text(HOSTILE * 2 + HOSTILE[:2]))
    assert not [each for each in read.tags if {"src", "srcset"} & set(each[1])]
    assert not [each for each in read.tags if each[0] in ("link", "iframe", "img")]
    policy = next(each["content"] for _, each in read.tags if "http-equiv" in each)
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_the_page_stays_small_at_a_thousand_classes():
    names = tuple(f"a name of some length, {number}" for number in range(1000))
    made = text(names, 1000)
    content = json.loads(_Page(made).scripts[0])
    one = content["configurations"][0]
    assert len(made.encode()) <= 3_000_000
    assert len(one["losses"]["test"]) == len(one["images"]["strips"]) == 1000
    assert all(one["images"]["strips"])
    assert len(one["labels"]) == 11


@pytest.mark.slow
def test_the_same_content_is_the_same_bytes():
    names = tuple(f"class {number}" for number in range(12))
    first = text(names)
    charts.library.cache_clear()
    text.cache_clear()
    assert text(names) == first


def test_images_are_typical_and_of_the_highest_loss_in_turn():
    losses = np.array([1.0, 2, 3, 4, 5, 6, 7, 9, 8, 0.5])
    labels = np.array([0] * 9 + [2])
    found = thumbnails.chosen(labels, np.arange(10), losses, 3)
    assert found.rows == [[4, 7, 3, 8, 5, 6], [], [9]]
    assert found.predicted == found.rows


def test_strips_keep_to_the_budget_and_hold_the_images():
    _, pictures = noise(50)
    whole = thumbnails.strips(pictures, 10**7)
    assert (whole["count"], whole["side"]) == (6, 32)
    strip = Image.open(io.BytesIO(base64.b64decode(whole["strips"][0])))
    assert strip.size == (6 * 32, 32)
    total = sum(map(len, whole["strips"]))
    less = thumbnails.strips(pictures, total // 2)
    assert less["count"] * less["side"] < 6 * 32
    assert sum(map(len, less["strips"])) <= total // 2
    assert thumbnails.strips(pictures, 100) is None
    assert thumbnails.strips([[], []], 10**7) is None


def test_dark_images_are_brightened_and_missing_ones_keep_their_place():
    dark = np.full((8, 8, 1), 16, dtype=np.uint8)
    of = thumbnails.Shown([[0, 1], [2]], [[0, 1], [2]])
    found = thumbnails.pictures(of, lambda row: None if row == 1 else dark)
    assert [[each.getextrema()[1] for each in row] for row in found] == [[255, 0], [255]]
    assert thumbnails.pictures(of, lambda row: None) == [[], []]
    photo = np.full((100, 50, 3), 200, dtype=np.uint8)
    picture = thumbnails.pictures(of, lambda row: photo)[0][0]
    assert picture.size == (24, 48)
    assert picture.getextrema() == ((200, 200),) * 3


def test_a_study_of_one_lambda_or_without_the_analysis_has_no_explorer(folder):
    config = load(folder)
    assert "results/tiny/explorer.html" in targets.of_study(config, "tiny")
    assert not [file for file in targets.of_study(config, "tiny-images") if "explorer" in file]


@pytest.mark.slow
def test_the_stage_covers_the_page_by_its_manifest(built):
    path = built.path("results/tiny/explorer.json")
    manifest = manifests.read_manifest(path, "write_explorer", {"study": "tiny"})
    content = json.loads(_Page(manifest.check(path.parent, "explorer.html").read_text()).scripts[0])
    assert len(content["names"]) == 6
    assert content["configurations"][0]["images"]["count"] == 6
