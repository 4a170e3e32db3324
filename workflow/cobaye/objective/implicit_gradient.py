"""How the validation loss at the optimum moves with λ: all classes from one linear solve.

At θ* = argmin J, with J's λ_c weighing class c's row θ_c (bias included where it is penalised), the
implicit function theorem gives, for L(θ*(λ)),

    dL/dλ_c = −⟨θ*_c, v_c⟩,        H v = ∇L(θ*),        H = ∇²J(θ*)

(Bengio, Gradient-based optimization of hyperparameters, 2000). The derivative by one λ
for all classes is their sum.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from cobaye.objective.full_batch import FullBatch
from cobaye.objective.solvers import conjugate_gradients


class Hypergradient(NamedTuple):
    """The derivative of the validation loss by each class's λ.

    loss: L, the mean cross-entropy on validation, nats. each: dL/dλ_c, (K,) float64. products:
    Hessian products that the solve took. residual: ‖∇L − H v‖ / ‖∇L‖.
    """

    loss: float
    each: Tensor
    products: int
    residual: float


def hypergradient(
    train: FullBatch, validation: FullBatch, theta: Tensor, *, share: float = 1e-8
) -> Hypergradient:
    """Return the derivative of the validation loss through the optimum.

    train: J, with `curvature=torch.float64` for a share below about 1e-5. validation: the
    cross-entropy of the validation images, its λ 0. theta: (K, D + 1) float64, the minimum of
    `train`: the result is as exact as that. share: the relative residual to which H v is solved.

    Raises ValueError where λ is 0 for some class, as H may then have no inverse, or where
    `validation` has a penalty.
    """
    penalised = train.decay[:, :-1]
    if not bool((penalised > 0).all()):
        raise ValueError("a hypergradient needs λ > 0 for every class")
    if bool((validation.decay != 0).any()):
        raise ValueError("the validation loss has no penalty: its λ is 0")
    train.evaluate(theta)
    validated = validation.evaluate(theta)
    right = validated.gradient.to(train.curvature)
    steer = train.preconditioner()
    solved, products = conjugate_gradients(train.curvature_along, right, share, steer)
    residual = (right - train.curvature_along(solved)).norm() / right.norm()
    # An unpenalised bias has no λ: its column counts for nothing.
    counted = train.decay > 0
    each = -(theta * solved.double() * counted).sum(1)
    return Hypergradient(validated.loss, each, products, residual.item())
