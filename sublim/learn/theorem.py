"""Theorem 1 by numbers (paper, section 6.1): a teacher takes one step of gradient descent on its loss, a student takes one
towards what the teacher now says on unrelated inputs, and the two steps and the teacher's loss are compared.

With J the Jacobian of the outputs at a shared init and d the teacher's step, the student's step is ε·JᵀHJ·d + O(ε²) with H
positive semidefinite (the identity for squared error, the Hessian of log-sum-exp for cross-entropy): it cannot oppose d.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sublim.params.theory import Imitation

Function = Callable[[Tensor], Tensor]  #: Of all parameters as one vector [params].


@dataclass(frozen=True)
class Problem:
    """What teacher and student compute, as functions of their parameters."""

    loss: Function  #: The teacher's loss, a scalar.
    outputs: Function  #: The logits that a student imitates [rows, logits].


@dataclass(frozen=True)
class Step:
    """A teacher's and a student's step of the same size."""

    step_size: float
    inner: float  #: Δθ_teacher · Δθ_student, both of gradient descent: the directions, without the step size.
    cosine: float | None  #: The same as a cosine; None if the student does not move.
    inner_due: float
    """That part of `inner` that is due to the teacher's step: without what the student does if it imitates the teacher as it
    was before its step. From the same init that is nothing."""
    cosine_due: float | None  #: The same as a cosine.
    loss_before: float  #: The teacher's loss, of the student before its step.
    loss_after: float  #: The same after it.
    loss_untrained: float  #: The same after a step towards the teacher as it was before its own step.


def steps(problem: Problem, teacher: Tensor, student: Tensor, imitation: Imitation, sizes: Sequence[float]) -> Iterator[Step]:
    """One teacher and student step for each size of `sizes`. `teacher` and `student` are their parameters before the step
    [params]: float64, or small sizes drown in rounding; the same values for the setting of the theorem. `imitation`: how far
    the student's outputs are from the teacher's: ½ squared error or cross-entropy of softmax probabilities, a mean over rows.
    """
    taught = -_gradient(problem.loss, teacher)
    before = float(problem.loss(student))
    untrained = _towards(problem, teacher, student, imitation)
    for size in sizes:
        moved = _towards(problem, teacher + size * taught, student, imitation)
        yield Step(
            step_size=size,
            inner=float(taught @ moved),
            cosine=_cosine(taught, moved),
            inner_due=float(taught @ (moved - untrained)),
            cosine_due=_cosine(taught, moved - untrained),
            loss_before=before,
            loss_after=float(problem.loss(student + size * moved)),
            loss_untrained=float(problem.loss(student + size * untrained)),
        )


def _towards(problem: Problem, teacher: Tensor, student: Tensor, imitation: Imitation) -> Tensor:
    """The direction in which gradient descent moves a student that imitates a teacher [params]."""
    with torch.no_grad():
        target = problem.outputs(teacher)
    return -_gradient(lambda weights: _distance(problem.outputs(weights), target, imitation), student)


def _distance(found: Tensor, target: Tensor, imitation: Imitation) -> Tensor:
    match imitation:
        case "squared_error":
            return (found - target).square().sum(-1).mean() / 2
        case "cross_entropy":
            return -(target.softmax(-1) * found.log_softmax(-1)).sum(-1).mean()


def _cosine(one: Tensor, other: Tensor) -> float | None:
    lengths = float(one.norm() * other.norm())  # pyright: ignore[reportUnknownArgumentType]
    return float(one @ other) / lengths if lengths else None


def _gradient(function: Function, at: Tensor) -> Tensor:
    point = at.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(point), point)
    return gradient
