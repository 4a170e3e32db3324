"""Networks and their starting weights.

In: a kind and its options, or a backbone. Out: torch modules and tensors.
"""
