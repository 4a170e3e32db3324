"""The tables of `classes` and every sentence of the story agree with numbers computed otherwise."""

from __future__ import annotations

import functools
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cobaye.analyses import _sweep_view, _sweeps, classes
from cobaye.data import typical_images
from cobaye.recipes import Data
from cobaye.storage import files, manifests
from cobaye.story import story
from cobaye.tables import reading
from tests.jobs import job

LABELS = ["0", "1e-3", "1e-2"]
OPTIONS = classes.Options(draws=100, splits=20)


def sweep(effect, seeds=1, images=12, noise=0.3, labels=LABELS, group=("m", "o")):
    """Return runs whose class losses are 1 + effect (K, M), whatever the split."""
    rng = np.random.default_rng(0)
    effect = np.asarray(effect, dtype=float)
    truth = np.repeat(np.arange(len(effect)), images)
    splits = {}
    for split in ("train", "val", "test"):
        shape = (seeds, effect.shape[1], len(truth))
        loss = 1 + effect.T[:, truth] + noise * rng.standard_normal(shape)
        wrong = rng.random(shape) < 0.3
        predicted = np.where(wrong, (truth + 1) % len(effect), truth).astype(np.int32)
        splits[split] = _sweeps.Predictions(truth, loss.astype(np.float32), predicted)
    return _sweeps.Sweep(group, list(labels), list(range(seeds)), splits)


def analysed(of, options=OPTIONS, image=lambda row: None):
    names = [f"c{number}" for number in range(int(of.splits["test"].labels.max()) + 1)]
    return classes.tables([of], names, options, image)


@functools.cache
def opposite():
    """Half of 20 classes want the smallest λ, half the largest."""
    sign = np.where(np.arange(20) % 2, 1, -1)
    return analysed(sweep(np.outer(sign, [0.5, 0, -0.5]), seeds=3))


def with_runs(made, labels=LABELS, lost=0):
    """Return the tables of analysed runs, with those of the runs, of which some diverged."""
    run = {"model": "m", "optimizer": "o", "seed": 0}
    best = {**run, "weight_decay": made["class-tests"]["best"][0]}
    runs = pd.DataFrame([{**run, "weight_decay": label} for label in labels])
    return {
        "runs": runs.assign(finite=runs.index >= lost, loss_name="cross-entropy"),
        "best-lambda": pd.DataFrame([{**best, "test_loss": 1.0, "test_accuracy": 0.7}]),
        **made,
    }


def told(made, labels=LABELS, lost=0):
    """Return the story of analysed runs."""
    return story.story("s", {"dataset": "d", "backbone": None}, with_runs(made, labels, lost))[0]


def test_every_table_is_made_and_names_its_group():
    made = opposite()
    assert set(made) == set(classes.TABLES)
    for name, table in made.items():
        assert list(table.columns[:2]) == ["model", "optimizer"], name
    assert len(made["class-effects"]) == 20 * 3
    assert len(made["null-best-lambda"]) == 3 * 3
    worst = made["worst-classes"].groupby("measure")["classes"].unique()
    assert {name: each.tolist() for name, each in worst.items()} == {
        "lowest": [1],
        "tenth": [2],
        "worst 10": [10],
        "worst 100": [20],
    }


