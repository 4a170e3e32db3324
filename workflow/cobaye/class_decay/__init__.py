"""A λ for each class.

In: tables and splits of finished runs. Out: a table of the chosen λ, one row per class.
"""
