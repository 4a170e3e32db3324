"""A neural network from scratch, in NumPy alone; to be read in this order.

`tensor` (an array that knows where it came from), `functions` (what is done to it, each with its
own derivative), `initialization`, `networks`, `sgd`, `lesson` (the training loop). Nothing here
imports more than NumPy.
"""
