"""Tables of a study.

In: the files of the evaluated runs. Out: small CSV and parquet files, all that figures and stories
read.
"""
