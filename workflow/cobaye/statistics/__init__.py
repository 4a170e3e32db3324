"""Statistical inference on the effect of λ on each class.

In: losses and predictions of images, as arrays; `sample` sorts them by class and resamples them.
Out: estimates with intervals, p-values and choices of λ, as arrays.
"""