def test_numbers_are_those_of_the_images():
    of = sweep(np.outer(np.arange(4), [0.2, 0.0, 0.1]), seeds=2)
    made = analysed(of)
    test = of.splits["test"]
    loss = test.loss.mean(axis=0, dtype=np.float64)
    val = of.splits["val"].loss.mean(axis=0, dtype=np.float64)
    best = int(np.argmin(val.mean(axis=1)))
    assert set(made["class-inference"]["best"]) == {LABELS[best]}
    rows = made["class-effects"].set_index(["class", "weight_decay"])
    right = (test.predicted == test.labels).mean(axis=0)
    for one in range(4):
        mine = test.labels == one
        for place, label in enumerate(LABELS):
            row = rows.loc[(one, label)]
            assert row["loss"] == pytest.approx((loss[place] - loss[best])[mine].mean())
            assert row["accuracy"] == pytest.approx((right[place] - right[best])[mine].mean())
            assert row["n"] == 12
    means = np.array([[row[test.labels == one].mean() for row in loss] for one in range(4)])
    naive = (means[:, best] - means.min(axis=1)).mean()
    cost = made["compromise"].set_index(["choice", "measure", "resampled"])["gain"]
    assert cost["naive", "loss", "test"] == pytest.approx(naive)
    on_val = np.array([[row[test.labels == one].mean() for row in val] for one in range(4)])
    honest = (means[:, best] - means[np.arange(4), on_val.argmin(axis=1)]).mean()
    assert cost["honest", "loss", "test"] == pytest.approx(honest)
    worst = made["worst-classes"]
    worst = worst[(worst["chosen_on"] == "test") & (worst["measure"] == "lowest")]
    lowest = [min(row[test.labels == one].mean() for one in range(4)) for row in right]
    np.testing.assert_allclose(worst["accuracy"], lowest)


def test_a_large_sample_is_drawn_less_often_but_a_hundred_times(monkeypatch):
    view = _sweep_view.View(sweep(np.zeros((4, 3))), list("abcd"), 2000, 20, 0.95, 0)
    sample = view.losses["test"]
    assert view.draws_of(sample) == 2000
    monkeypatch.setattr(_sweep_view, "_MOST_DRAWN", 300 * len(sample.values))
    assert view.draws_of(sample) == 300
    monkeypatch.setattr(_sweep_view, "_MOST_DRAWN", 1)
    assert view.draws_of(sample) == 100


def test_seeds_have_a_row_of_their_own():
    cost = opposite()["compromise"]
    rows = cost[cost["resampled"] == "seeds"].set_index("choice")
    assert set(rows.index) == {"naive", "honest", "shrunk"}
    assert rows.loc["honest", "low"] > 0
    assert np.isfinite(rows[["gain", "low", "high"]].to_numpy(float)).all()


def test_a_run_that_diverged_leaves_the_mean_to_the_others():
    effect = np.outer(np.arange(4), [0.2, 0.0, 0.1])
    whole = sweep(effect, seeds=2)
    own = {}
    for seed, label in ((0, "0"), (0, "1e-3"), (0, "1e-2"), (1, "1e-3"), (1, "1e-2")):
        place = LABELS.index(label)
        own[label, seed] = {
            name: {
                "label": each.labels,
                "predicted": each.predicted[seed, place],
                "loss": each.loss[seed, place],
            }
            for name, each in whole.splits.items()
        }
    found = _sweeps.joined(("m", "o"), own)
    assert found.labels == LABELS
    test = found.splits["test"]
    np.testing.assert_allclose(test.mean_loss()[0], whole.splits["test"].loss[0, 0])
    assert test.finite.tolist() == [[True] * 3, [False, True, True]]
    assert np.isfinite(analysed(found)["class-effects"]["loss"]).all()


def test_harm_is_against_another_lambda():
    ranked = opposite()["helped-harmed"]
    assert set(ranked["against"]) == {"0"}
    assert ranked["rank"].tolist() == list(range(1, 21))
    assert ranked["change"].is_monotonic_increasing
    # The odd ones lose 0.5 at λ = 0, so whatever is best overall helps them or leaves them.
    assert set(ranked["class"].head(5) % 2) == {1} or ranked["best"][0] == "0"
    other = analysed(
        sweep(np.outer([1, -1, 1], [0.2, 0, 0.3])), classes.Options(100, 20, against="1e-2")
    )
    assert set(other["helped-harmed"]["against"]) == {"1e-2"}


def test_typical_images_are_nearest_the_median_and_kept_as_they_are():
    assert typical_images.typical(np.array([5.0, 1, 3, 2.9, 9]), 2).tolist() == [2, 3]
    pixels = {row: np.full((2, 3, 1), row, dtype=np.uint8) for row in range(100)}
    made = analysed(sweep(np.zeros((4, 3))), OPTIONS, pixels.get)["typical-images"]
    assert len(made) == 4 * 4
    for _, one in made.iterrows():
        assert (one["height"], one["width"], one["channels"]) == (2, 3, 1)
        assert one["pixels"] == pixels[one["image"]].tobytes()
        assert one["image"] // 12 == one["class"]


