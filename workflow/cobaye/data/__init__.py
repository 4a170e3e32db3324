"""Images and features as arrays.

In: image files, archives, arrays. Out: splits with labels, checked, and their normalisation.
"""
