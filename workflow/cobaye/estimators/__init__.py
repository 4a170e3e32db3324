"""Estimators for notebooks, with the conventions of scikit-learn.

In: arrays, or the folder of a finished study. Out: what the workflow's jobs compute from them,
because the same functions compute it.
"""
