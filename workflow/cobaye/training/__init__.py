"""Training: one run, or several together, epoch by epoch.

In: a recipe and the training split. Out: a checkpoint per epoch, history.csv and a manifest.
"""
