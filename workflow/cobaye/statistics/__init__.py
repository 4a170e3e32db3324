"""Statistical inference on the effect of λ on each class. Arrays in, arrays out.

`sample` holds values of images, sorted by class, and resamples them. `effects`, `reliability`,
`choices`, `shrinkage`, `worst` and `compared` estimate from such samples.
"""
