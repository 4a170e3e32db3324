"""Accuracy of a network that loses ever more of its weights (S2.10)."""

from __future__ import annotations

TABLES = {"pruning": "pruning.csv"}
STATES = ("trained",)
SPLIT = "test"
