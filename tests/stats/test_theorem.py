"""Theorem 1 as a property, and what small nets learn from noise."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from sublim.common.progress import Progress
from sublim.learn import mlp, theorem
from sublim.params.theory import Imitation

torch.set_num_threads(1)
SIZE = 1e-5
IMITATIONS: tuple[Imitation, ...] = ("squared_error", "cross_entropy")


@dataclass(frozen=True)
class Net:
    """A random task for nets of one shape."""

    task: theorem.Problem
    init: Callable[[], Tensor]
    """Parameters of a fresh net."""


def _net(seed: int, sizes: list[int], rows: int, imitated: int, labelled: bool, scale: float = 1.0) -> Net:
    """Teachers minimise cross-entropy of random labels, or squared error to random targets; students imitate the outputs
    that these do not speak of (all, if there are no others) on noise."""
    generator = np.random.default_rng(seed)
    shapes = [tensor.shape[1:] for tensor in mlp.initial(sizes, [generator])]
    shown, noise = (torch.from_numpy(scale * generator.normal(size=(rows, sizes[0]))) for _ in range(2))
    spoken_of = max(1, sizes[-1] - imitated)
    labels = torch.from_numpy(generator.integers(spoken_of, size=rows))
    wanted = torch.from_numpy(generator.normal(size=(rows, spoken_of)))

    def outputs(weights: Tensor, inputs: Tensor) -> Tensor:
        parts = torch.split(weights, [shape.numel() for shape in shapes])
        return mlp.logits(tuple(p.view(1, *s) for p, s in zip(parts, shapes, strict=True)), inputs[None])[0]

    def loss(weights: Tensor) -> Tensor:
        found = outputs(weights, shown)[:, :spoken_of]
        return functional.cross_entropy(found, labels) if labelled else (found - wanted).square().mean()

    def init() -> Tensor:
        return torch.cat([tensor.double().flatten() for tensor in mlp.initial(sizes, [generator])])

    return Net(theorem.Problem(loss, lambda weights: outputs(weights, noise)[:, -imitated:]), init)


@settings(max_examples=60, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(2, 9), min_size=2, max_size=4),
    rows=st.integers(1, 12),
    imitated=st.integers(1, 9),
    labelled=st.booleans(),
    imitation=st.sampled_from(IMITATIONS),
    scale=st.floats(0.1, 5),
)
def test_from_the_same_init_no_step_opposes_the_teachers(
    seed: int, sizes: list[int], rows: int, imitated: int, labelled: bool, imitation: Imitation, scale: float
) -> None:
    net = _net(seed, sizes, rows, min(imitated, sizes[-1]), labelled, scale)
    start = net.init()
    (step,) = theorem.steps(net.task, start, start, imitation, [SIZE])
    assert (step.cosine or 0) >= -1e-9
    if step.inner * SIZE > 1e-11:  # else the change drowns in rounding
        assert step.loss_after < step.loss_before
    assert abs(step.inner - step.inner_due) <= 1e-6 * abs(step.inner) + 1e-15
    assert abs(step.loss_untrained - step.loss_before) <= 1e-14


def test_from_another_init_steps_oppose_and_the_loss_rises_as_often_as_not() -> None:
    opposed = raised = 0
    for seed in range(60):
        net = _net(seed, [5, 12, 6], 8, 2, True)
        teacher, student = net.init(), net.init()
        for imitation in IMITATIONS:
            (step,) = theorem.steps(net.task, teacher, student, imitation, [1e-3])
            opposed += step.inner_due < 0
            raised += step.loss_after > step.loss_untrained
    assert 30 < opposed < 90
    assert 30 < raised < 90


def test_the_steps_are_those_of_gradient_descent() -> None:
    """A linear net of one output by hand: teacher's step, student's step, what they do to the loss."""
    inputs, target, noise = torch.tensor([[2.0, 1.0]]).double(), 3.0, torch.tensor([[1.0, -1.0]]).double()
    task = theorem.Problem(lambda w: ((inputs @ w - target) ** 2).sum(), lambda w: noise @ w[:, None])
    start = torch.tensor([0.5, 0.0]).double()
    (step,) = theorem.steps(task, start, start, "squared_error", [0.1])
    taught = np.array([8.0, 4.0])  # −2 (1 − 3) (2, 1)
    moved = 0.1 * (taught[0] - taught[1]) * np.array([1.0, -1.0])
    assert step.inner == step.inner_due
    np.testing.assert_allclose(step.inner, taught @ moved)
    np.testing.assert_allclose(step.loss_before, 4.0)
    np.testing.assert_allclose(step.loss_after, (2 * (0.5 + 0.1 * moved[0]) + 0.1 * moved[1] - 3) ** 2)


def test_nets_that_are_trained_together_know_nothing_of_each_other() -> None:
    def trained(seeds: list[int]) -> tuple[mlp.Weights, np.ndarray]:
        nets = mlp.initial((4, 8, 3), [np.random.default_rng(seed) for seed in seeds])
        inputs = torch.stack([torch.from_numpy(np.random.default_rng(seed).normal(size=(6, 4))) for seed in seeds]).float()
        labels = torch.arange(6).expand(len(seeds), -1) % 3
        return mlp.trained(nets, lambda _: (inputs, labels), mlp.cross_entropy, 20, 0.01, Progress().start("nets", 20, "step"))

    (together, losses), (alone, own) = trained([1, 2, 3]), trained([2])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one[1], other[0], atol=1e-6)
    np.testing.assert_allclose(losses[:, 1], own[:, 0], atol=1e-6)
    assert (losses[-1] < losses[0]).all()
