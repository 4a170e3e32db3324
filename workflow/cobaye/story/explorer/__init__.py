"""The explorer: one page on which every class of a study can be looked up, without a network.

In: tables, predictions of the best λ, images. Out: explorer.html.
"""