def test_the_same_runs_give_the_same_tables():
    again = analysed(sweep(np.outer(np.where(np.arange(20) % 2, 1, -1), [0.5, 0, -0.5]), seeds=3))
    for name, table in opposite().items():
        pd.testing.assert_frame_equal(table, again[name])


def test_other_groups_do_not_change_a_group():
    one, other = sweep(np.zeros((4, 3))), sweep(np.ones((4, 3)), group=("m", "other"))
    both = classes.tables([other, one], ["a", "b", "c", "d"], OPTIONS, lambda row: None)
    alone = classes.tables([one], ["a", "b", "c", "d"], OPTIONS, lambda row: None)
    for name, table in both.items():
        mine = table[table["optimizer"] == "o"].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone[name], check_dtype=False)


def test_no_run_left_gives_tables_without_rows():
    made = classes.tables([], ["a"], OPTIONS, lambda row: None)
    assert set(made) == set(classes.TABLES)
    assert all(table.empty for table in made.values())
    frames = {**made, "runs": pd.DataFrame({"model": [], "optimizer": []})}
    frames["best-lambda"] = frames["runs"]
    text, summary = story.story("s", {"dataset": "d", "backbone": "b"}, frames)
    assert "nothing to tell" in text
    assert summary == []


def test_one_lambda_and_one_image_per_class():
    one = analysed(sweep(np.zeros((4, 1)), labels=["1e-3"]))
    assert "nothing to compare" in told(one, ["1e-3"])
    assert "nobody can be helped" in told(one, ["1e-3"])
    assert "per class gain?** One λ: there is none to choose." in told(one, ["1e-3"])
    few = analysed(sweep(np.zeros((4, 3)), images=1))
    assert few["class-effects"]["loss"].notna().all()
    assert "cannot be told" in told(few)
    assert "nan" not in told(few)


# The story.


def test_where_classes_differ_and_choosing_pays_the_story_says_so():
    text = told(opposite())
    assert "No: the change of test loss from the best λ varies between classes by more" in text
    assert "the curves differ in shape" in text
    assert (
        "Choosing by each class's lowest loss and by its shrunk curve lowers the loss, "
        "over other images and over other classes like these."
    ) in text


def test_where_nothing_beats_one_lambda_the_story_says_so():
    made = analysed(sweep(np.tile([0.1, 0.0, 0.1], (20, 1))))
    text = told(made)
    assert "No difference is known: the change of test loss" in text
    assert "no more than noise alone makes" in text
    assert "Neither way is known to lower the loss" in text
    assert "At another λ of the study no class would surely be better off." in text


def test_the_story_names_who_is_helped_and_who_is_harmed():
    """Half of the classes gain what the other half lose."""
    helped, harmed = re.search(
        r"surely helps (.*) and surely harms (.*)\. At another", told(opposite())
    ).groups()
    ranked = opposite()["helped-harmed"]
    for said, names in ((helped, ranked["name"].head(5)), (harmed, ranked["name"].tail(5)[::-1])):
        assert said == f"10 of 20 ({', '.join(f'“{name}”' for name in names)} …)"


def test_every_number_of_the_story_is_in_a_table():
    made = opposite()
    text = told(made)
    gains = re.findall(r"[+−]\d\.\d{4}", text)
    known = {
        f"{value:+.4f}".replace("-", "−")
        for value in made["compromise"][["gain", "low", "high"]].to_numpy(float).ravel()
    }
    assert len(gains) > 15
    assert set(gains) <= known
    assert "nan" not in text


# The stage, on a project that was built.


