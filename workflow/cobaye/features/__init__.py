"""Penultimate features of images.

In: a dataset and a backbone. Out: one array of features per split, checked.
"""
