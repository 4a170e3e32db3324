"""The scores of a run.

In: its checkpoints and a dataset's splits. Out: metrics, means by class and predictions, as
parquet.
"""
