"""Colours as seen with a colour-vision deficiency or in grey, and how far apart they are."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

# In linear RGB, severity 1: table 1 of Machado, Oliveira and Fernandes, "A physiologically-based
# model for simulation of color vision deficiency", IEEE TVCG 15(6), 2009.
MACHADO = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
# sRGB to CIE XYZ, white D65 (IEC 61966-2-1).
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
VIEWS = ("colour", "grey", *MACHADO)


def seen(colour, view="colour"):
    """Return a matplotlib colour in CIELAB, as seen: of a view in grey, L* alone, a* = b* = 0."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if view in MACHADO:
        linear = np.clip(np.array(MACHADO[view]) @ linear, 0, 1)
    if view == "grey":
        linear = np.full(3, _XYZ[1] @ linear)
    xyz = _XYZ @ linear / _XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(first, second, view="colour"):
    """Return ΔE*ab (CIE 1976) of two colours as seen."""
    return float(np.linalg.norm(seen(first, view) - seen(second, view)))
