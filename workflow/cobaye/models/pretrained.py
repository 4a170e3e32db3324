"""Torchvision's pretrained weights: read from torch's cache, downloaded to it where they are not.

The name of each file ends with the beginning of its sha256, as in ``resnet18-f37072fd.pth``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cobaye.errors import DataError
from cobaye.storage import downloads, files


def place(weights: Any) -> Path:
    """Return where torch keeps the file of some of torchvision's weights."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)


def fetch(weights: Any) -> Path:
    """Return the file of weights, checked, and downloaded unless it is there.

    Raises DataError where it cannot be downloaded, and for a damaged one.
    """
    path = place(weights)
    named = torch.hub.HASH_REGEX.search(path.name)
    prefix = named[1] if named else ""
    if not path.is_file():
        cure = f"put it at {path}, or anywhere and name it by the backbone's file:"
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
