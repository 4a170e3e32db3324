"""Scores of finished runs.

In: checkpoints and a dataset's splits. Out: metrics, means by class and predictions, as parquet.
"""
