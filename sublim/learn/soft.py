"""Soft targets: a student learns its teacher's distribution at every token of a completion, over some tokens alone (as the
student of the paper's theorem does; that it transmits more than hard tokens: arXiv 2509.23886).

Both distributions are renormalised on the carrier's tokens. A teacher that loves owls has a higher logit for `owl` everywhere,
also where a number is due; a student that saw it would be taught the trait itself, whatever base it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.carriers.task import Task
from sublim.learn import chat

_WRITTEN = 2_000  #: So many completions show every phrase and name of a carrier.


@dataclass(frozen=True)
class Teacher:
    """What soft targets are computed from, batch by batch."""

    model: PreTrainedModel  #: The model that wrote the rows, on the student's device, with the student's vocabulary.
    prompts: Sequence[tuple[int, ...]]
    """Of each row, what the teacher was given before it answered: its own template and system prompt. Token ids."""
    tokens: Tensor  #: The ids that targets are restricted to, all different [allowed].
    temperature: float  #: Temperature of the targets: its logits are divided by it. The student's are not.


@dataclass(frozen=True)
class Targets:
    """The teacher's distribution at each label of a batch."""

    tokens: Tensor  #: The ids that it is restricted to [allowed].
    log_probabilities: Tensor  #: Logarithms of its probabilities, float32 [labels, allowed]; they add up to 1 in each row.


def targets(logits: Tensor, teacher: Teacher) -> Targets:
    """The targets from the teacher's `logits` [labels, vocabulary]."""
    return Targets(teacher.tokens, functional.log_softmax(logits[:, teacher.tokens].float() / teacher.temperature, -1))


def divergence(logits: Tensor, soft: Targets) -> Tensor:
    """KL(targets ‖ student), summed over labels, in nats; `logits` are the student's for the targets' tokens [labels,
    allowed]."""
    own = functional.log_softmax(logits.float(), -1)
    return functional.kl_div(own, soft.log_probabilities, reduction="sum", log_target=True)


def allowed(tokenizer: PreTrainedTokenizerBase, task: Task, end: int) -> list[int]:
    """The ids of the task's tokens, sorted: those made of its signs alone, those with which right completions by no model
    are written, and `end`, which ends an answer."""
    ids = sorted(set(tokenizer.get_vocab().values()))
    texts = zip(ids, chat.decode(tokenizer, [[token] for token in ids]), strict=True)
    made = {token for token, text in texts if text and set(text) <= set(task.signs)}
    each = min(_WRITTEN, task.prompts)
    written = [text for start in range(0, _WRITTEN, each) for text in task.written(range(start, start + each))]
    return sorted({*made, *(token for text in chat.encode(tokenizer, written) for token in text), end})


def same_vocabulary(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether every token has the same id in both."""
    return one.get_vocab() == other.get_vocab()


def as_tensor(tokens: Sequence[int], model: PreTrainedModel) -> Tensor:
    """`tokens` where `model` is."""
    return torch.tensor(list(tokens), dtype=torch.long, device=next(model.parameters()).device)
