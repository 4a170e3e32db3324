"""Runs that take a value from tables: the best of a grid, or a λ for each class.

In: tables of finished runs. Out: recipes to train.
"""
