"""A neural network from scratch, in NumPy alone; to be read in this order.

In: arrays of images and labels. Out: trained weights and the loss of each epoch.

`tensor` (an array with the operation that made it), `functions` (of tensors, each with its
derivative), `initialization`, `networks`, `sgd`, `lesson` (the training loop). Nothing here
imports more than NumPy.
"""
