"""The texts that a workspace's files are made of: `templates` fills them in."""

from __future__ import annotations

NO_BACKBONE = "# Backbones by name: none is needed for features that are ready.\n"

CONFIG = """\
# The studies that `snakemake --cores all` builds. Each name is a target too.
studies: [{name}]

# auto: the GPU if this machine has one, else the CPU. cpu. cuda.
device: auto

# Share of the machine's memory. Features that would take more are read by memory map.
memory_share: 0.5
"""

DATASET = """\
# Datasets by name. No image is in two splits: train is learned from, val chooses λ, and test is
# reported on. A fraction is drawn within each class.
{about}
{name}:
  kind: {kind}
"""

ABOUT = {
    "features": "# `class_names` may name a file that holds one name per line, in label order.",
    "image-folder": "# The backbone resizes images in its own way.",
    "image-folder-resized": "# Images become squares of `size` pixels a side.",
}

MODULE = """\
# The workflow cobaye, used as a module on the files in config/ of this folder:
#
#     snakemake --cores all
{imports}

configfile: "config/config.yaml"


module cobaye:
    snakefile:
        {snakefile}
    config:
        config


use rule * from cobaye


# The checks before the first job, such as for missing data. Snakemake drops them from a module.
onstart:
    cobaye.onstart()


# The answer, in a few lines.
onsuccess:
    cobaye.onsuccess()
"""

LINEAR = """\
# What is trained: the last layer, softmax regression on the features.
models:
  linear: {kind: linear}
"""

EXACT = """\
# How: the optimum itself, by full-batch Newton steps. gradient_norm: where the solver stops,
# about 1e-5 of the gradient at zero weights.
optimizers:
  exact:
    algorithm: {algorithm}
"""

SGD = """\
# How: these data are large, so by SGD. The learning rate is 50 over the mean squared length of a
# row of features. If a run diverges, divide it by 3.
optimizers:
  sgd:
    algorithm: {algorithm}
    learning_rate: {learning_rate}
    schedule: {schedule}
    batch_size: {batch_size}
    epochs: {epochs}
"""

DECAYS = """\
# λ of λ/2 ‖θ‖² beside the mean cross-entropy, in half decades. {about}
# If the best λ is the first or the last one, add larger or smaller ones: only these are trained.
weight_decays: [{labels}]
"""

OUTPUT = """\
# What is asked of the finished runs: how classes differ, in which measures, against which rivals.
analyses: [classes, measures, rivals]

# What is drawn. Without this line, figures of train and val and curves over epochs are added.
figures: [{figures}]

# Train is evaluated at the last epoch only.
train_epochs: last
"""

FIGURES = (
    "class-loss-test",
    "best-lambda-test",
    "class-effects",
    "class-gain",
    "helped-harmed",
    "worst-classes",
    "confusion",
    "measures",
    "calibration",
    "rivals",
    "weight-norm",
)

BACKBONE_STUDY = """\
# The backbone of the study `{name}`: a small ResNet, trained on the training images.
dataset: {name}
models:
  resnet-small: {{kind: resnet-small}}
optimizers:
  sgd:
    algorithm: {{kind: sgd, momentum: 0.9}}
    learning_rate: 0.05
    schedule: {{kind: cosine}}
    batch_size: 64
    # About {visits} visits of images in all, at most {most} epochs. More may give better features.
    epochs: {epochs}
    normalize: channel
weight_decays: ["{decay}"]
train_epochs: last
analyses: []
figures: [train-curves, test-curves]
"""

BACKBONE = """\
# Backbones by name. A backbone is a trained network without its last layer.

# The network that the study `{name}-backbone` trains on these images. A network that saw more
# images gives better features: `cobaye init` has the option --backbone. One of torchvision
# instead of `run`, its weights downloaded: `torchvision: {{model: resnet18}}`, and
# in datasets.yaml `kind: image-folder` without `size`.
{name}-resnet-small:
  run:
    study: {name}-backbone
    model: resnet-small
    optimizer: sgd
    weight_decay: "{decay}"
"""

CALLABLE = """\
# Backbones by name. A backbone is a trained network without its last layer.

# callable: a network of timm or open_clip, or a function of this folder, which returns a torch
# module and its transform. Its code is hashed: after an edit, the features are computed anew.
{name}-backbone:
  callable: {backbone}
  batch_size: 64
  # Files that the function reads, such as its weights: `reads: [weights.pth]`.
  # With two or more threads, as many processes decode images.
  threads: 2
"""
