"""The story of a study in words.

In: its tables. Out: story.md.
"""
