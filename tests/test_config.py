"""Bad input gets one clear message: file, key, value, what is allowed, the nearest valid name."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import yaml

from cobaye import figures, kinds, recipes
from cobaye.config import Config, output_keys
from cobaye.errors import ConfigError
from cobaye.planning import facts, needs, runs, targets
from cobaye.planning.plan import Plan, Stage
from cobaye.recipes.study import Run
from cobaye.storage import code_digest, files, manifests, paths, table_names
from cobaye.storage.staleness import is_stale
from tests.conftest import ROOT, TINY, edit, load

STUDY = "studies/tiny.yaml"
IMAGES = "studies/tiny-images.yaml"
SCRIPTS = ROOT / "workflow/scripts"


def broken(folder, file, old, new):
    """Return the message that a change of a config file gives."""
    edit(folder, file, old, new)
    path = folder / file
    with pytest.raises(ConfigError) as found:
        load(folder)
    assert str(path) in str(found.value)
    return str(found.value)


def test_the_tiny_config_is_read(folder):
    config = load(folder)
    study = config.studies["tiny"]
    assert study.data == recipes.Data("tiny-glyphs", "tiny-backbone")
    assert [run.weight_decay for run in study.runs()] == ["0", "1e-2"]
    # Without an analysis, its figure is left out; of few classes, the zoom.
    drawn = [
        one
        for one in output_keys.LAST_LAYER_FIGURES
        if one not in ("how-many", "rivals", "confusion-zoom") and "-over-" not in one
    ]
    assert list(study.figures) == drawn
    assert list(study.analyses) == ["classes", "measures"]
    assert study.optimizers["sgd"].algorithm.options == {"momentum": 0.9, "nesterov": False}


def test_a_zoom_is_drawn_of_fifty_classes_or_more(folder):
    for classes, zoomed in (("49", False), ("50", True)):
        shutil.copytree(folder, other := folder / f"of-{classes}")
        edit(other, "datasets.yaml", "classes: 6", f"classes: {classes}")
        assert ("confusion-zoom" in load(other).studies["tiny"].figures) is zoomed


def test_a_study_has_a_figure_width(folder):
    assert load(folder).studies["tiny"].figure_width == 5.5
    edit(folder, STUDY, "models:", "figure_width: 7\nmodels:")
    assert load(folder).studies["tiny"].figure_width == 7.0
    edit(folder, STUDY, "figure_width: 7", "figure_width: 2")
    with pytest.raises(ConfigError, match="figure_width"):
        load(folder)


def test_a_study_of_one_lambda_draws_no_figure_about_it(folder):
    edit(folder, STUDY, '["0", "1e-2"]', '["1e-2"]')
    study = load(folder).studies["tiny"]
    assert list(study.figures) == ["train-curves", "test-curves", "weight-norm", "confusion"]
    assert study.analyses == {}


def test_a_study_of_one_lambda_has_no_story(folder):
    def told():
        made = targets.of_study(load(folder), "tiny")
        return [one for one in made if "/story" in one or "explorer" in one]

    assert len(told()) == 4
    edit(folder, STUDY, '["0", "1e-2"]', '["1e-2"]')
    with (folder / STUDY).open("a") as file:
        file.write("analyses: [classes]\n")
    assert told() == []
    plan = Plan(load(folder), SCRIPTS)
    for rule, what in (("tell_story", "a story"), ("write_explorer", "an explorer")):
        with pytest.raises(ConfigError, match=f"analyses: {what} needs 'classes' there, and two"):
            plan.stage(rule, study="tiny")


TWO = "  linear: {kind: linear}\n  wide: {kind: mlp}\n  deep: {kind: mlp}"


def test_an_optimizer_may_be_for_some_models_only(folder):
    edit(folder, STUDY, "  linear: {kind: linear}", TWO)
    edit(folder, STUDY, "  sgd:\n", "  sgd:\n    models: [linear, deep]\n")
    text = (folder / STUDY).read_text()
    start, end = text.index("  sgd:"), text.index("weight_decays")
    other = text[start:end].replace("sgd:", "adam:", 1).replace("[linear, deep]", "[deep, wide]")
    (folder / STUDY).write_text(text[:end] + other + text[end:])
    runs = load(folder).studies["tiny"].runs()
    # In the order of the config, models first.
    found = [("linear", "sgd"), ("wide", "adam"), ("deep", "sgd"), ("deep", "adam")]
    assert list(dict.fromkeys((run.model, run.optimizer) for run in runs)) == found
    assert len(runs) == 8


def test_a_model_that_no_optimizer_names_is_refused(folder):
    edit(folder, STUDY, "  linear: {kind: linear}", TWO)
    said = broken(folder, STUDY, "  sgd:\n", "  sgd:\n    models: [linear, deep]\n")
    assert "models.wide: no optimizer names it" in said


def test_an_optimizer_may_have_some_of_the_lambdas(folder):
    edit(folder, STUDY, '["0", "1e-2"]', '["0", "1e-2", "1e-1"]')
    text = (folder / STUDY).read_text()
    start, end = text.index("  sgd:"), text.index("weight_decays")
    more = ""
    for name, labels in [("two", '["1e-1", "0"]'), ("one", '["1e-2"]')]:
        own = text[start:end].replace("  sgd:", f"  {name}:\n    weight_decays: {labels}", 1)
        more += own
    (folder / STUDY).write_text(text[:end] + more + text[end:])
    config = load(folder)
    study = config.studies["tiny"]
    found = [(run.optimizer, run.weight_decay) for run in study.runs()]
    # In the study's order.
    labels = {"sgd": ("0", "1e-2", "1e-1"), "two": ("0", "1e-1"), "one": ("1e-2",)}
    assert found == [(name, label) for name, own in labels.items() for label in own]
    assert {name: study.decays(name) for name in study.optimizers} == labels
    assert "best-lambda-test" in study.figures
    plan = Plan(config, SCRIPTS)
    assert len(plan.stage("tabulate", study="tiny", maker="tables").recipe["runs"]) == 6
    with pytest.raises(ConfigError, match=r"no run .*/one/wd-0/seed-0"):
        plan.stage("train", **runs.identity("tiny", Run("linear", "one", "0", 0)))


def test_where_each_optimizer_has_one_lambda_no_figure_is_about_it(folder):
    text = (folder / STUDY).read_text()
    start, end = text.index("  sgd:"), text.index("weight_decays")
    both = [
        text[start:end].replace("  sgd:", f"  {name}:\n    weight_decays: [{label}]", 1)
        for name, label in [("sgd", '"0"'), ("wd", '"1e-2"')]
    ]
    (folder / STUDY).write_text(text[:start] + "".join(both) + text[end:])
    figures = list(load(folder).studies["tiny"].figures)
    assert figures == ["train-curves", "test-curves", "weight-norm", "confusion"]


def test_a_backbones_run_has_a_lambda_of_its_optimizer(folder):
    backbone = "studies/tiny-backbone.yaml"
    edit(folder, backbone, '["1e-3"]', '["0", "1e-3"]')
    text = (folder / backbone).read_text()
    start, end = text.index("  sgd:"), text.index("weight_decays")
    other = text[start:end].replace("sgd:", "other:", 1)
    own = text[start:end].replace("  sgd:", '  sgd:\n    weight_decays: ["0"]', 1)
    (folder / backbone).write_text(text[:start] + own + other + text[end:])
    with pytest.raises(ConfigError, match=r"run\.weight_decay: no weight_decay '1e-3'"):
        load(folder)


def test_an_analysis_of_layers_wants_a_sequence_of_them(folder):
    backbone = "studies/tiny-backbone.yaml"
    said = broken(folder, backbone, "analyses: []", "analyses: [activations]")
    assert "analyses.activations: models.resnet is a 'resnet-small'" in said
    assert "vgg16" in said


def test_indicators_are_of_something(folder):
    said = broken(folder, IMAGES, "analyses: []", "analyses: [indicators]")
    assert "analyses.indicators: needs one of weights, pruning, activations in analyses" in said


SGD = "{kind: sgd, momentum: 0.9}"
PHASED = """    phases:
      - {algorithm: {kind: sgd}, learning_rate: 0.1, epochs: 2}
      - {algorithm: {kind: layca, base: adam}, learning_rate: 0.01, weight_decay: true}
