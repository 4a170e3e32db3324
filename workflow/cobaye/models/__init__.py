"""Networks, backbones and starting weights.

In: a kind of network and its options, or a backbone. Out: torch modules and tensors.
"""
