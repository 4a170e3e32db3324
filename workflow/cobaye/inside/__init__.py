"""Weights and activations of finished runs.

In: the checkpoints of a run and a split. Out: tables about its weights and activations.
"""
