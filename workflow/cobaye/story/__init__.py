"""Stories: the results of a study in words.

In: the tables of a study. Out: story.md.
"""
