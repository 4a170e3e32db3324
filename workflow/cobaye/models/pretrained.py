"""Torchvision's pretrained weights, downloaded to torch's cache where they are not there.

The name of most files ends with the beginning of its sha256, as in ``resnet18-f37072fd.pth``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cobaye.errors import DataError
from cobaye.models import backbones
from cobaye.storage import downloads, files
from cobaye.storage.jobs import Job


def fetch_weights(job: Job) -> Path:
    """See that torchvision's weights of a backbone are there; return a manifest that covers none.

    job.recipe: {"model": the network, "weights": torchvision's name of the weights, "download":
    whether they may be}. Raises DataError where they cannot or may not be downloaded, and for
    damaged ones.
    """
    weights = backbones.known_weights(job.recipe)
    try:
        if not job.recipe["download"] and not backbones.cached(weights).is_file():
            raise DataError(f"{backbones.cached(weights)} is missing: set download: true")
        fetch(weights)
    except DataError as error:
        raise DataError(f"{job.identity['backbone']}: {error}") from None
    return job.publish({})


def fetch(weights: Any) -> Path:
    """Return the file of some of torchvision's weights, checked, and downloaded if it was missing.

    Raises DataError as `fetch_weights` does.
    """
    path = backbones.cached(weights)
    named = torch.hub.HASH_REGEX.search(path.name)
    prefix = named[1] if named else ""
    if not path.is_file():
        cure = f"put it at {path}, or anywhere and name it by file: in backbones.yaml"
        downloads.download(
            [weights.url],
            path,
            lambda url, to: torch.hub.download_url_to_file(url, str(to), prefix),
            cure,
        )
    elif not (found := files.sha256(path)).startswith(prefix):
        raise DataError(
            f"{path}: its sha256 should begin with {prefix}, as its name says, and is {found}: "
            "remove it and, with download: true, run the same command again"
        )
    return path
