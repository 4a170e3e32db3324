"""Inference: what λ does to a class, and what chance does. Arrays in, arrays out.

`sample` holds images sorted by class and draws other samples from them; `effects`, `reliability`,
`choices`, `shrinkage` and `worst` are what is asked of it.
"""
