"""Write resources/own-features/: an example of ready-made features, of text, made from nothing.

    python config/own_features_example.py [FOLDER]

A text is a character's name in Unicode without its first word; its class is that first word (Latin,
Greek, Bengali, …: 46 with 60 to 300 names each, 6,496 in all). Several scripts share names ("LETTER
KA"), so no classifier can be right about all of them. A text's features are counts of its runs of 1
to 4 letters, hashed to 512 numbers and scaled so that their mean square is 1. Python carries the
names of Unicode 3.2 for good, so the features are the same everywhere.
"""

from __future__ import annotations

import sys
import unicodedata
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np

FEATURES = 512
FEWEST, MOST = 60, 300  # names of a class


def main(folder: Path) -> None:
    """Write features.npz (features, labels) and classes.txt."""
    texts = read_texts()
    features = np.stack([embed(text) for of_class in texts.values() for text in of_class])
    labels = np.repeat(np.arange(len(texts)), [len(of_class) for of_class in texts.values()])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "features.npz", features=features, labels=labels)
    (folder / "classes.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    print(f"{folder}: {features.shape[0]} texts of {len(texts)} classes, {FEATURES} features each")


def read_texts() -> dict[str, list[str]]:
    """Return first word → the rest of each name, first words sorted."""
    found = defaultdict(list)
    for code in range(0x10000):
        name = unicodedata.ucd_3_2_0.name(chr(code), "")
        first, _, rest = name.partition(" ")
        if rest and not first.startswith("CJK"):
            found[first.capitalize()].append(rest)
    return {first: found[first][:MOST] for first in sorted(found) if len(found[first]) >= FEWEST}


def embed(text: str) -> np.ndarray:
    """Return (FEATURES,) float32 of mean square 1."""
    counts = np.zeros(FEATURES, np.float32)
    padded = f" {text} "
    for size in range(1, 5):
        for start in range(len(padded) - size + 1):
            counts[zlib.crc32(padded[start : start + size].encode()) % FEATURES] += 1
    return counts * np.float32(FEATURES**0.5) / np.linalg.norm(counts)


if __name__ == "__main__":
    main(Path(*sys.argv[1:]) if sys.argv[1:] else Path("resources/own-features"))
