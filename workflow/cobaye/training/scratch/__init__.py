"""A neural network from scratch, in NumPy alone; to be read in this order.

`tensor` (an array that knows what it was computed from), `functions` (of tensors, each with its
derivative), `initialization`, `networks`, `sgd`, `lesson` (the training loop). Nothing here
imports more than NumPy.
"""
