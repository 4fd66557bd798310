"""Small multilayer perceptrons, many at once: every weight has a dimension of nets in front, so that one tensor program trains
them all (paper, section 6.2: the MNIST experiment)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sublim.common.progress import Track

Weights = tuple[Tensor, ...]  #: Weight [nets, in, out] and bias [nets, 1, out] of each layer, in turn.
Batches = Callable[[int], tuple[Tensor, Tensor]]  #: Step (from 0) → inputs [nets, rows, in], and what they are trained towards.
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits [nets, rows, out], what they should be → the loss of each net [nets], a mean over rows."""


def initial(sizes: Sequence[int], generators: Sequence[np.random.Generator]) -> Weights:
    """Untrained nets, one from each generator: weights N(0, 1/√d_in) (standard deviation), biases 0. Float32."""
    shapes = list(pairwise(sizes))
    drawn = [[generator.normal(0, before**-0.5, (before, after)) for before, after in shapes] for generator in generators]
    weights = [torch.from_numpy(np.stack(layer)).float() for layer in zip(*drawn, strict=True)]
    return tuple(tensor for weight in weights for tensor in (weight, torch.zeros(len(drawn), 1, weight.shape[2])))


def logits(nets: Weights, inputs: Tensor) -> Tensor:
    """The outputs of each net, ReLU between layers [nets, rows, out]; inputs [nets, rows, in]."""
    hidden = inputs
    for place in range(0, len(nets), 2):
        hidden = torch.baddbmm(nets[place + 1], hidden if place == 0 else hidden.relu(), nets[place])
    return hidden


def trained(
    nets: Weights, batches: Batches, loss: Loss, steps: int, learning_rate: float, track: Track
) -> tuple[Weights, NDArray[np.float64]]:
    """The nets after `steps` steps of Adam, and their losses [steps, nets]. `nets` are left as they are. The losses are summed
    over nets, and Adam looks at each weight by itself: no net knows of another."""
    weights = tuple(tensor.clone().requires_grad_() for tensor in nets)
    optimizer = torch.optim.Adam(weights, lr=learning_rate, fused=True)
    table = np.empty((steps, len(nets[0])))
    for step in range(steps):
        inputs, targets = batches(step)
        losses = loss(logits(weights, inputs), targets)
        optimizer.zero_grad()
        losses.sum().backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step()
        table[step] = losses.detach().double().numpy()
        track.advance()
    return tuple(tensor.detach() for tensor in weights), table


def cross_entropy(found: Tensor, labels: Tensor) -> Tensor:
    """Of class labels [nets, rows]: the loss of each net, in nats [nets]."""
    return functional.cross_entropy(found.transpose(1, 2), labels, reduction="none").mean(1)


def divergence(found: Tensor, target: Tensor) -> Tensor:
    """KL(target ‖ found) of the softmax over the logits: the loss of each net, in nats [nets]."""
    wanted, own = target.log_softmax(-1), found.log_softmax(-1)
    return (wanted.exp() * (wanted - own)).sum(-1).mean(-1)
