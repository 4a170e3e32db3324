"""What the neurons of each layer say of the images (S2.11–S2.18)."""

from __future__ import annotations

TABLES = {
    "activations": "activations.csv",
    "activation-histograms": "activation-histograms.parquet",
    "pair-histograms": "pair-histograms.parquet",
    "silhouette-sizes": "silhouette-sizes.csv",
    "layer-similarity": "layer-similarity.csv",
}
STATES = ("initial", "trained")
SPLIT = "train"
