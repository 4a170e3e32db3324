"""One training run.

In: its recipe and the training split. Out: a checkpoint per epoch, history.csv, and a manifest.
"""
