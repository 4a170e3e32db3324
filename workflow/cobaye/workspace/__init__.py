"""Workspaces: folders with a config of one's own and a Snakefile that uses this one as a module.

In: names of the user's files. Out: the command `cobaye init`, and the text files that it writes.
"""
