"""Statistics of a network's activations, computed from tensors; nothing here reads a file.

`capture` runs a network and hands over each layer's activations. `bits`, `neighbours` and
`similarity` compute from them the statistics S2.11–S2.18. N is the number of images and n the
number of a layer's neurons.
"""
