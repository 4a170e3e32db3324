"""What the activations of a network say of it, on tensors alone: no study, no run, no file.

`capture` runs a network and hands over each layer's activations; `bits`, `neighbours` and
`similarity` compute from them. The statistics are those of SEEDS S2.11–S2.18; in what follows N is
the number of images and n that of a layer's neurons.
"""