@pytest.mark.slow
def test_the_stage_writes_what_its_manifest_says(built):
    folder = built.path("results/tiny/tables")
    identity = {"study": "tiny", "maker": "classes"}
    manifest = manifests.read_manifest(folder / "classes.json", "analyse", identity)
    assert set(manifest.files) == {*classes.TABLES.values(), "classes.html"}
    story = job("tell_story", {"study": "tiny"}, {}, built.folder)
    frames = reading.read_tables(story, classes.TABLES)
    assert set(story.inputs) == {"results/tiny/tables/classes.json"}
    effects = frames["class-effects"]
    assert len(effects) == 6 * 2
    assert set(effects["weight_decay"]) == {"0", "1e-2"}
    images = frames["typical-images"]
    assert set(images["height"]) == {32}
    pixels = np.load(built.path("resources/datasets/tiny-glyphs/test/images.npy"))
    first = images.iloc[0]
    assert first["pixels"] == pixels[first["image"]].tobytes()
    text = built.path("results/tiny/story.md").read_text()
    assert "6 classes with 6 test images each" in text
    classes_csv = reading.read_tables(story, ["classes", "best-lambda"])
    table = classes_csv["classes"]
    table = table[table["split"] == "test"].pivot(
        index="class", columns="weight_decay", values="loss"
    )
    best = classes_csv["best-lambda"]["weight_decay"].item()
    found = effects.pivot(index="class", columns="weight_decay", values="loss")
    for label in ("0", "1e-2"):
        np.testing.assert_allclose(found[label], table[label] - table[best], atol=1e-6)


@pytest.mark.slow
def test_a_damaged_table_is_noticed_with_its_repair(copied):
    path = copied.path("results/tiny/tables/class-effects.csv")
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(files.CorruptFile, match=r"--forcerun .*classes\.json"):
        reading.read_tables(
            job("tell_story", {"study": "tiny"}, {}, copied.folder), ["class-effects"]
        )


@pytest.mark.slow
def test_an_option_of_the_analysis_reruns_it_and_what_reads_it(copied):
    copied.edit("config/studies/tiny.yaml", "dataset:", "analyses: {classes: {seed: 1}}\ndataset:")
    jobs = copied.jobs("tiny")
    reads = {"best_lambda_train", "best_lambda_val", "best_lambda_test", "class_effects"}
    reads |= {"answer", "class_gain", "helped_harmed", "worst_classes"}
    plotted = {f"plot_{name}": 1 for name in reads}
    assert jobs == {"analyse_classes": 1, "tell_story": 1, "write_explorer": 1} | plotted


