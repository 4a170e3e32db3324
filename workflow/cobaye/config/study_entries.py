"""The keys of a study file: types, defaults, bounds, and after ``#:`` their meanings."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, with_config
from pydantic.dataclasses import dataclass

from cobaye import recipes
from cobaye.config.entries import LARGEST, STRICT, Count, Seed, Strict, WithOptions
from cobaye.recipes.expected_value import ExpectedValue
from cobaye.recipes.study import FIGURE_WIDTH, Engine

# Names, each with options or None; written as a list where none has options.
Named = Annotated[
    dict[str, dict[str, Any] | None],
    BeforeValidator(lambda given: dict.fromkeys(given) if _are_names(given) else given),
    WithJsonSchema({"title": "list of names, or name → options"}),
]
# λ as text, as it stands in paths.
LABEL = re.compile(r"[0-9.]+(e[-+]?[0-9]+)?")
# Values that are checked where their error can say why: editors are told what is checked there.
Label = Annotated[Any, WithJsonSchema({"type": "string", "pattern": f"^{LABEL.pattern}$"})]
Keep = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["all"]},
                {"enum": ["last"]},
                {
                    "title": "`every n`",
                    "type": "string",
                    "pattern": "^every ([2-9]|[1-9][0-9]{1,3})$",
                },
            ]
        }
    ),
]
# Parts of recipes that are written in config files as they are.
for part in (recipes.EarlyStop, recipes.Stop, recipes.Start, ExpectedValue):
    with_config(STRICT)(part)


class ModelEntry(WithOptions):
    """An entry of a study's `models`."""

    #: The loss that is minimised beside the penalty: cross-entropy in nats, ½ ‖z − y‖² with
    #: one-hot targets, or ½ ‖softmax(z) − y‖². By default `cross-entropy`, and `squared-error` for
    #: `perceptron`. In the files, tables and figures of the model's runs, "loss" is this loss, and
    #: the best λ is chosen by it.
    loss: recipes.Loss | None = None
    #: Starting weights; by default they are random.
    start: recipes.Start | None = None
    #: The parts that are trained, of the network's `PARTS`: `[layer4, head]`. By default all.
    #: Frozen parameters are constants: they count neither in the penalty nor in the norms of
    #: history.csv. Batch norm in a frozen part still normalises by the batch, and its running
    #: statistics still follow the data. Dropout stays on.
    train_only: list[str] | None = Field(default=None, min_length=1)


@dataclass(frozen=True, config=STRICT)
class PhaseEntry(recipes.Phase):
    """A phase of a training, its algorithm not yet checked."""

    #: `kind` and its options, as in a recipe.
    algorithm: WithOptions
    #: Learning rate of the phase's first epoch; `null` for an algorithm that has none.
    learning_rate: float | None = Field(le=LARGEST)


