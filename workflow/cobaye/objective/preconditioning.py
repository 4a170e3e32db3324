"""A preconditioner of the Hessian of `full_batch`: each class's own block, of few of its images.

The block of class c is H_c = Σᵢ wᵢ xᵢ xᵢᵀ / N + λ_c, where wᵢ = pᵢ (1 − pᵢ) and x ends in the 1 of
the bias. Few images have most of a class's weight. So H_c is taken as D_c + Σ wᵢ xᵢ xᵢᵀ / N over
its IMAGES heaviest images. D_c is diagonal: λ_c plus the other images' weight times the mean
squares of the features. Its inverse is Woodbury's (Golub & Van Loan, Matrix Computations,
2013, section 2.1.4).

Blocks miss that shares sum to 1: H maps one vector v added to every class's row to λ v. So
residuals lose their mean over classes before the blocks, results lose it after them, and the mean
is divided by λ. Where λ = 0, H gives nothing in that direction: what a residual has there is
rounding, and is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# Heaviest images per class, fewer where they would be more than LARGEST numbers.
IMAGES, LARGEST = 64, 2**26
# No diagonal entry counts as less than this share of the largest: λ may be 0.
FLOOR = 1e-6

Map = Callable[[Tensor], Tensor]


def heaviest(
    blocks: Iterable[tuple[Tensor, Tensor]], count: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the heaviest images of each class, and what the others add up to.

    blocks: inputs (B, D) and shares (K, B). Returns weights w and rows of the images, both
    (K, count), fewer where there are fewer images; the sum of all weights, (K,); and the sums of
    squares of the features, (D,).
    """
    start, top, places, totals, squares = 0, None, None, 0, 0
    for x, shares in blocks:
        weights = shares - shares.square()
        numbers = torch.arange(start, start + len(x), device=x.device).expand(len(weights), -1)
        start, totals = start + len(x), totals + weights.sum(1)
        squares = squares + x.square().sum(0)
        if top is not None:
            weights, numbers = torch.cat((top, weights), 1), torch.cat((places, numbers), 1)
        top, chosen = weights.topk(min(count, weights.shape[1]), 1, sorted=False)
        places = numbers.gather(1, chosen)
    return top, places, totals, squares


def inverse(rows: Tensor, weights: Tensor, rest: Tensor, squares: Tensor, decay: Tensor) -> Map:
    """Return r ↦ M⁻¹ r, of (K, D + 1), symmetric and positive definite.

    rows: (K, m, D + 1), the heaviest images of each class; overwritten. weights: their w/N, (K, m).
    rest: the sum of the other images' w/N, (K,). squares: mean squares of the features, (D + 1,).
    decay: λ of each parameter, (K, D + 1).
    """
    diagonal = decay + rest[:, None] * squares
    whole = diagonal + weights.sum(1, keepdim=True) * squares
    floor = max(FLOOR * whole.max().item(), torch.finfo(decay.dtype).tiny ** 0.5)
    root = diagonal.clamp_min(floor).rsqrt()
    scaled = rows.mul_(weights.clamp_min(0).sqrt()[:, :, None]).mul_(root[:, None])
    gram = torch.bmm(scaled, scaled.mT)
    gram.diagonal(dim1=1, dim2=2).add_(1)
    middle = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    common = decay.mean(0, keepdim=True)
    common = common.clamp_min(floor).where(common > 0, torch.inf)

    def apply(residual: Tensor) -> Tensor:
        mean = residual.mean(0, keepdim=True)
        own = (residual - mean) * root
        # A row vector times each class's matrix: far faster than the matrix times a column.
        image = torch.bmm(torch.bmm(torch.bmm(own[:, None], scaled.mT), middle), scaled)[:, 0]
        own.sub_(image).mul_(root)
        return own.sub_(own.mean(0, keepdim=True)).add_(mean / common)

    return apply
