"""The texts of a workspace's files, with a comment for each line that one may want to change."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from cobaye.data import suggestion
from cobaye.workspace import texts
from cobaye.workspace.location import SNAKEFILE, installed, shipped

# Texts that need no quotes in YAML.
WORDS = ("all", "train", "val", "test", "exact", "sgd", "step")
# What an editor is told of a config file, and the schemas that it is told to look at.
SCHEMA_LINE = "# yaml-language-server: $schema="
SCHEMAS = ("config", "datasets", "backbones", "study")
# Images that the backbone's training visits, all epochs together, and the most epochs.
VISITS, MOST_EPOCHS = 60_000, 100
# s of `suggestion` for the features of the small ResNet: their scale is its option feature_scale.
BACKBONE_SCALE = 1.0
BACKBONE_DECAY = "5e-4"


def common(name: str) -> dict[str, str]:
    """Return the files that every workspace has."""
    if installed():
        imports, snakefile = "from cobaye.workspace.location import SNAKEFILE\n", "SNAKEFILE"
    else:
        imports, snakefile = "", json.dumps(str(SNAKEFILE), ensure_ascii=False)
    profile = "profiles/default/config.yaml"
    return {
        "Snakefile": texts.MODULE.format(imports=imports, snakefile=snakefile),
        "config/config.yaml": texts.CONFIG.format(name=name),
        profile: shipped(profile).read_text(encoding="utf-8"),
    }


def for_editors(files: Mapping[str, str]) -> dict[str, str]:
    """Return a workspace's files with the schemas of its config, which each config file names."""
    schemas = {}
    for name in SCHEMAS:
        path = f"config/schemas/{name}.json"
        schemas[path] = shipped(path).read_text(encoding="utf-8")
    return {path: _headed(path, text) for path, text in files.items()} | schemas


def _headed(path: str, text: str) -> str:
    folder, _, file = path.rpartition("/")
    name = file.removesuffix(".yaml")
    place = {"config": f"schemas/{name}", "config/studies": "../schemas/study"}.get(folder)
    if name == file or place is None or text.startswith(SCHEMA_LINE):
        return text
    return f"{SCHEMA_LINE}{place}.json\n{text}"


def dataset(name: str, kind: str, options: Mapping[str, Any]) -> str:
    """Return datasets.yaml with one dataset."""
    lines = [line for key, value in options.items() for line in _lines(key, value)]
    return (
        texts.DATASET.format(about=texts.ABOUT[kind], name=name, kind=kind)
        + "\n".join(lines)
        + "\n"
    )


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
    return texts.BACKBONE.format(name=name, decay=BACKBONE_DECAY)


def callable_backbone(name: str, backbone: str) -> str:
    """Return backbones.yaml with a network that other code gives."""
    return texts.CALLABLE.format(name=name, backbone=_flow(backbone))


def study_of_backbone(name: str, images: int) -> str:
    """Return the study that trains the backbone on so many images."""
    epochs = max(10, min(MOST_EPOCHS, round(VISITS / images)))
    return texts.BACKBONE_STUDY.format(
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
        (texts.SGD if "learning_rate" in recipe else texts.EXACT).format(**flow),
        about,
        scale.logits,
    )


def study_of_images(name: str) -> str:
    """Return the study of the features of the backbone that is trained on the images."""
    about = "The range suits features\n# of the small ResNet."
    return _study_on(name, "a small ResNet", f"{name}-resnet-small", about)


def study_of_callable(name: str, backbone: str) -> str:
    """Return the study of the features of a backbone that other code gives."""
    about = "How large the features\n# are is not known yet."
    return _study_on(name, backbone, f"{name}-backbone", about)


def _study_on(name: str, network: str, backbone: str, about: str) -> str:
    return _study(
        f"# One weight decay for every class? The last layer on the features of {network}.\n",
        f"dataset: {name}\nbackbone: {backbone}\n",
        texts.EXACT.format(algorithm=_flow({"kind": "exact", "gradient_norm": 1e-5})),
        about,
        BACKBONE_SCALE,
    )


def _study(head: str, data: str, optimizer: str, about: str, logits: float) -> str:
    labels = ", ".join(f'"{label}"' for label in suggestion.weight_decays(logits))
    decays = texts.DECAYS.format(about=about, labels=labels)
    output = texts.OUTPUT.format(figures=", ".join(texts.FIGURES))
    return "\n".join([head + data, texts.LINEAR, optimizer, decays, output])


def renamed(text: str, study: str, name: str) -> str:
    """Return the text of a shipped study as that of another name: its command is changed."""
    return re.sub(rf"(snakemake --cores all) {re.escape(study)}$", rf"\1 {name}", text, flags=re.M)


def entries(title: str, content: Mapping[str, Any]) -> str:
    """Return a file of shipped entries."""
    head = f"# {title} by name, as they come with the workflow.\n"
    body = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True) if content else ""
    return head + body