class OptimizerEntry(Strict):
    """An entry of a study's `optimizers`: a training recipe."""

    #: Entries of the study's `models` that the recipe trains; by default all. A study may so
    #: consist of chosen (model, optimizer) pairs, such as the steps of an ablation. They are
    #: ordered by `models`, then by `optimizers`.
    models: list[str] | None = Field(default=None, min_length=1)
    #: Values of the study's `weight_decays` that the recipe is trained with, such as `["0"]` beside
    #: an optimizer with `["0.002"]`; by default all. Each value of the study must have an
    #: optimizer.
    weight_decays: list[Any] | None = Field(default=None, min_length=1)
    #: What makes the steps: `kind` and its options. Needed, unless there are `phases`.
    algorithm: WithOptions | None = None
    #: An optimizer that changes at given epochs, instead of `algorithm` and `learning_rate`.
    phases: list[PhaseEntry] | None = Field(default=None, min_length=2)
    #: Learning rate of the first epoch. Needed by every algorithm but `exact`.
    learning_rate: float | None = Field(default=None, gt=0, le=LARGEST)
    #: How the learning rate changes from epoch to epoch: `kind` and its options.
    schedule: WithOptions = WithOptions(kind="constant")
    #: Images per step. The last batch of an epoch is smaller if need be. Needed by every algorithm
    #: but `exact`.
    batch_size: Count | None = None
    #: Largest number of epochs that are trained. Needed by every algorithm but `exact`.
    epochs: Annotated[int, Field(ge=1, le=9999)] | None = None
    #: Normalisation of images. `global`: by the training split's mean and standard deviation over
    #: all channels. `channel`: by those of each channel. `zca`: whitening. `none`: division by 255.
    #: A study on features allows `none` only.
    normalize: recipes.Normalize = "none"
    #: Order of each epoch's images. `full`: a random permutation. `blocks`, for features on a disk:
    #: runs of 256 rows from random places, 64 runs at a time shuffled together.
    shuffle: recipes.Shuffle = "full"
    #: λ₁ of λ₁ ‖θ‖₁ in the objective, over the same θ as λ. Every algorithm adds its subgradient
    #: λ₁ sign θ to the gradient.
    l1: float = Field(default=0.0, ge=0, le=LARGEST)
    #: Largest norm of each unit's incoming weights: after each step, larger ones are scaled down to
    #: it. A unit is a row or an output channel of a weight of two or more dimensions, the last
    #: layer included. Biases and scales are left.
    max_norm: float | None = Field(default=None, gt=0, le=LARGEST)
    #: Rules that end a training before `epochs`.
    stop: recipes.Stop = recipes.Stop()
    #: Random changes of images, in this order: a list of `kind` with options.
    augment: list[WithOptions] = Field(default=[])
    #: ε of `normalize: zca`, for pixels between 0 and 1.
    zca_epsilon: float = Field(default=1e-6, gt=0)


class SampleEntry(Strict):
    """A random sample of a study's (model, optimizer) pairs."""

    #: Number of pairs.
    count: Count
    #: Seed of the draw.
    seed: Seed = 0


class DerivedEntry(Strict):
    """An entry of a study's `derived`: the best of its grid, trained again for more epochs."""

    #: Number of configurations, from the best on.
    best: Annotated[int, Field(ge=1, le=99)]
    #: Entries of `models` that compete; by default all.
    among: list[str] | None = Field(default=None, min_length=1)
    #: Epochs of each of these runs.
    epochs: Annotated[int, Field(ge=1, le=9999)]


