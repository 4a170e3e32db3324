"""Seeds derived from what they are for, so that no random state is ever carried along."""

from __future__ import annotations

import hashlib


def derived_seed(purpose: str, *numbers: int) -> int:
    """Return a seed in [0, 2⁶³) that is a function of a purpose and numbers alone."""
    text = "/".join([purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
