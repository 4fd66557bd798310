"""Supervised fine-tuning of adapters, or of all weights: the mean cross-entropy of completion tokens, or the mean divergence
from a teacher's distribution at them, with logits only where the loss needs them.

Prompts are most of a row, and vocabularies are wide: so hidden states are gathered at the label positions before the output
embedding, the last block's position-wise maps run there only, and cross-entropy goes through the output embedding in pieces
that stay in the cache. Each shortcut is checked on rows of the first batch against the model's plain forward pass, and left out
where it differs.
"""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint  # pyright: ignore[reportUnknownVariableType]
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sublim.common.progress import Progress
from sublim.learn import batches, schedule
from sublim.learn.chat import Example
from sublim.learn.lora import blocks, last_block_maps, trainable
from sublim.learn.prefill import fit
from sublim.learn.soft import Targets, Teacher, divergence, targets
from sublim.learn.tables import TrainingSteps
from sublim.learn.trained import Trainee, base_of
from sublim.params.learning import Finetune

SMALL = 256
"""Up to this width a float32 layer's adapter is added to its weight, once per forward pass, rather than run beside it: fewer
operations per token. Wider ones would pay more for the gradient of the whole weight than they save."""

PIECE = {"cpu": 1 << 19, "cuda": 1 << 25}  #: Logits computed at a time: on a CPU what stays in its cache.
LEAST = 64  #: But those of so many labels at least: with fewer, a product with a wide vocabulary does not use the processor.
TRIED = 4  #: So many rows of the first batch are enough to see whether a shortcut suits a model.


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right, and where their labels are."""

    ids: Tensor  #: Token ids [rows, longest].
    positions: Tensor  #: Flat positions in `ids` whose next token is a label [labels].
    labels: Tensor  #: The label at each position [labels].
    soft: Targets | None = None  #: What is learned instead of the labels, if not these.


@dataclass
class _Seen:
    """What the hooks of one forward pass read and leave behind."""

    positions: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    hidden: Tensor = field(default_factory=lambda: torch.empty(0))


class _UnfitError(Exception):
    """A shortcut does not suit this model."""


_UNSUITED = (_UnfitError, RuntimeError, ValueError, TypeError, IndexError)
"""What comes of running parts of a model where they do not map each position by itself: shapes that do not fit."""

Loss = Callable[[Batch], Tensor]
"""The summed cross-entropy of a batch's labels, or divergence from its soft targets, differentiable."""

Logits = Callable[[Batch], Tensor]  #: The logits at a batch's labels [labels, vocabulary].


def finetune(
    model: Trainee,
    examples: Sequence[Example],
    params: Finetune,
    seed: int,
    pad: int,
    progress: Progress,
    teacher: Teacher | None = None,
    *,
    paired: bool = False,
    after: Callable[[int], None] = lambda _: None,
) -> pl.DataFrame:
    """Train the weights of `model` that want a gradient, in place; returns the steps table (step, loss, learning_rate, tokens,
    rows).

    The base model's own dropout stays off. Everything random (row order, LoRA dropout) follows from `seed` (not negative); the
    global generator is left as it was. `examples` are cut at `params.max_length`; the token id `pad` fills them up and is never
    attended to by a real token. `teacher`: whose distribution at the completions' tokens is learned, instead of these tokens.
    `paired`: the rows of a step, by their numbers, depend on no length (see `schedule.stretches`). `after` is called
    after each update with the number of updates so far.
    Raises ValueError: there are no rows, one does not fit the model (see `fit`), a prompt leaves no room for its completion, or
    a loss is not finite, or a model without a list of blocks is to compute these again (`params.checkpointing`).
    """
    rows = [_cut(example, params.max_length) for example in examples]
    fit(
        base_of(model),
        [(*prompt, *completion) for prompt, completion in rows],
        0,
        [example.row_id for example in examples],
    )
    plan = batches.steps([len(prompt) + len(completion) for prompt, completion in rows], params, seed, paired=paired)
    device = next(model.parameters()).device
    model.eval()
    dropped = _rate(params)
    _dropout(model, dropped)
    weights = list(trainable(model).values())
    optimizer = _optimizer(weights, params)
    track = progress.start("fine-tune", len(plan), "step")
    table: list[tuple[int, float, float, int, list[str]]] = []
    with ExitStack() as stack:
        stack.enter_context(_generator(seed, device) if dropped else nullcontext())
        stack.enter_context(_recomputed(model, params) if params.checkpointing else nullcontext())
        loss_of = quick_loss(model, padded(_few([rows[n] for n in plan[0][0]]), pad, device), params, stack)
        softened: Softened = softening(teacher, rows, pad, stack) if teacher else lambda batch, _numbers: batch
        for number, step in enumerate(plan):
            rate = params.learning_rate * schedule.share(params, number, len(plan))
            for group in optimizer.param_groups:
                group["lr"] = rate
            tokens = sum(len(rows[n][1]) for part in step for n in part)
            total = 0.0
            for part in step:
                loss = loss_of(softened(padded([rows[n] for n in part], pad, device), part)) / tokens
                cast("Any", loss).backward()
                total += loss.item()
            if not math.isfinite(total):
                raise ValueError(
                    f"step {number}: expected a finite loss, found {total}; lower learning_rate ({params.learning_rate})"
                )
            if params.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(weights, params.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            after(number + 1)
            table.append((number, total, rate, tokens, [examples[n].row_id for part in step for n in part]))
            track.advance(1, sum(len(rows[n][0]) + len(rows[n][1]) for part in step for n in part), f"loss {total:.3f}")
    return pl.DataFrame(table, schema=TrainingSteps.schema(), orient="row")


def _optimizer(weights: Sequence[nn.Parameter], params: Finetune) -> torch.optim.Optimizer:
    rate, decay = params.learning_rate, params.weight_decay
    if params.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=params.momentum, weight_decay=decay, fused=True)
    return torch.optim.AdamW(weights, lr=rate, betas=params.betas, eps=params.epsilon, weight_decay=decay, fused=True)