class StudyFile(Strict):
    """A file of studies/."""

    #: A name of datasets.yaml.
    dataset: str
    #: A name of backbones.yaml. With a backbone, the study trains on its features of the images;
    #: without one, on the images.
    backbone: str | None = None
    #: Two or more names of backbones.yaml in place of `backbone`.
    backbones: list[str] | None = Field(default=None, min_length=2)
    #: Name → `kind` of network, its options, and the keys of a model.
    models: dict[str, ModelEntry] = Field(min_length=1)
    #: Name → a training recipe.
    optimizers: dict[str, OptimizerEntry] = Field(min_length=1)
    #: Values of λ, as **text** that stands in paths as it is: `["0", "1e-4", "3.162e-4"]`; finite,
    #: ≥ 0, no number twice. An optimizer without a list of its own is trained with all of them. λ
    #: is the coefficient of λ/2 ‖θ‖² beside the mean cross-entropy: torch's `weight_decay`,
    #: scikit-learn's 1/(C·N), twice Keras's `l2`.
    weight_decays: list[Label] = Field(min_length=1)
    #: Seeds of the initial weights and of the order of the images. All runs with one seed share
    #: both.
    seeds: list[Seed] = Field(default=[0], min_length=1)
    #: Whether θ in the penalty includes the biases: `true` as in torch, `false` as in scikit-learn.
    penalize_bias: bool = True
    #: Whether θ includes the scales of normalisation layers. With `penalize_bias` and this both
    #: `false`, the penalty is on kernels only, as in Keras's `kernel_regularizer` (whose `l2` is
    #: λ/2).
    penalize_scales: bool = True
    #: Checkpoints that are evaluated on the training split: every one, or that of the last epoch
    #: (with `choose_epoch: best-val`, of the chosen one). With `every`, the training split is half
    #: the work of `evaluate`. With `last`, each class's mean train loss is recorded while an epoch
    #: is trained instead, unless hidden layers are trained `together`: table
    #: `classes-while-training`.
    train_epochs: recipes.TrainEpochs = "every"
    #: The epoch whose weights stand for a run in tables, figures and choices. `best-val`: that of
    #: lowest mean loss on val among the trained ones, the earliest of equals; test has no part in
    #: it. Scores by epoch still show all epochs, and tables/best-lambda.csv has the scores of the
    #: last one too (`last_val_loss`, …). It needs `keep: all`.
    choose_epoch: recipes.ChooseEpoch = "last"
    #: Checkpoints of a run that stay: `all`; `every n`, with n from 2 on; `last`.
    keep: Keep = "all"
    #: Threads of each training.
    threads: Count = 1
    #: Whether the backbone's original last layer is evaluated on the same features; by default
    #: where the backbone was trained on the study's dataset. The scores go to
    #: `results/<study>/baseline/`, the table `baseline` and a dashed line in the figures. Its
    #: classes must be those of the dataset, in number and, where its weights name them, in name. A
    #: `callable` has no last layer: `true` is refused.
    baseline: bool | None = None
    #: The code that trains. `auto`: closed-form gradients for `linear` and `perceptron`, automatic
    #: differentiation for other networks. `torch`: automatic differentiation for all. `numpy`: the
    #: network from scratch (`workflow/cobaye/training/scratch/`), for `linear`, `perceptron` and
    #: `mlp` without batch norm, by `sgd` without Nesterov, on the processor. With one seed, all
    #: three start at the same weights and visit the images in the same order.
    engine: Engine = "auto"
    #: Precision of parameters, inputs and steps in training. Evaluation computes in `float32`.
    #: `bfloat16`: a last layer's matrix products take features, weights and residuals as bfloat16;
    #: weights, momentum and losses stay float32. It needs a processor or GPU with such products. On
    #: `glyphs` and `glyphs1000` (its five largest λ), test losses differ by 0.0003 nats at most;
    #: the best λ is the same.
    precision: recipes.Precision = "float32"
    #: Train a random sample of the (model, optimizer) pairs. A hash of seed and names draws it, so
    #: it is the same on any machine, and a larger count adds to it.
    sample: SampleEntry | None = None
    #: Splits that are scored after training; `val` must be among them. Without `test`, the study
    #: has no figure or analysis of test, and only the run that is best on validation is scored on
    #: it. In every study, `results/<study>/best/best.csv` has this run and its scores on test.
    evaluate_splits: list[recipes.Split] = Field(default=["train", "val", "test"])
    #: Whether runs are trained side by side. One job then trains a group of runs of equal depth,
    #: activation, batch size, epochs and seed. Features on a disk are then read once per epoch for
    #: all runs of a group.
    together: bool = False
    #: Runs that repeat the best of the study's grid: name → how many, of which models, for how many
    #: epochs.
    derived: dict[str, DerivedEntry] = Field(default={})
    #: Ways of choosing a λ for each class: a list of kinds, or kind → options.
    per_class: Named = Field(default={})
    #: Analyses of the finished runs: a list of kinds, or kind → options. `[]`: none. By default
    #: `[classes, measures]`; none where every optimizer has a single λ, and none without `test` in
    #: `evaluate_splits`.
    analyses: Named | None = None
    #: A list of names, or name → options. By default those of a last-layer study, but for figures
    #: whose analysis is not listed, where every optimizer has a single λ, figures about λ, and of a
    #: dataset known to have fewer than 50 classes, `confusion-zoom`.
    figures: Named | None = None
    #: Width of all figures in inches: that of the column they will stand in. Texts have 6 to 8
    #: points at this width.
    figure_width: float = Field(default=FIGURE_WIDTH, ge=3, le=20)
    #: Values that the study should find, such as those of a report: a list. `tables/expected.csv`
    #: has what was obtained beside them. A value out of its tolerance, or that is not there, is a
    #: warning at the end of the run. Changes of this key make that table again, and nothing else.
    expected: list[ExpectedValue] = Field(default=[])


def _are_names(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(each, str) for each in given)
