"""The texts of a workspace's files, with a comment for each line that one may want to change."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from cobaye.workspace import suggestion
from cobaye.workspace.location import SNAKEFILE, installed, shipped

NO_BACKBONE = "# Backbones by name: none is needed for features that are ready.\n"
# Texts that need no quotes in YAML.
WORDS = ("all", "train", "val", "test", "exact", "sgd", "step")
# Images that the backbone's training visits, all epochs together, and the most epochs.
VISITS, MOST_EPOCHS = 60_000, 100
# s of `suggestion` for the features of the small ResNet: their scale is its option feature_scale.
BACKBONE_SCALE = 1.0
BACKBONE_DECAY = "5e-4"

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
threads: 2
analyses: []
figures: [train-curves, test-curves]
"""

BACKBONE = """\
# Backbones by name. A backbone is a trained network without its last layer.

# The network that the study `{name}-backbone` trains on these images. A network that saw more
# images gives better features. One of torchvision's instead of `run`, its weights downloaded:
# `torchvision: {{model: resnet18, download: true}}`, and in datasets.yaml `kind: image-folder`
# without `size`.
{name}-resnet-small:
  run:
    study: {name}-backbone
    model: resnet-small
    optimizer: sgd
    weight_decay: "{decay}"
"""


def common(name: str) -> dict[str, str]:
    """Return the files that every workspace has."""
    if installed():
        imports, snakefile = "from cobaye.workspace.location import SNAKEFILE\n", "SNAKEFILE"
    else:
        imports, snakefile = "", json.dumps(str(SNAKEFILE), ensure_ascii=False)
    profile = "profiles/default/config.yaml"
    return {
        "Snakefile": MODULE.format(imports=imports, snakefile=snakefile),
        "config/config.yaml": CONFIG.format(name=name),
        profile: shipped(profile).read_text(encoding="utf-8"),
    }


def dataset(name: str, kind: str, options: Mapping[str, Any]) -> str:
    """Return datasets.yaml with one dataset."""
    lines = [line for key, value in options.items() for line in _lines(key, value)]
    return DATASET.format(about=ABOUT[kind], name=name, kind=kind) + "\n".join(lines) + "\n"


def _lines(key: str, value: Any) -> list[str]:
    """Return an option, a mapping's entries on lines of their own."""
    if not isinstance(value, Mapping):
        return [f"  {key}: {_flow(value)}"]
    return [f"  {key}:", *(f"    {each}: {_flow(entry)}" for each, entry in value.items())]


def _flow(value: Any) -> str:
    """Return YAML on one line: texts are quoted, but for plain words."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, str) and value in WORDS:
        return value
    if isinstance(value, float):
        # YAML takes 1e-5 for a text.
        return re.sub(r"^(\d+)e", r"\1.0e", repr(value))
    return json.dumps(value, ensure_ascii=False)


def trained_backbone(name: str) -> str:
    """Return backbones.yaml with the network that a study of the workspace trains."""
    return BACKBONE.format(name=name, decay=BACKBONE_DECAY)


def study_of_backbone(name: str, images: int) -> str:
    """Return the study that trains the backbone on so many images."""
    epochs = max(10, min(MOST_EPOCHS, round(VISITS / images)))
    return BACKBONE_STUDY.format(
        name=name, epochs=epochs, visits=VISITS, most=MOST_EPOCHS, decay=BACKBONE_DECAY
    )


def study_of_features(name: str, scale: suggestion.Scale) -> str:
    """Return the study of features of a known scale."""
    recipe = suggestion.optimizer(scale)
    flow = {key: _flow(value) for key, value in recipe.items()}
    about = (
        f"The first is near {scale.logits:.2g}, where\n# the logits of the optimum have a root "
        "mean square of about 1 (by the scale of the features)."
    )
    size = f"{scale.rows} training rows of {scale.width} features, {scale.classes} classes"
    return _study(
        f"# One weight decay for every class? {size}.\n",
        f"dataset: {name}\n",
        (SGD if "learning_rate" in recipe else EXACT).format(**flow),
        about,
        scale.logits,
    )


def study_of_images(name: str) -> str:
    """Return the study of the features of the backbone that is trained on the images."""
    algorithm = {"kind": "exact", "gradient_norm": 1e-5}
    return _study(
        "# One weight decay for every class? The last layer on the features of a small ResNet.\n",
        f"dataset: {name}\nbackbone: {name}-resnet-small\n",
        EXACT.format(algorithm=_flow(algorithm)),
        "The range suits features\n# of the small ResNet.",
        BACKBONE_SCALE,
    )


def _study(head: str, data: str, optimizer: str, about: str, logits: float) -> str:
    labels = ", ".join(f'"{label}"' for label in suggestion.weight_decays(logits))
    decays = DECAYS.format(about=about, labels=labels)
    output = OUTPUT.format(figures=", ".join(FIGURES))
    return "\n".join([head + data, LINEAR, optimizer, decays, output])


def renamed(text: str, study: str, name: str) -> str:
    """Return the text of a shipped study as that of another name: its command is changed."""
    return re.sub(rf"(snakemake --cores all) {re.escape(study)}$", rf"\1 {name}", text, flags=re.M)


def entries(title: str, content: Mapping[str, Any]) -> str:
    """Return a file of shipped entries."""
    head = f"# {title} by name, as they come with the workflow.\n"
    body = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True) if content else ""
    return head + body