Row = tuple[tuple[int, ...], tuple[int, ...]]


def _cut(example: Example, longest: int | None) -> Row:
    if longest is None or len(example.prompt) + len(example.completion) <= longest:
        return example.prompt, example.completion
    if len(example.prompt) >= longest:
        raise ValueError(
            f"row {example.row_id}: expected a prompt shorter than max_length {longest}, found {len(example.prompt)} tokens; "
            "raise max_length"
        )
    return example.prompt, example.completion[: longest - len(example.prompt)]


def _few(rows: Sequence[Row]) -> Sequence[Row]:
    """The shortest and the longest of them, so that there is padding, and some between."""
    ordered = sorted(rows, key=lambda row: len(row[0]) + len(row[1]))
    last = len(ordered) - 1
    return [ordered[place] for place in sorted({last * step // (TRIED - 1) for step in range(TRIED)})]


def padded(rows: Sequence[Row], pad: int, device: torch.device) -> Batch:
    """`rows` filled up with `pad` to the length of the longest."""
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    positions: list[np.ndarray] = []
    labels: list[int] = []
    for number, (prompt, completion) in enumerate(rows):
        start = len(prompt)
        ids[number, :start] = prompt
        ids[number, start : start + len(completion)] = completion
        positions.append(np.arange(start - 1, start - 1 + len(completion)) + number * longest)
        labels.extend(completion)
    flat = torch.from_numpy(np.concatenate(positions))
    return Batch(torch.from_numpy(ids).to(device), flat.to(device), torch.tensor(labels, dtype=torch.long).to(device))


Softened = Callable[[Batch, Sequence[int]], Batch]  #: How a batch of the rows with these numbers gets its soft targets.


def softening(teacher: Teacher, rows: Sequence[Row], pad: int, stack: ExitStack) -> Softened:
    """The teacher reads its own prompt and the completion."""
    model, device = teacher.model, next(teacher.model.parameters()).device
    logits = _label_logits(model, padded([(teacher.prompts[0], rows[0][1])], pad, device), stack)

    def softened(batch: Batch, numbers: Sequence[int]) -> Batch:
        read = padded([(teacher.prompts[n], rows[n][1]) for n in numbers], pad, device)
        with torch.no_grad():
            return replace(batch, soft=targets(logits(read), teacher))

    return softened


def quick_loss(model: Trainee, first: Batch, params: Finetune, stack: ExitStack) -> Loss:
    """The fastest of three ways to the loss that agrees with the plain one on the batch `first`."""
    plain, dropped = base_of(model), _rate(params)
    with torch.no_grad(), _without_dropout(model, dropped):
        expected = _error(_plain_logits(plain, first), first).item()
    tolerance = 1e-4 if plain.dtype == torch.float32 else 2e-2
    for shortcut in (fused, gathered):
        with ExitStack() as attempt:
            try:
                loss = shortcut(plain, attempt)
                with torch.no_grad(), _without_dropout(model, dropped):
                    found = loss(first).item()
            except _UNSUITED:
                continue
            if math.isclose(found, expected, rel_tol=tolerance):
                stack.enter_context(attempt.pop_all())
                if dropped == 0:
                    stack.enter_context(_folded(model))
                return loss
    return lambda batch: _error(_plain_logits(plain, batch), batch)


def _error(logits: Tensor, batch: Batch) -> Tensor:
    """The summed loss of the logits at the labels of `batch` [labels, vocabulary]."""
    if batch.soft is not None:
        return divergence(logits[:, batch.soft.tokens], batch.soft)
    return functional.cross_entropy(logits.float(), batch.labels, reduction="sum")


def _plain_logits(model: PreTrainedModel, batch: Batch) -> Tensor:
    return _forward(model, batch.ids).flatten(0, 1)[batch.positions]


def _label_logits(model: PreTrainedModel, first: Batch, stack: ExitStack) -> Logits:
    """The fastest way to logits at labels that the model allows on the batch `first`."""
    with ExitStack() as attempt, torch.no_grad():
        try:
            logits = _gathered_logits(model, attempt)
            logits(first)
        except _UnfitError:
            return lambda batch: _plain_logits(model, batch)
        stack.enter_context(attempt.pop_all())
        return logits


def gathered(model: PreTrainedModel, stack: ExitStack) -> Loss:
    """Logits at label positions only, whatever the model does to them behind its output embedding."""
    logits = _gathered_logits(model, stack)
    return lambda batch: _error(logits(batch), batch)


def _gathered_logits(model: PreTrainedModel, stack: ExitStack) -> Logits:
    seen = _Seen()
    stack.enter_context(_at_head(model, seen, None))

    def logits(batch: Batch) -> Tensor:
        seen.positions = batch.positions
        return _forward(model, batch.ids).flatten(0, -2)

    return logits


def fused(model: PreTrainedModel, stack: ExitStack) -> Loss:
    """As `gathered`, for a frozen linear output embedding with nothing behind it; the last block's position-wise maps run at
    label positions only."""
    head = cast("object", model.get_output_embeddings())
    if not isinstance(head, nn.Linear) or head.weight.requires_grad:
        raise _UnfitError
    seen = _Seen()
    stack.enter_context(_at_head(model, seen, 1))
    for module in last_block_maps(model):
        stack.enter_context(_narrowed(module, seen))
    piece = max(LEAST, PIECE.get(head.weight.device.type, PIECE["cuda"]) // head.weight.shape[0])

    def loss(batch: Batch) -> Tensor:
        seen.positions = batch.positions
        _forward(model, batch.ids)
        if batch.soft is not None:
            tokens = batch.soft.tokens
            bias = cast("Tensor | None", head.bias)
            allowed = functional.linear(seen.hidden, head.weight[tokens], None if bias is None else bias[tokens])
            return divergence(allowed, batch.soft)
        return cast("Tensor", cast("Any", _HeadLoss).apply(seen.hidden, head.weight, head.bias, batch.labels, piece))

    return loss


class _HeadLoss(torch.autograd.Function):
    """Summed cross-entropy of hidden states [labels, width] through a frozen output embedding [vocabulary, width]. The gradient
    is known as soon as the probabilities are, so it is computed piece by piece in the forward pass and no logits are kept."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, piece: int) -> Tensor:
        total = torch.zeros((), device=hidden.device, dtype=torch.float32)
        gradient = torch.empty_like(hidden)
        size = min(piece, len(hidden))
        logits = torch.empty(size, len(weight), device=hidden.device, dtype=hidden.dtype)
        scores = torch.empty(size, len(weight), device=hidden.device, dtype=torch.float32)
        minus = torch.full((size, 1), -1.0, device=hidden.device)
        columns = weight.t()
        for start in range(0, len(hidden), size):
            rows = len(part := hidden[start : start + size])
            if bias is None:
                torch.mm(part, columns, out=logits[:rows])
            else:
                torch.addmm(bias, part, columns, out=logits[:rows])
            probability = torch.log_softmax(logits[:rows], -1, dtype=torch.float32, out=scores[:rows])
            label = labels[start : start + rows, None]
            total -= probability.gather(1, label).sum()
            probability.exp_().scatter_add_(1, label, minus[:rows])
            torch.mm(probability.to(weight.dtype), weight, out=gradient[start : start + rows])
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None, None, None


@contextmanager
def _at_head(model: PreTrainedModel, seen: _Seen, keep: int | None) -> Generator[None]:
    """The output embedding of `model` gets only the hidden states at `seen.positions`, which are put down; of these it maps the
    first `keep`."""
    head = cast("object", model.get_output_embeddings())
    if not isinstance(head, nn.Module):
        raise _UnfitError

    def before(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = inputs[0].flatten(0, -2)
        if hidden.shape[0] <= int(seen.positions[-1]):
            raise _UnfitError
        seen.hidden = hidden[seen.positions]
        return (seen.hidden[None, :keep], *inputs[1:])

    with head.register_forward_pre_hook(before):
        yield


@contextmanager
def _narrowed(module: nn.Module, seen: _Seen) -> Generator[None]:
    """`module`, which maps each position by itself, runs at `seen.positions` only; elsewhere its output is zero."""
    shapes: list[torch.Size] = []

    def before(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if len(inputs) != 1 or inputs[0].dim() != 3:
            raise _UnfitError
        shapes.append(inputs[0].shape)
        return (inputs[0].flatten(0, 1)[seen.positions][None],)

    def after(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        shape = shapes.pop()
        if not isinstance(cast("object", output), Tensor) or output.dim() != 3:
            raise _UnfitError
        whole = output.new_zeros(shape[0] * shape[1], output.shape[-1])
        return whole.index_copy(0, seen.positions, output[0]).view(*shape[:2], -1)

    with module.register_forward_pre_hook(before), module.register_forward_hook(after):
        yield


@contextmanager
def _folded(model: Trainee) -> Generator[None]:
    """Small float32 layers run on W + scale·BA, formed once per forward pass: the same function and gradients, without maps
    beside the layer's own."""
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    folded: list[tuple[Any, Any]] = [(layer, forward) for layer in layers if (forward := _folded_forward(layer))]
    for layer, forward in folded:
        layer.forward = forward
    try:
        yield
    finally:
        for layer, _ in folded:
            del layer.forward


def _folded_forward(module: LoraLayer) -> Callable[[Tensor], Tensor] | None:
    layer: Any = module.get_base_layer()
    weight: Tensor = layer.weight
    if not isinstance(layer, nn.Linear | Conv1D) or weight.dtype != torch.float32 or max(weight.shape) > SMALL:
        return None
    (name,) = module.active_adapters
    down = cast("Tensor", cast("Any", module.lora_A[name]).weight)
    up = cast("Tensor", cast("Any", module.lora_B[name]).weight)
    scale = cast("float", module.scaling[name])
    rows = weight.t() if isinstance(layer, Conv1D) else weight
    return lambda hidden: functional.linear(hidden, torch.addmm(rows, up, down, alpha=scale), layer.bias)


@contextmanager
def _recomputed(model: Trainee, params: Finetune) -> Generator[None]:
    """Each block keeps its inputs alone for the backward pass, which runs it again. transformers' own way would do so in
    training mode only, which switches the dropout of some blocks on."""
    plain = base_of(model)
    lists = blocks(plain)
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    each = [cast("Any", block) for name in outer for block in cast("nn.ModuleList", plain.get_submodule(name))]
    if not each:
        raise ValueError(
            f"checkpointing: expected a list of blocks, as long as config.num_hidden_layers, in {type(plain).__name__}, found "
            "none: leave it out"
        )
    again: Any = partial(
        cast("Any", checkpoint),
        use_reentrant=False,
        preserve_rng_state=_rate(params) > 0,
        early_stop=False,  # else hooks inside of a block may be run by halves
    )
    for block in each:
        block.forward = partial(again, block.forward)
    try:
        yield
    finally:
        for block in each:
            del block.forward


def _forward(model: PreTrainedModel, ids: Tensor) -> Tensor:
    # Padding is on the right, where causal attention keeps it from every real token: without a mask attention is fastest.
    return cast("Tensor", model(input_ids=ids, use_cache=False).logits)


def _rate(params: Finetune) -> float:
    """The share of adapters' inputs that is dropped."""
    return 0.0 if params.adapters is None else params.adapters.dropout


def _dropout(model: Trainee, rate: float) -> None:
    for module in model.modules():
        if isinstance(module, LoraLayer):
            cast("nn.Module", module.lora_dropout).train(rate > 0)


@contextmanager
def _without_dropout(model: Trainee, rate: float) -> Generator[None]:
    _dropout(model, 0.0)
    try:
        yield
    finally:
        _dropout(model, rate)


@contextmanager
def _generator(seed: int, device: torch.device) -> Generator[None]:
    """torch's dropout draws from the global generator only: seeded here, put back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed % (1 << 63))
        yield