def dataset(root, form, images):
    """Write a prepared dataset's manifest and, for its test split, some content."""
    folder = root / "resources/datasets/d"
    (folder / "test").mkdir(parents=True)
    made = {}
    if form == "files":
        index = {"root": str(root), "paths": images}
        path = folder / "test/index.json"
        made["test/index.json"] = manifests.describe(path, files.write_json(path, index))
    if form == "images":
        path = folder / "test/images.npy"
        np.save(path, images)
        made["test/images.npy"] = manifests.describe(path)
    info = {"form": form, "images": {"test": len(images)}}
    told = ("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info)
    manifests.Manifest(*told).write(folder / "manifest.json")


def test_an_image_is_that_of_its_row_where_others_were_skipped(tmp_path):
    images = np.arange(5 * 3 * 2 * 2, dtype=np.uint8).reshape(5, 3, 2, 2)
    dataset(tmp_path, "images", images)
    whole = typical_images.reader(Data("d", None), "test", tmp_path)
    np.testing.assert_array_equal(whole(3), images[3].transpose(1, 2, 0))
    identity = {"dataset": "d", "backbone": "b", "split": "test"}
    path = tmp_path / "results/features/d/b/test/manifest.json"
    info = {"skipped": {"1": "broken", "2": "broken"}}
    manifests.Manifest("gather_features", identity, {}, "", info=info).write(path)
    some = typical_images.reader(Data("d", "b"), "test", tmp_path)
    np.testing.assert_array_equal(some(1), images[3].transpose(1, 2, 0))


def test_images_of_files_are_decoded_and_those_that_are_gone_left_out(tmp_path):
    Image.new("RGB", (90, 70), (10, 200, 30)).save(tmp_path / "a.png")
    dataset(tmp_path, "files", ["a.png", "gone.png"])
    image = typical_images.reader(Data("d", None), "test", tmp_path)
    assert image(0).shape == (64, 64, 3)
    assert image(0)[5, 5].tolist() == [10, 200, 30]
    assert image(1) is None


def test_ready_made_features_have_no_images(tmp_path):
    dataset(tmp_path, "features", [0, 1])
    assert typical_images.reader(Data("d", None), "test", tmp_path)(0) is None


def test_predictions_that_are_none_are_refused_by_name(tmp_path):
    path = tmp_path / "predictions.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(files.CorruptFile, match=r"predictions\.parquet: expected predictions"):
        _sweeps.read_predictions(path)


ENDS = ("difference", "low", "high")
WORSE, UNKNOWN, BEATS = "worse than one λ", "not known to differ from one λ", "beats one λ"


def rivals(judged):
    """Return the table `rivals`: name → verdict and change of loss; "lost" had no finite run."""
    rows = [{"rival": "one", "loss": 0.9, "accuracy": 0.7, "verdict": "the best single λ"}]
    for name, (verdict, change) in judged.items():
        row = {"rival": name, "verdict": verdict, "chosen": f"T of {name}"}
        for measure, value in (("loss", change), ("accuracy", -change), ("tenth", 0.0)):
            around = zip(ENDS, (value, value - 0.002, value + 0.002), strict=True)
            row |= {f"{measure}_{end}": each for end, each in around}
        rows.append(row)
    measured = [f"{name}_{end}" for name in ("loss", "accuracy", "tenth") for end in ENDS]
    rows.append({"rival": "hypergradient", **dict.fromkeys(measured, np.nan)})
    return pd.DataFrame(rows).assign(model="m", optimizer="o")


@pytest.mark.parametrize(
    ("judged", "said", "not_said"),
    [
        (
            {"val": (WORSE, 0.02), "temperature": (BEATS, -0.006), "shrunk": (BEATS, -0.005)},
            [
                "judged on test beside the best single λ (loss 0.9000, accuracy 70.0 %).",
                "| rival | chosen on val | loss (nats) |",
                "| temperature | T of temperature | −0.0060 (−0.0080 to −0.0040) | +0.6 (+0.4 to ",
                "| λ per class: lowest on val | T of val | +0.0200 (+0.0180 to +0.0220) | −2.0 (",
                "loss, temperature, λ per class: shrunk beat one λ; λ per class: lowest on val",
                "higher for temperature, λ per class: shrunk; lower for λ per class: lowest",
                "per class or group changes the loss by −0.0050 (−0.0070 to −0.0030) at best; one ",
                "one temperature changes it by −0.0060 (−0.0080 to −0.0040).",
            ],
            ["hypergradient", "is not known"],
        ),
        (
            {"val": (UNKNOWN, -0.001), "temperature": (UNKNOWN, 0.0005)},
            [
                "no rival is known to beat one λ (all rivals together, Holm).",
                "No rival is known to change accuracy.",
                "A λ per class or group is not known to lower the loss; one temperature",
            ],
            [BEATS, "worse", "higher for"],
        ),
        (
            {"mix": (BEATS, -0.04)},
            ["mix of the heads of all λ beats one λ"],
            ["per class or group"],
        ),
        ({"mix": (WORSE, 0.04)}, ["lower for mix of the heads of all λ."], ["; lower", "higher"]),
        ({}, ["No rival stayed finite."], ["| rival |", "Holm"]),
    ],
)
def test_the_story_tells_of_rivals_what_their_table_says(judged, said, not_said):
    text = told({**opposite(), "rivals": rivals(judged)}).partition("**Beside one λ.**")[2]
    assert [sentence for sentence in said if sentence not in text] == []
    assert [sentence for sentence in not_said if sentence in text] == []
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == (2 + len(judged) if judged else 0)
    assert "nan" not in text


def measures(scaled=0.1, error=0.0, rise=0.4):
    """Return the table `measures` of two λ; error: the lower end of the 0/1 error's spread."""
    spread = {"loss": 0.4, "scaled_loss": scaled, "brier": 0.07, "error": 0.02}
    rows = []
    for name, value in spread.items():
        ends = {"between_sd": value, "between_sd_low": value / 2, "between_sd_high": 2 * value}
        ends |= {"rise": rise, "rise_low": rise - 0.1, "rise_high": rise + 0.1}
        for label in LABELS:
            rows.append({"measure": name, "weight_decay": label, "best": "1e-2", **ends})
    table = pd.DataFrame(rows).assign(model="m", optimizer="o")
    table.loc[table["measure"] == "error", "between_sd_low"] = error
    return table


def test_the_story_tells_confidence_from_error():
    told_of = lambda table: told({**opposite(), "measures": table}).partition("Confidence or")[2]  # noqa: E731
    text = told_of(measures())
    assert "Between λ = 0 and the best λ" in text
    assert "deviation of 0.400 (0.200 to 0.800) nats." in text
    assert "it is 0.100 (0.050 to 0.200) nats: what the temperature takes off is confidence" in text
    assert (
        "error rate 2.0 (0.0 to 4.0) points, where no difference between classes is known" in text
    )
    # From that λ to the best: a rise the other way round is a fall.
    assert "changes the loss by −0.400 (−0.500 to −0.300) nats" in text
    assert "the error rate by −40.0 (−50.0 to −30.0) points" in text
    assert "takes off" not in told_of(measures(scaled=0.5))
    assert "is known" not in told_of(measures(error=0.01))
    # Squared errors have no temperature: nothing is told.
    assert told_of(measures().query("measure == 'loss' or measure == 'error'")) == ""


def of_grid(best, own):
    """Return the tables of 20 classes whose best λ overall, and whose own λ, are these."""
    tables = with_runs(opposite())
    return tables | {
        "class-tests": tables["class-tests"].assign(best=best),
        "class-gains": tables["class-gains"].assign(shrunk=own),
    }


@pytest.mark.parametrize(
    ("best", "own", "said"),
    [
        ("1e-2", ["1e-3"] * 20, "It is the largest λ of the study: a larger one may be better."),
        ("1e-3", ["1e-3"] * 20, ""),
        # Nothing is smaller than λ = 0, and a tenth of the classes is not more than a tenth.
        ("0", ["0"] * 20, ""),
        ("1e-3", ["1e-2"] * 2 + ["1e-3"] * 18, ""),
        (
            "1e-3",
            ["1e-2"] * 3 + ["1e-3"] * 17,
            "3 of 20 classes have their own λ at its largest λ, 1e-2: a larger one may be better.",
        ),
        (
            "1e-2",
            ["1e-2"] * 20,
            "It is the largest λ of the study, and 20 of 20 classes have their own λ there: a",
        ),
    ],
)
def test_best_lambdas_at_the_end_of_the_grid_are_told(best, own, said):
    text, summary = story.story("s", {"dataset": "d", "backbone": None}, of_grid(best, own))
    for told_in in (text, summary[0]):
        assert said in told_in
        assert ("weight_decays" in told_in) == bool(said)
    if said:
        assert 'Add "1e-1", "1e0", "1e1", "1e2" to `weight_decays` of config/studies/s.yaml' in text


def test_names_of_classes_are_no_markup():
    text = told(changed("worst-classes", "worst", "<b>_x_|y`"))
    assert "“&lt;b&gt;\\_x\\_\\|y\\`”" in text


def changed(table, column, value):
    """Return what `told` tells, one column of one table changed."""
    tables = with_runs(opposite())
    return {**tables, table: tables[table].assign(**{column: value})}


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        (
            "class-inference",
            "classes_bh",
            0,
            "By a t test no class differs from the mean class at any λ with",
        ),
        (
            "class-inference",
            "classes_bh",
            1,
            "The most classes differ from the mean class by a t test at λ = ",
        ),
        ("class-inference", "classes_bh", 20, ": 20 with the false discovery rate held at 5 %"),
        ("class-inference", "reliability", np.nan, "of noise. "),
        ("class-tests", "kappa", np.nan, "held there (Holm).\n"),
        ("class-tests", "kappa", -0.5, "κ = −0.50 ("),
        ("class-tests", "p_between", np.nan, "There is nothing to compare"),
        ("class-tests", "p_between", 0.05, "No: the change of test loss"),
        ("class-tests", "p_between", 0.051, "No difference is known: the"),
        ("null-best-lambda", "observed", 20, "0 % of the classes have their lowest test loss"),
        ("null-best-lambda", "observed", 19.95, "< 1 % of the classes have their lowest test"),
        ("null-best-lambda", "observed", 0, "100 % of the classes have their lowest test loss"),
        ("null-best-lambda", "classes", 19, "of the 19 classes with two or more test images have"),
        ("null-best-lambda", "classes", 501, "14 % of simulated studies of 1,000 classes"),
        ("null-best-lambda", "shape_low", -1, "that they differ in which λ is best is not known"),
        ("null-best-lambda", "low", -1, "That is no more than noise alone makes"),
        ("helped-harmed", "surely", "neither", "surely helps none and surely harms none."),
        ("helped-harmed", "surely", "harmed", "helps none and surely harms 20 of 20 (“"),
        ("helped-harmed", "surely", "helped", "helps 20 of 20 (“"),
        ("helped-harmed", "own_surely", False, "no class would surely be better off"),
        ("helped-harmed", "own_surely", True, "20 classes would surely be better off"),
        (
            "compromise",
            "high",
            -1.0,
            "choosing by each class's lowest loss and by its shrunk curve",
        ),
        ("compromise", "high", -1.0, "raises it."),
        ("runs", "loss_name", "squared-error", "Losses are mean squared errors at the last epoch"),
        ("runs", "loss_name", "squared-error", "**: test squared error "),
        ("runs", "loss_name", "cross-entropy", "**: test cross-entropy "),
        ("worst-pairs", "rate", 0.0, "%.\n"),
        ("worst-pairs", "rate", 0.003, "< 1 % of whose images are taken for the other."),
        ("worst-classes", "accuracy", 0.999, "lowest accuracy of a class is > 99 %"),
    ],
)
def test_no_sentence_is_false_at_none_one_or_all(table, column, value, said):
    text = told(changed(table, column, value))
    assert said in text
    assert "nan" not in text
    assert "-" not in re.sub(
        r"1e-\d|split-half|cross-entropy|long-tailed", "", text.partition("##")[2]
    )
    assert ("simulated studies" in text) == ((column, value) == ("classes", 501))
    assert ("Most confused" in text) == ((table, value) != ("worst-pairs", 0.0))


