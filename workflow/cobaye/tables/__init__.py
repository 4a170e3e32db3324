"""A study's tables.

In: the files of its evaluated runs. Out: small CSV and parquet files, the only thing that figures
and stories read.
"""
