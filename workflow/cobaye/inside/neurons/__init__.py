"""Statistics of a network's activations (S2.11–S2.18).

In: a network and images, as tensors; `capture` computes each layer's activations. Out: arrays and
numbers, by `bits`, `neighbours` and `similarity`. Nothing here reads a file. N is the number of
images and n the number of a layer's neurons.
"""
