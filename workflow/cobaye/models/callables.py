"""Callables: networks without a last layer, and their transforms, as other Python code gives them.

`timm:<name>` and `open_clip:<name>/<weights>` are networks of those packages. `module:function` is
a function of the workspace: it takes nothing and returns a torch module and a transform. The
transform takes a PIL image (RGB) to a tensor, the module a stack of these to features (N, D).

The job that stores the weights calls it, and each job that computes features does so again and then
loads the stored weights: all features come from one network, whatever the function draws.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from cobaye.errors import DataError, StaleFile
from cobaye.models.foreign_code import Place, in_one_line
from cobaye.recipes import study
from cobaye.storage import machine, own_code
from cobaye.storage.jobs import Job

Transform = Callable[[Image.Image], Tensor]


def problems(backbone: study.Backbone) -> list[str]:
    """Return what would stop the preparation of a callable, as sentences. It is not called."""
    missing = [f"reads: {file} is missing" for file in backbone.reads if not Path(file).is_file()]
    package = _missing_package(backbone.callable)
    return [f"callable: {backbone.callable}: {package}", *missing] if package else missing


def prepared(job: Job) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights of a callable, and what its manifest says of them.

    job.recipe: {"callable": its name, "source": file → sha256 of its code, "reads": files}.
    """
    place = Place(job.identity["backbone"], job.recipe, job.root)
    network, _ = _made(place, weights=True)
    with place.one_message():
        state = network.state_dict()
        for name, tensor in state.items():
            if not isinstance(tensor, Tensor):
                raise DataError(f"{place}: its state_dict has {name!r}, which is no tensor")
        # Copies, since safetensors refuses tensors that share their memory.
        tensors = {name: tensor.detach().clone() for name, tensor in state.items()}
    others = own_code.source(place.name, job.root).others
    return tensors, {"resize": None, "not_hashed": _versions(others)}


class Called(nn.Module):
    """A callable's network with its stored weights; what it gives is checked."""

    def __init__(self, place: Place, tensors: dict[str, Tensor]):
        super().__init__()
        machine.keep_freed_memory()
        self.place, self.width = place, None
        self.network, transform = _made(place, weights=False)
        try:
            self.network.load_state_dict(tensors)
        except RuntimeError as error:
            raise DataError(
                f"{place}: returned another network than when its weights were stored: "
                f"{in_one_line(error)}"
            ) from None
        self.see = View(transform, place)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (n, D) of n transformed images."""
        with self.place.one_message():
            found = self.network(images)
        is_rows = isinstance(found, Tensor) and found.is_floating_point() and found.ndim == 2
        if not is_rows or found.shape != (len(images), self.width or found.shape[1]):
            raise DataError(
                f"{self.place}: its network gave {_described(found)} for {len(images)} images, not "
                f"floats ({len(images)}, {self.width or 'D'}): one row of features per image"
            )
        self.width = found.shape[1]
        return found


class View:
    """A callable's transform; what it gives is checked: tensors of one shape."""

    def __init__(self, transform: Transform, place: Place):
        self.transform, self.place = transform, place
        self.shape: torch.Size | None = None

    def __call__(self, image: Image.Image) -> Tensor:
        """Return an image (RGB) as the network takes it."""
        with self.place.one_message():
            seen = self.transform(image)
        if not isinstance(seen, Tensor) or seen.shape != (self.shape or seen.shape):
            before = f" after {tuple(self.shape)}" if self.shape else ""
            raise DataError(
                f"{self.place}: its transform gave {_described(seen)}{before}: it must give "
                "tensors of one shape"
            )
        self.shape = seen.shape
        return seen


def _made(place: Place, weights: bool) -> tuple[nn.Module, Transform]:
    """Return the network and the transform of a callable. weights: whether its own are needed."""
    if missing := _missing_package(place.name):
        raise DataError(f"{place}: {missing}")
    origin, _, name = place.name.partition(":")
    with place.one_message():
        if origin == "timm":
            made = _timm(name, weights)
        elif origin == "open_clip":
            made = _open_clip(*name.split("/", 1))
        else:
            made = getattr(_imported(origin, place), name)()
    if own_code.source(place.name, place.root).files != place.source:
        raise StaleFile(
            f"{place}: its code was edited after this job was planned: run the same command again"
        )
    if (
        not (isinstance(made, tuple) and len(made) == 2)
        or not isinstance(made[0], nn.Module)
        or not callable(made[1])
    ):
        raise DataError(
            f"{place}: returned {_described(made)}, not a pair: a torch.nn.Module and its "
            "transform, a function from a PIL image to a tensor"
        )
    return made[0].eval(), made[1]


def _timm(name: str, weights: bool) -> tuple[nn.Module, Transform]:
    import timm
    import timm.data

    network = timm.create_model(name, pretrained=weights, num_classes=0)
    seen = timm.data.resolve_model_data_config(network)
    return network, timm.data.create_transform(**seen, is_training=False)


def _open_clip(name: str, weights: str) -> tuple[nn.Module, Transform]:
    import open_clip

    # The transform is that of the weights, so these are named in every job.
    network, _, transform = open_clip.create_model_and_transforms(name, pretrained=weights)
    return _ImageEncoder(network), transform


class _ImageEncoder(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.encode_image(images)


def _imported(module: str, place: Place) -> Any:
    """Return a module of the workspace, whose other modules it may import."""
    folder, file = str(place.root.resolve()), own_code.file_of(module, place.root)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found = importlib.import_module(module)
    if Path(getattr(found, "__file__", None) or "").resolve() != file.resolve():
        raise DataError(f"{place}: Python has another module {module!r}: rename {file.name}")
    return found


def _missing_package(name: str) -> str | None:
    package = name.partition(":")[0]
    if package not in own_code.PACKAGES or importlib.util.find_spec(package):
        return None
    return f"the package {package} is missing: pip install {own_code.PACKAGES[package]}"


def _versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the versions of packages, by the names that imports use; None: not known."""
    known = _distributions()
    return {
        package: importlib.metadata.version(known[package][0]) if package in known else None
        for package in packages
    }


# It reads a file of each package that is installed: a fifth of a second.
_distributions = functools.cache(importlib.metadata.packages_distributions)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    return f"a {type(value).__name__}"