"""


def phased(folder, old="", new=""):
    """Give the study an optimizer with phases, some of its text replaced."""
    rate = "    learning_rate: 0.1\n"
    edit(folder, STUDY, f"    algorithm: {SGD}\n{rate}", PHASED)
    edit(folder, STUDY, old, new)
    return load(folder)


def test_a_loss_without_a_closed_form_is_for_the_general_engine(folder):
    edit(folder, STUDY, "{kind: linear}", "{kind: linear, loss: softmax-squared-error}")
    with (folder / STUDY).open("a") as file:
        file.write("baseline: false\nanalyses: []\nfigures: []\n")
    config = load(folder)
    told = Plan(config, SCRIPTS).stage(
        "train", **runs.identity("tiny", config.studies["tiny"].runs()[0])
    )
    assert (told.recipe["engine"], told.recipe["loss"]) == ("network", "softmax-squared-error")


def test_an_optimizer_may_have_phases(folder):
    config = phased(folder)
    found = config.studies["tiny"].optimizers["sgd"]
    assert [phase.algorithm.kind for phase in found.phases] == ["sgd", "layca"]
    assert [phase.epochs for phase in found.phases] == [2, None]
    assert [phase.weight_decay for phase in found.phases] == [False, True]
    assert (found.algorithm, found.learning_rate) == (found.phases[0].algorithm, 0.1)
    assert found.phases[1].algorithm.options["base"] == "adam"
    plan = Plan(config, SCRIPTS)
    told = plan.stage("train", **runs.identity("tiny", config.studies["tiny"].runs()[0]))
    assert told.recipe["engine"] == "network"
    assert {("optimizers", "sgd"), ("optimizers", "layca")} <= set(found.used())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    phases:", "    learning_rate: 1\n    phases:", "sgd.learning_rate: with phases, eac"),
        ("    phases:", f"    algorithm: {SGD}\n    phases:", "sgd.algorithm: with phases, each p"),
        ("epochs: 4", "epochs: 2", "sgd.epochs: 2: must be above 2, the epochs of"),
        ("    epochs: 4\n", "", "sgd.epochs: missing"),
        (", epochs: 2", "", "phases[0].epochs: missing"),
        (", epochs: 2", ", epochs: 0", "phases[0]: epochs must be at least 1, not 0"),
        ("weight_decay: true", "epochs: 1", "phases[1].epochs: 1: leave it out: the last"),
        ("kind: layca", "kind: laica", "phases[1].algorithm.kind: no optimizer 'laica'"),
        ("base: adam", "bass: adam", "phases[1].algorithm.bass: unknown key: did you mean 'base'"),
        (
            "{kind: layca, base: adam}",
            "{kind: exact}",
            "phases[1].algorithm.kind: 'exact' solves a whole training and cannot be a phase",
        ),
        ("weight_decay: true", "weight_deca: true", "weight_deca: unknown key: did you mean"),
        ("learning_rate: 0.01", "learning_rate: 0", "phases[1]: learning_rate must be above 0"),
        (
            "dataset:",
            "engine: numpy\ndataset:",
            "optimizers.sgd.phases: engine: numpy does not support phases",
        ),
        (
            "dataset:",
            "together: true\ndataset:",
            "optimizers.sgd.phases: together: true does not support phases",
        ),
        (
            "dataset:",
            "per_class: [val]\ndataset:",
            "per_class: cannot be combined with optimizers.sgd.phases",
        ),
    ],
)
def test_phases_get_one_clear_message(folder, old, new, said):
    if "numpy" in new or "together" in new:
        edit(folder, STUDY, "dataset:", "figures: [test-curves]\ndataset:")
    with pytest.raises(ConfigError) as found:
        phased(folder, old, new)
    assert said in str(found.value)
    assert "pydantic" not in str(found.value)


EXACT = TINY[STUDY][TINY[STUDY].index("    algorithm") : TINY[STUDY].index("weight_decays")]
CASES = [
    # file, old, new, what the message must say
    (STUDY, "  sgd:\n", "  sgd:\n    models: [linea]\n", ["sgd.models", "'linea'", "'linear'"]),
    (
        STUDY,
        "  sgd:\n",
        '  sgd:\n    weight_decays: ["0", "1e-3"]\n',
        ["optimizers.sgd.weight_decays", "no entry of weight_decays '1e-3'", "'1e-2'"],
    ),
    (STUDY, "  sgd:\n", '  sgd:\n    weight_decays: ["0", "0"]\n', ["sgd.weight_decays", "twice"]),
    (STUDY, "  sgd:\n", '  sgd:\n    weight_decays: ["0"]\n', ["'1e-2'", "no optimizer is"]),
    (STUDY, "  sgd:\n", "  sgd:\n    weight_decays: []\n", ["sgd.weight_decays", "at least 1"]),
    (STUDY, "    algorithm: {kind: sgd, momentum: 0.9}\n", "", ["sgd.algorithm: missing"]),
    (
        STUDY,
        "dataset:",
        "precision: bfloat16\nengine: torch\ndataset:",
        ["precision: bfloat16", "engine: auto", "engine: torch"],
    ),
    (
        STUDY,
        "{kind: linear}",
        "{kind: mlp, widths: [3]}\nprecision: bfloat16",
        ["precision: bfloat16", "kind: linear", "is of kind 'mlp'"],
    ),
    (STUDY, "  sgd:\n", "  sgd:\n    models: []\n", ["optimizers.sgd.models", "at least 1 item"]),
    (STUDY, "dataset:", "analyses: [clases]\ndataset:", ["analyses", "'clases'", "'classes'"]),
    (
        STUDY,
        "dataset:",
        "analyses: {classes: {drews: 5}}\ndataset:",
        ["analyses.classes.drews", "unknown key", "'draws'"],
    ),
    (
        STUDY,
        "dataset:",
        "analyses: {classes: {level: 2.0}}\ndataset:",
        ["analyses.classes", "level: 2.0 is not in"],
    ),
    (
        STUDY,
        "dataset:",
        "analyses: []\nfigures: [class-gain]\ndataset:",
        ["figures.class-gain", "needs 'classes' in analyses"],
    ),
    (STUDY, "epochs: 4", "epochs: 0", ["optimizers.sgd.epochs", "0", "greater than or equal to 1"]),
    (STUDY, "    epochs: 4\n", "", ["optimizers.sgd.epochs: missing"]),
    (STUDY, "    learning_rate: 0.1\n", "", ["optimizers.sgd.learning_rate: missing"]),
    (
        STUDY,
        SGD,
        "{kind: exact}",
        ["optimizers.sgd.learning_rate", "'exact' takes no learning_rate"],
    ),
    (STUDY, EXACT, "    algorithm: {kind: exact, dtype: half}\n", ["dtype", "'float32'"]),
    (STUDY, EXACT, "    algorithm: {kind: exact, gradient_norm: 0}\n", ["gradient_norm", "above"]),
    (
        "studies/tiny-backbone.yaml",
        TINY["studies/tiny-backbone.yaml"].split("  sgd:\n")[1].split("    normalize")[0],
        "    algorithm: {kind: exact}\n",
        ["'exact' is for networks that are linear", "models.resnet is 'resnet-small'"],
    ),
    (
        STUDY,
        "{kind: linear}\n" + TINY[STUDY].split("{kind: linear}\n")[1].split("weight_decays")[0],
        "{kind: linear, loss: squared-error}\noptimizers:\n  e: {algorithm: {kind: exact}}\n",
        ["'exact' minimises the cross-entropy", "models.linear"],
    ),
    (STUDY, "epochs: 4", "epoks: 4", ["optimizers.sgd.epoks", "unknown key", "'epochs'"]),
    (STUDY, "dataset:", "data-set:", ["data-set: unknown key", "'dataset'"]),
    (STUDY, "dataset: tiny-glyphs", "dataset: tiny-glyps", ["no dataset", "'tiny-glyphs'"]),
    (STUDY, "backbone: tiny-backbone", "backbone: tiny-bone", ["backbone", "'tiny-backbone'"]),
    (STUDY, "{kind: linear}", "{kind: linaer}", ["models.linear.kind", "'linear'"]),
    (STUDY, "{kind: linear}", "{kind: linear, width: 3}", ["width", "unknown key"]),
    (STUDY, "momentum: 0.9", "momentun: 0.9", ["momentun", "unknown key", "'momentum'"]),
    (STUDY, "momentum: 0.9", "momentum: 1.5", ["momentum", "[0, 1)", "1.5"]),
    (STUDY, "kind: step", "kind: stpe", ["schedule.kind", "'step'"]),
    (STUDY, "step_size: 2", "step_size: 0", ["schedule", "step_size must be at least 1"]),
    (STUDY, "{kind: linear}", "{kind: resnet-small}", ["models.linear.kind", "takes images"]),
    (STUDY, "models:", "figures: {class-loss-val: {split: test}}\nmodels:", ["split", "name"]),
    (STUDY, "models:", "figures: {confusion: {first: 5, last: 2}}\nmodels:", ["5 to 2"]),
    (STUDY, "models:", "figures: {confusion: {best: 31}}\nmodels:", ["best: 31", "1 to 30"]),
    (
        STUDY,
        "models:",
        'figures: {confusion: {weight_decay: "1e-3"}}\nmodels:',
        ["figures.confusion.weight_decay", "of optimizers.sgd '1e-3'", "'1e-2'"],
    ),
    (
        "studies/tiny-backbone.yaml",
        "{kind: resnet-small}",
        "{kind: resnet-small, blocks: 0}",
        ["blocks"],
    ),
    (STUDY, "kind: sgd,", "kind: sdg,", ["algorithm.kind", "'sgd'"]),
    (STUDY, "learning_rate: 0.1", "learning_rate: -1", ["learning_rate", "-1", "greater than 0"]),
    (STUDY, "learning_rate: 0.1", "learning_rate: .inf", ["learning_rate", "inf", "finite"]),
    (STUDY, "epochs: 4", "epochs: 4\n    normalize: global", ["normalize", "features", "none"]),
    (STUDY, "epochs: 4", "epochs: 4\n    normalize: zca", ["normalize", "features", "none"]),
    (STUDY, "epochs: 4", "epochs: 4\n    zca_epsilon: 0", ["zca_epsilon", "greater than 0"]),
    (STUDY, "epochs: 4", "epochs: 4\n    l1: -1", ["l1", "-1", "greater than or equal to 0"]),
    (STUDY, "epochs: 4", "epochs: 4\n    max_norm: 0", ["max_norm", "greater than 0"]),
    (
        STUDY,
        "epochs: 4",
        "epochs: 4\n    augment: [{kind: zoom}]",
        ["optimizers.sgd.augment", "images", "trains on features"],
    ),
    (
        IMAGES,
        "epochs: 2",
        "epochs: 2\n    augment: [{kind: crop}, {kind: horizontal-flop}]",
        ["optimizers.sgd.augment[1].kind", "no augmentation", "'horizontal-flip'"],
    ),
    (
        IMAGES,
        "epochs: 2",
        "epochs: 2\n    augment: [{kind: crop, padding: -1}]",
        ["optimizers.sgd.augment[0]", "padding must be at least 0, not -1"],
    ),
    (
        STUDY,
        "epochs: 4",
        "epochs: 4\n    stop: {early: {patiense: 3}}",
        ["optimizers.sgd.stop.early.patience: missing", "early.patiense", "mean 'patience'"],
    ),
    (STUDY, "epochs: 4", "epochs: 4\n    stop: {erly: {}}", ["stop.erly", "did you mean 'early'"]),
    (STUDY, "epochs: 4", "epochs: 4\n    stop: {train_accuracy: 99}", ["train_accuracy", "99"]),
    (
        STUDY,
        "{kind: linear}",
        "{kind: linear, loss: squared-error}\nper_class: [val]",
        ["per_class: models.linear must be linear in its inputs and have the loss cross-entropy"],
    ),
    (
        STUDY,
        "models:",
        "evaluate_splits: [val, test]\nfigures: [confusion]\nper_class: [val]\nmodels:",
        ["evaluate_splits: ['val', 'test']: per_class needs all of ['train', 'val', 'test']"],
    ),
    (
        STUDY,
        "models:",
        "analyses: [classes, per-class]\nmodels:",
        ["analyses: 'per-class' needs per_class: list one way or more"],
    ),
    (
        STUDY,
        "{kind: linear}",
        "{kind: mlp}\nanalyses: [rivals]\nfigures: [rivals]",
        ["analyses.rivals: models.linear is a 'mlp'", "supports linear, perceptron only"],
    ),
    (
        STUDY,
        "{kind: linear}",
        "{kind: linear, loss: squared-error}\nanalyses: [rivals]\nfigures: [rivals]",
        ["analyses.rivals: models.linear is a 'squared-error'", "supports cross-entropy only"],
    ),
    (
        STUDY,
        "{kind: linear}",
        "{kind: linear}\nfigures: [rivals]",
        ["figures.rivals: needs 'rivals' in analyses"],
    ),
    (
        STUDY,
        "epochs: 4",
        "epochs: 4\n    stop: {early: {patience: 3}}\nper_class: [refit]",
        ["per_class.refit: it trains on val", "the stopping rule of optimizers.sgd reads val"],
    ),
    (
        STUDY,
        "models:",
        "per_class: {groups: {groups: 1}}\nmodels:",
        ["per_class.groups", "groups: 1: at least 2"],
    ),
    (
        STUDY,
        "epochs: 4",
        "epochs: 4\n    stop: {early: {patience: 3, quantity: test_loss}}",
        ["early.quantity", "'test_loss'", "val_loss"],
    ),
    (
        STUDY,
        "kind: step, step_size: 2, gamma: 0.1",
        "kind: plateau, factor: 2",
        ["schedule", "factor must be"],
    ),
    (STUDY, '"1e-2"', '"-1e-2"', ["weight_decays", "'-1e-2'", "≥ 0"]),
    (STUDY, '"1e-2"', '"tiny"', ["weight_decays", "'tiny'", "finite number"]),
    (STUDY, '"1e-2"', '"1e999"', ["weight_decays", "'1e999'", "finite number"]),
    (STUDY, '"1e-2"', '"1e-2", "0.01"', ["'0.01'", "the same number as '1e-2'"]),
    (STUDY, '"1e-2"', "0.01", ["weight_decays", "0.01", "in quotes"]),
    (STUDY, '"1e-2"', '"../../x"', ["weight_decays", "finite number"]),
    (STUDY, "models:", "seeds: [1, 1]\nmodels:", ["seeds", "twice"]),
    (STUDY, "models:", "figures: [confuson]\nmodels:", ["figures", "'confusion'"]),
    (STUDY, "models:", "figures: {confusion: {frist: 1}}\nmodels:", ["frist", "'first'"]),
    (STUDY, "models:", "dataset: tiny-digits\nmodels:", ["'dataset' stands twice"]),
    (STUDY, "  linear:", "  ../linear:", ["'../linear'", "paths"]),
    (STUDY, "dataset: tiny-glyphs", "- a", ["not YAML"]),
    ("config.yaml", "tiny,", "tinny,", ["studies", "no study 'tinny'", "'tiny'"]),
    ("config.yaml", "device: cpu", "device: gpu", ["device", "'gpu'", "'cuda'"]),
    ("config.yaml", "device: cpu", "devise: cpu", ["devise: unknown key", "'device'"]),
    ("datasets.yaml", "kind: glyphs", "kind: glyph", ["tiny-glyphs.kind", "'glyphs'"]),
    ("datasets.yaml", "train: 12", "trian: 12", ["tiny-glyphs.trian", "unknown key", "'train'"]),
    ("datasets.yaml", "shards: 2", "shards: 0", ["shards", "0"]),
    ("datasets.yaml", "shards: 2", "long_tail: {imbalance: 1}", ["long_tail", "above 1, not 1"]),
    (
        "datasets.yaml",
        "shards: 2",
        "long_tail: {imbalance: 9, sed: 3}",
        ["sed", "unknown key", "'seed'"],
    ),
    ("backbones.yaml", "study: tiny-backbone", "study: tiny-bakbone", ["run.study", "'tiny-back"]),
    ("backbones.yaml", '"1e-3"', '"1e-4"', ["run.weight_decay", "1e-3"]),
    ("backbones.yaml", "batch_size", "batchsize", ["batchsize", "'batch_size'"]),
]


# A key with a slip in each mapping of the config files, by file, where it stands, and its line.
SLIPS = [
    ("config.yaml", "devise", "device", "devise: cpu", "device: cpu"),
    ("datasets.yaml", "tiny-glyphs.clases", "classes", "clases: 6", "classes: 6"),
    ("backbones.yaml", "tiny-backbone.batchsize", "batch_size", "batchsize: 16", "batch_size: 16"),
    ("backbones.yaml", "tiny-backbone.run.studdy", "study", "studdy: ", "study: "),
    (
        "backbones.yaml",
        "zoo.torchvision.weigths",
        "weights",
        "zoo: {torchvision: {model: resnet18, weigths: DEFAULT}}\ntiny-backbone:",
        "tiny-backbone:",
    ),
    (STUDY, "bakbone", "backbone", "bakbone: tiny", "backbone: tiny"),
    (STUDY, "sample.cout", "count", "sample: {cout: 1}\nmodels:", "models:"),
    (STUDY, "derived.x.besst", "best", "derived: {x: {besst: 1}}\nmodels:", "models:"),
    (
        STUDY,
        "models.linear.start.backbne",
        "backbone",
        "{kind: linear, start: {backbne: tiny-backbone}}",
        "{kind: linear}",
    ),
    (STUDY, "optimizers.sgd.epoks", "epochs", "epoks: 4", "epochs: 4"),
    (
        STUDY,
        "optimizers.sgd.phases[0].epoch",
        "epochs",
        "phases: [{algorithm: {kind: sgd}, learning_rate: 1, epoch: 2}, {}]\n    epochs: 4",
        "epochs: 4",
    ),
    (
        STUDY,
        "optimizers.sgd.stop.train_acuracy",
        "train_accuracy",
        "epochs: 4\n    stop: {train_acuracy: 0.9}",
        "epochs: 4",
    ),
    (
        STUDY,
        "optimizers.sgd.stop.early.quantety",
        "quantity",
        "epochs: 4\n    stop: {early: {patience: 1, quantety: loss}}",
        "epochs: 4",
    ),
    (STUDY, "optimizers.sgd.algorithm.momentun", "momentum", "momentun: 0.9", "momentum: 0.9"),
    (STUDY, "optimizers.sgd.schedule.stepsize", "step_size", "stepsize: 2", "step_size: 2"),
    (
        IMAGES,
        "optimizers.sgd.augment[0].pading",
        "padding",
        "epochs: 2\n    augment: [{kind: crop, pading: 2}]",
        "epochs: 2",
    ),
    (
        STUDY,
        "analyses.classes.drws",
        "draws",
        "analyses: {classes: {drws: 5}}\nmodels:",
        "models:",
    ),
    (
        STUDY,
        "figures.confusion.frist",
        "first",
        "figures: {confusion: {frist: 1}}\nmodels:",
        "models:",
    ),
    (
        STUDY,
        "per_class.hypergradient.fold",
        "folds",
        "per_class: {hypergradient: {fold: 2}}\nmodels:",
        "models:",
    ),
]


@pytest.mark.parametrize(
    ("file", "place", "meant", "new", "old"), SLIPS, ids=[slip[1] for slip in SLIPS]
)
def test_an_unknown_key_gets_the_nearest_one_in_every_mapping(folder, file, place, meant, new, old):
    lines = broken(folder, file, old, new).splitlines()
    said = f"{folder / file}: {place}: unknown key: did you mean {meant!r}?"
    assert [line for line in lines if line.startswith(said)], lines


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs: 4", "epochs: 4\n    stop: 3", "optimizers.sgd.stop: 3: expected keys and values"),
        ("dataset:", "sample: 3\ndataset:", "sample: 3: expected keys and values"),
        ("dataset:", "figures: 3\ndataset:", "figures: 3: expected names or keys and values"),
        ("dataset:", "figures: [[3]]\ndataset:", "figures: [[3]]: expected names or keys and val"),
        (
            "epochs: 4",
            "epochs: 4\n    stop: {early: {patience: 0}}",
            "optimizers.sgd.stop.early: patience must be at least 1, not 0",
        ),
        (
            "epochs: 4",
            "epochs: 4\n    stop: {early: {patience: 1, min_delta: -1}}",
            "optimizers.sgd.stop.early: min_delta must be at least 0, not -1",
        ),
        (
            "epochs: 4",
            "epochs: 4\n    stop: {early: {patience: 1, min_delta: .inf}}",
            "optimizers.sgd.stop.early.min_delta: inf: input should be a finite number",
        ),
        (
            "epochs: 4",
            "epochs: 4\n    stop: {train_accuracy: 0}",
            "optimizers.sgd.stop: train_accuracy must be in (0, 1], not 0",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused(folder, old, new, said):
    assert said in broken(folder, STUDY, old, new)


@pytest.mark.parametrize(("file", "old", "new", "said"), CASES)
def test_a_mistake_gets_one_clear_message(folder, file, old, new, said):
    message = broken(folder, file, old, new)
    for part in said:
        assert part in message
    assert "pydantic" not in message


def test_a_backbone_trained_on_features_is_refused(folder):
    study = folder / "studies/tiny-backbone.yaml"
    text = study.read_text().replace("    normalize: global\n", "")
    text = text.replace("{kind: resnet-small}", "{kind: linear}")
    study.write_text(text.replace("models:", "backbone: tiny-backbone\nmodels:", 1))
    with pytest.raises(ConfigError, match="must have seen images") as found:
        load(folder)
    assert "backbones.yaml" in str(found.value)


@pytest.mark.parametrize("name", ["features", "all", "train", "verify"])
def test_a_reserved_name_is_refused(folder, name):
    shutil.copy(folder / STUDY, folder / f"studies/{name}.yaml")
    with pytest.raises(ConfigError, match=f"may not be named '{name}'"):
        load(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (STUDY, "epochs: 4", "epochs: 0", "optimizers.sgd.epochs: 0: input should be"),
        ("datasets.yaml", "classes: 6", "classes: 9999", "classes"),
        ("datasets.yaml", "val: 5", "val: 0", "val"),
    ],
)
def test_snakemake_stops_before_any_job(fresh, file, old, new, said):
    """In a real run: one message, no traceback of ours, nothing made."""
    fresh.edit(f"config/{file}", old, new)
    done = fresh.run(check=False)
    assert done.returncode != 0
    assert said in done.stdout
    assert "Traceback" not in done.stdout
    assert not fresh.path("results").exists() or not fresh.files("results", "resources")


def test_every_shipped_config_is_valid():
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config = Config(settings, ROOT / "config", figures.names())
    assert set(config.default_studies) <= set(config.studies)


def test_a_run_is_told_what_its_study_says(folder):
    path = folder / STUDY
    extra = "seeds: [0, 3]\npenalize_bias: false\ntrain_epochs: last\nthreads: 2\n"
    path.write_text(path.read_text().replace("models:", extra + "models:", 1))
    config = load(folder)
    run = Run("linear", "sgd", "1e-2", 3)
    assert len(config.studies["tiny"].runs()) == 4
    assert config.studies["tiny"].threads == 2
    told = Plan(config, SCRIPTS).stage("train", **runs.identity("tiny", run))
    assert told.identity == {"study": "tiny", **dataclasses.asdict(run)}
    assert told.recipe == {
        "data": {"dataset": "tiny-glyphs", "backbone": "tiny-backbone"},
        "engine": "linear",
        "model": {"kind": "linear", "options": {}},
        "optimizer": {
            "algorithm": {"kind": "sgd", "options": {"momentum": 0.9, "nesterov": False}},
            "learning_rate": 0.1,
            "schedule": {"kind": "step", "options": {"step_size": 2, "gamma": 0.1}},
            "batch_size": 16,
            "epochs": 4,
            "normalize": "none",
            "shuffle": "full",
            "l1": 0.0,
            "max_norm": None,
            "stop": {"early": None, "train_accuracy": None},
            "augment": [],
            "zca_epsilon": 1e-6,
        },
        "weight_decay": 0.01,
        "penalize_bias": False,
        "seed": 3,
        "penalize_scales": True,
        "loss": "cross-entropy",
        "start": None,
        "train_only": [],
        "precision": "float32",
        "warm_start": None,
        "class_losses": True,
    }
    assert recipes.plain(recipes.parse(recipes.Training, told.recipe)) == told.recipe
    assert (
        Plan(config, SCRIPTS).stage("evaluate", **runs.identity("tiny", run)).recipe["train_epochs"]
        == "last"
    )


def test_a_training_with_a_lambda_for_each_class_comes_back_from_its_plain_values(folder):
    study = load(folder).studies["tiny"]
    model, optimizer = study.models["linear"].network, study.optimizers["sgd"]
    lambdas = (0.1, 0.2)
    recipe = recipes.Training(study.data, "linear", model, optimizer, lambdas, True, seed=0)
    plain = recipes.plain(recipe)
    assert plain["weight_decay"] == [0.1, 0.2]
    assert recipes.parse(recipes.Training, plain) == recipe
    # Omitted while at its default.
    assert "phases" not in plain["optimizer"]


def test_an_accuracy_of_all_may_end_a_training():
    assert recipes.Stop(train_accuracy=1.0).train_accuracy == 1.0
    assert recipes.EarlyStop(patience=1, min_delta=0.0).patience == 1


EVERY_KEY = """
    l1: 1.0e-4
    max_norm: 3
    zca_epsilon: 0.1
    stop: {train_accuracy: 0.99, early: {patience: 5, quantity: val_accuracy, min_delta: 0.5}}
    augment: [{kind: crop, padding: 2}, {kind: horizontal-flip}]