def test_a_way_that_may_be_worse_is_not_said_to_hurt():
    text = told(changed("compromise", "low", -1.0))
    assert "Neither way is known to lower the loss." in text
    assert "raises" not in text


def test_a_gain_over_other_images_alone_is_not_said_of_other_classes():
    tables = with_runs(opposite())
    costs = tables["compromise"]
    low = costs["low"].where(costs["resampled"] != "classes", -1.0)
    text = told({**tables, "compromise": costs.assign(low=low)})
    assert "lowers the loss, over other images of these classes." in text


@pytest.mark.parametrize(("best", "near"), [("0", ["1e-3"]), ("1e-3", ["0", "1e-2"])])
def test_differences_are_told_one_step_from_the_best_lambda(best, near):
    text = told(changed("class-tests", "best", best))
    steps = text.partition("one step from the best λ: ")[2].partition("The most classes")[0]
    assert re.findall(r"at (\S+): \d", steps) == near


def test_one_class_one_image_and_one_run_are_singular():
    one = analysed(sweep([[0.2, 0.0, 0.1]], images=1))
    text = told(one, LABELS[:1])
    assert "1 run, 1 seed; 1 class with 1 test image. The best" in text
    assert "nothing to compare: one class." in text
    assert "nan" not in text
    whole = {**opposite(), "class-effects": opposite()["class-effects"].query("`class` < 2")}
    assert "2 classes with 12 test images each." in told(whole)


@pytest.mark.parametrize(
    ("lost", "said"), [(1, "1 run diverged and is"), (2, "2 runs diverged and are")]
)
def test_runs_that_diverged_are_counted(lost, said):
    assert f"{said} left out." in told(opposite(), lost=lost)
    assert "diverged" not in told(opposite())


def test_the_best_lambda_is_not_compared_with_itself():
    best = opposite()["class-tests"]["best"][0]
    text = told(changed("helped-harmed", "against", best))
    assert "The best λ is the one to compare with: nobody can be helped or harmed." in text
