"""Analyses of a study's finished runs, one kind per file: more tables, each with its manifest.

A kind states ``TABLES`` (table name → file), ``Options``, and computes. In: finished runs or
tables. Out: tables, written by `tables.writing`.
"""