"""


def test_a_recipe_with_every_key_is_read_and_told(folder):
    path = folder / IMAGES
    text = path.read_text().replace("    epochs: 2\n", f"    epochs: 2{EVERY_KEY}")
    path.write_text(text.replace("models:", "penalize_scales: false\nmodels:", 1))
    config, run = load(folder), Run("linear", "sgd", "1e-3", 0)
    plan = Plan(config, SCRIPTS)
    told = plan.stage("train", **runs.identity("tiny-images", run))
    # Images that change have no closed form.
    assert told.recipe["engine"] == "network"
    assert told.recipe["penalize_scales"] is False
    optimizer = told.recipe["optimizer"]
    assert (optimizer["l1"], optimizer["max_norm"], optimizer["zca_epsilon"]) == (1e-4, 3.0, 0.1)
    early = {"patience": 5, "quantity": "val_accuracy", "min_delta": 0.5}
    assert optimizer["stop"] == {"early": early, "train_accuracy": 0.99}
    crop, flip = recipes.parse(recipes.Training, told.recipe).optimizer.augment
    assert crop == recipes.Kind("crop", {"padding": 2, "fill": "zero"})
    assert flip == recipes.Kind("horizontal-flip", {"probability": 0.5})
    assert recipes.parse(recipes.Training, told.recipe).optimizer.reads_val
    used = [
        *(("augmentations", name) for name in ("crop", "horizontal-flip")),
        ("networks", "linear"),
        ("engines", "network"),
        ("optimizers", "sgd"),
        ("schedules", "constant"),
    ]
    assert told.code == code_digest.code_digest(SCRIPTS / "train.py", used)
    assert told.code != code_digest.code_digest(SCRIPTS / "train.py", used[1:])


def test_a_recipe_may_be_another_one_but_for_some_keys(folder):
    """YAML's merge: the ablations' way of writing."""
    path = folder / IMAGES
    text = path.read_text().replace("  sgd:\n", "  sgd: &base\n")
    path.write_text(
        text.replace("weight_dec", "  longer:\n    <<: *base\n    epochs: 5\nweight_dec")
    )
    found = load(folder).studies["tiny-images"].optimizers
    assert found["longer"] == dataclasses.replace(found["sgd"], epochs=5)
    path.write_text(path.read_text().replace("epochs: 5", "epochs: 5\n    epochs: 6"))
    with pytest.raises(ConfigError, match="'epochs' stands twice"):
        load(folder)


def test_a_network_of_several_layers_is_trained_on_normalised_images(folder):
    run = Run("resnet", "sgd", "1e-3", 0)
    recipe = (
        Plan(load(folder), SCRIPTS).stage("train", **runs.identity("tiny-backbone", run)).recipe
    )
    assert recipe["engine"] == "network"
    assert recipe["optimizer"]["normalize"] == "global"
    assert recipe["data"] == {"dataset": "tiny-glyphs", "backbone": None}


def test_code_is_that_of_the_kinds_a_job_imports_by_name(folder):
    plan, run = Plan(load(folder), SCRIPTS), Run("linear", "sgd", "0", 0)
    linear, resnet = ("networks", "linear"), ("networks", "resnet-small")
    trained = [("engines", "linear"), ("optimizers", "sgd"), ("schedules", "step")]
    found = {
        "prepare_dataset": (
            plan.stage("prepare_dataset", dataset="tiny-digits"),
            [("datasets", "digits")],
        ),
        "cache_features": (
            plan.stage(
                "cache_features",
                dataset="tiny-glyphs",
                backbone="tiny-backbone",
                split="val",
                shard="01",
                shards="02",
            ),
            [resnet],
        ),
        "train": (plan.stage("train", **runs.identity("tiny", run)), [linear, *trained]),
        "evaluate": (plan.stage("evaluate", **runs.identity("tiny", run)), [linear]),
        "plot": (plan.stage("plot", study="tiny", figure="confusion"), [("figures", "confusion")]),
    }
    for rule, (stage, used) in found.items():
        code = code_digest.code_digest(SCRIPTS / f"{rule}.py", used)
        assert stage.code == code
        for one in used:
            rest = [other for other in used if other != one]
            assert code_digest.code_digest(SCRIPTS / f"{rule}.py", rest) != code


def test_a_study_may_change_what_a_figures_name_sets(folder):
    path = folder / STUDY
    path.write_text(path.read_text() + "figures: {confusion-zoom: {first: 3}, weight-norm: }\n")
    drawn = load(folder).studies["tiny"].figures
    defaults = {"class_names": True, "weight_decay": "", "best": 9}
    assert drawn["confusion-zoom"].options == {"first": 3, "last": 75, **defaults}
    assert list(drawn) == ["confusion-zoom", "weight-norm"]


def test_the_confusions_that_figures_ask_for_are_counted(folder):
    def asked():
        plan = Plan(load(folder), SCRIPTS)
        return plan.stage("tabulate", study="tiny", maker="tables").recipe["confusion"]

    assert asked() == []
    path = folder / STUDY
    path.write_text(path.read_text() + 'figures: {confusion: {weight_decay: "1e-2"}}\n')
    assert asked() == ["1e-2"]


def test_a_manifest_is_stale_if_it_is_of_something_else_or_cannot_be_read(tmp_path):
    path, stage = tmp_path / "train.json", Stage({}, {"r": 1}, "c0de")
    assert not is_stale(str(path), stage.fingerprint)
    manifests.Manifest("train", {}, {"r": 1}, "c0de").write(path)
    assert not is_stale(str(path), stage.fingerprint)
    assert is_stale(str(path), Stage({}, {"r": 2}, "c0de").fingerprint)
    assert is_stale(str(path), Stage({}, {"r": 1}, "c0df").fingerprint)
    for damaged in ("", "{}", "[]", '{"recipe": {}}'):
        path.write_text(damaged)
        assert is_stale(str(path), stage.fingerprint)


def test_the_files_of_a_figure_are_looked_at_too(tmp_path):
    path, stage = tmp_path / "a.json", Stage({}, {"r": 1}, "c0de")
    entry = manifests.describe(tmp_path / "a.svg", files.write_bytes(tmp_path / "a.svg", b"<svg/>"))
    manifests.Manifest("plot", {}, {"r": 1}, "c0de", {}, {"a.svg": entry}).write(path)
    assert not is_stale(str(path), stage.fingerprint, whole=True)
    (tmp_path / "a.svg").write_bytes(b"<svg>>")
    assert is_stale(str(path), stage.fingerprint, whole=True)
    assert not is_stale(str(path), stage.fingerprint)
    (tmp_path / "a.svg").unlink()
    assert is_stale(str(path), stage.fingerprint, whole=True)


@pytest.mark.parametrize("shown", [True, False])
def test_a_gpu_is_wanted_where_it_is_asked_for_or_shown(shown):
    for elsewhere in (True, False):
        assert facts.gpu_wanted("cuda", elsewhere=elsewhere, here=shown)
        assert not facts.gpu_wanted("cpu", elsewhere=elsewhere, here=shown)
    assert facts.gpu_wanted("auto", elsewhere=False, here=shown) is shown
    assert not facts.gpu_wanted("auto", elsewhere=True, here=shown)


def test_it_is_evaluated_where_the_backbone_saw_the_same_dataset(folder):
    plan = Plan(load(folder), SCRIPTS)
    assert facts.has_baseline(plan.config, "tiny")
    assert not facts.has_baseline(plan.config, "tiny-images")
    assert "results/tiny/baseline/baseline.json" in targets.of_study(plan.config, "tiny")
    path = folder / "studies/tiny.yaml"
    path.write_text(path.read_text().replace("dataset: tiny-glyphs", "dataset: tiny-digits"))
    assert not facts.has_baseline(Plan(load(folder), SCRIPTS).config, "tiny")
    path.write_text(path.read_text() + "baseline: true\n")
    assert facts.has_baseline(Plan(load(folder), SCRIPTS).config, "tiny")
    path.write_text(path.read_text().replace("baseline: true", "baseline: false"))
    with pytest.raises(ConfigError, match="baseline: the study has none"):
        Plan(load(folder), SCRIPTS).stage("evaluate_baseline", study="tiny")


def test_a_baseline_needs_a_backbone(folder):
    said = broken(folder, "studies/tiny-images.yaml", "models:", "baseline: true\nmodels:")
    assert "baseline: true: needs a backbone" in said


def test_without_an_analysis_a_study_draws_what_needs_none(folder):
    path = folder / STUDY
    path.write_text("analyses: []\n" + path.read_text())
    config = load(folder)
    drawn = config.studies["tiny"].figures
    assert "best-lambda-test" in drawn
    assert not {"class-effects", "class-gain", "helped-harmed", "worst-classes"} & set(drawn)
    plan = Plan(config, SCRIPTS)
    assert (
        "null-best-lambda"
        not in plan.stage("plot", study="tiny", figure="best-lambda-test").recipe["tables"]
    )
    assert not [path for path in targets.of_study(plan.config, "tiny") if "class-effects" in path]
    with pytest.raises(ConfigError, match="analyses: the study has no 'classes'"):
        plan.stage("analyse", study="tiny", maker="classes")


def test_a_figure_reads_a_table_it_likes_where_the_study_makes_it(folder):
    plan = Plan(load(folder), SCRIPTS)
    assert (
        "null-best-lambda"
        in plan.stage("plot", study="tiny", figure="best-lambda-test").recipe["tables"]
    )
    assert {"results/tiny/tables/classes.json", "results/tiny/story.md"} <= set(
        targets.of_study(plan.config, "tiny")
    )


def test_the_stage_of_a_table_is_that_of_its_maker():
    stages = {maker: table_names.stage(maker) for maker in ("tables", "derived", "classes")}
    assert stages == {"tables": "tabulate", "derived": "tabulate", "classes": "analyse"}


def test_tables_have_names_and_files_of_their_own():
    everyone = [table_names.TABULATE, *kinds.names("analyses")]
    found = [pair for maker in everyone for pair in table_names.made_by(maker).items()]
    assert len({name for name, _ in found}) == len({file for _, file in found}) == len(found)


def test_a_warm_start_is_from_the_next_larger_lambda(folder):
    path = folder / STUDY
    text = path.read_text().replace(EXACT, "    algorithm: {kind: exact, warm_start: true}\n")
    path.write_text(text.replace('["0", "1e-2"]', '["1e-3", "0", "1e-2"]'))
    plan = Plan(load(folder), SCRIPTS)
    labels = ("0", "1e-3", "1e-2")
    by_label = {x: runs.identity("tiny", Run("linear", "sgd", x, 0)) for x in labels}
    starts = {x: plan.stage("train", **by_label[x]).recipe["warm_start"] for x in labels}
    assert starts == {"0": "1e-3", "1e-3": "1e-2", "1e-2": None}
    told = plan.stage("train", **by_label["0"])
    assert (told.recipe["engine"], told.recipe["optimizer"]["epochs"]) == ("exact", 1)
    neighbour = plan.stage("train", **by_label["1e-3"]).fingerprint
    place = paths.manifest("train", by_label["1e-3"])
    assert plan.expected("train", **by_label["0"]) == {place: neighbour}
    assert plan.expected("train", **by_label["1e-2"]) == {}
    path.write_text(path.read_text().replace("warm_start: true", "warm_start: false"))
    cold = Plan(load(folder), SCRIPTS).stage("train", **by_label["0"])
    assert cold.recipe["warm_start"] is None


def test_a_run_that_learns_from_val_reads_it_and_asks_for_its_memory(folder):
    path = folder / STUDY
    path.write_text("per_class: [val, refit]\nanalyses: [classes, rivals]\n" + path.read_text())
    config = load(folder)
    plan = Plan(config, SCRIPTS)
    own, refit = (Run("linear", "sgd", f"per-class-{way}", 0) for way in ("val", "refit"))
    recipes_ = [plan.stage("train", **runs.identity("tiny", run)).recipe for run in (own, refit)]
    assert [each["training"].get("train_on") for each in recipes_] == [None, ["train", "val"]]
    splits = [facts.training_splits(config, "tiny", run) for run in (own, refit)]
    assert splits == [["train"], ["train", "val"]]
    # The table of rivals reads all of these, and the backbone's own last layer.
    told = plan.stage("analyse", study="tiny", maker="rivals")
    assert told.recipe["ways"] == ["val", "refit"]
    assert told.uses == (("analyses", "rivals"), ("networks", "linear"))
    assert plan.stage("analyse", study="tiny", maker="classes").uses == (("analyses", "classes"),)
    assert told.recipe["baseline"] == facts.has_baseline(config, "tiny")
    assert ("evaluate", runs.identity("tiny", refit)) in told.inputs
    assert (("evaluate_baseline", {"study": "tiny"}) in told.inputs) == told.recipe["baseline"]
    assert needs.analyse(config, "tiny", "rivals").minutes >= 10
    sizes = needs.sizes(config, config.studies["tiny"].data)
    large = dataclasses.replace(sizes, images=dict.fromkeys(sizes.images, 25_000), classes=1000)
    # At ImageNet's size, the logits of four heads are held, however many there are.
    asked = [needs._refitting(heads, large, ("val", "test")) for heads in (1, 11, 9999)]
    assert 300 <= asked[1].megabytes - asked[0].megabytes <= 500
    assert asked[1].megabytes == asked[2].megabytes
    assert asked[2].minutes > asked[1].minutes


def test_a_run_with_a_lambda_per_class_starts_from_no_neighbour_and_asks_for_every_fold(folder):
    path = folder / STUDY
    text = path.read_text().replace(EXACT, "    algorithm: {kind: exact, warm_start: true}\n")
    path.write_text("per_class: {hypergradient: {folds: 3}}\n" + text)
    config = load(folder)
    plan, run = Plan(config, SCRIPTS), Run("linear", "sgd", "per-class-hypergradient", 0)
    recipe = plan.stage("train", **runs.identity("tiny", run)).recipe
    assert recipe["training"]["warm_start"] is None
    asked = needs.choose_weight_decay(config, "tiny", "hypergradient")
    alone = needs.train(config, "tiny", **vars(run))
    assert asked == (2 * alone.megabytes, 3 * alone.minutes)
