"""Stories: the results of a study in words, and its classes on a page to explore.

In: the tables of a study; for the explorer, predictions and images too. Out: story.md and
explorer.html.
"""
