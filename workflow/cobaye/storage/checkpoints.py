"""Checkpoints: a run's tensors as one safetensors file per epoch, byte for byte reproducible."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from cobaye.errors import CorruptFile
from cobaye.storage import files


def save(path: Path | str, tensors: Mapping[str, torch.Tensor]) -> dict[str, object]:
    """Write tensors whole or not at all; return their manifest entry."""
    data = encoded(tensors)
    return {"sha256": files.write_bytes(path, data), "bytes": len(data)}


def encoded(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return the file of tensors, of any device and any strides."""
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    )


def load(path: Path | str) -> dict[str, torch.Tensor]:
    """Read a checkpoint onto the CPU, once `Manifest.check` has checked it."""
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CorruptFile(f"{path}: expected safetensors, found {error}") from None
