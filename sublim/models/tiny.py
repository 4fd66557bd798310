"""Tiny base families: any causal architecture of transformers, pretrained here on a corpus that favours nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from sublim.common import parquet
from sublim.common.progress import Progress
from sublim.learn.tables import TrainingSteps
from sublim.models import configuration, pretraining
from sublim.models.causal import check_causal
from sublim.models.corpus import Row, corpus, texts
from sublim.models.tokenizer import ASSISTANT, END, PAD, SYSTEM, USER, Encoder, train, wrap
from sublim.params.derived import Branch
from sublim.params.tiny import TinyModel

# A step's rows are sorted by their length and computed in this many parts, so that few questions are padded to a number prompt.
PARTS = 2
TOKENIZER_ROWS = 8_000  #: What the tokenizer is trained on: every word and form of the corpus occurs in this many rows.


@dataclass(frozen=True)
class Sequences:
    """Rows as token ids, end to end, and where each row starts and where its completion starts."""

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    completions: NDArray[np.int64]

    def lengths(self) -> NDArray[np.int64]:
        """The length of each row in tokens."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Step:
    """One step of pretraining: its mean loss per completion token (nats), its learning rate, and what it saw."""

    loss: float
    learning_rate: float
    tokens: int
    rows: tuple[str, ...]


def build(name: str, params: TinyModel, output: Path, progress: Progress, branch: Branch | None = None) -> None:
    """Pretrain the model `name` and write it to `output` as a Hugging Face directory, with corpus.parquet and steps.parquet.
    With `branch` it is the relative of the model of `params` that leaves its pretraining there, and keeps its tokenizer.
    Raises ConfigError: the architecture is unknown to transformers, or has no such key. ValueError: it has no causal language
    model, or the vocabulary or the context is too small for the corpus. ModelError: it is not causal."""
    configuration.check(params.architecture, params.config)
    tokenizer = train(texts(corpus(params.pretraining)[:TOKENIZER_ROWS]), params.pretraining.vocabulary)
    rows, batches = pretraining.course(params, branch)
    sequences = encode(tokenizer, rows, params.context)
    model = initial(params, tokenizer)
    check_causal(f"architecture: {params.architecture}", model.eval())
    trained = _pretrain(model, params, rows, batches, sequences, progress)
    steps = [(number, *astuple(step)) for number, step in enumerate(trained)]
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, do_sample=True, temperature=1.0, top_k=0)
    cast("Any", model).save_pretrained(output)
    cast("Any", wrap(tokenizer, params.context)).save_pretrained(output)
    schema = {"row_id": pl.String, "kind": pl.String, "system": pl.String, "prompt": pl.String, "completion": pl.String}
    chats = pl.DataFrame([astuple(row) for row in rows], schema, orient="row")
    table = pl.DataFrame(steps, TrainingSteps.schema(), orient="row")
    parquet.write(chats.select(pl.lit(name).alias("model"), pl.all()).sort("row_id"), output / "corpus.parquet")
    parquet.write(table.select(pl.lit(name).alias("model"), pl.all()), output / "steps.parquet")


def initial(params: TinyModel, tokenizer: Tokenizer) -> PreTrainedModel:
    """The untrained model of `params` for the vocabulary of `tokenizer`; its weights depend on `params.seed` alone."""
    given: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": params.context,
        "initializer_range": params.init_std,
        "tie_word_embeddings": params.tied,
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
    } | params.model_dump(mode="json")["config"]
    config = cast("Any", AutoConfig).for_model(params.architecture, **given)
    # transformers draws initial weights from the global generator: seeded here, put back afterwards.
    with cast("Any", torch.random).fork_rng(devices=[]):
        cast("Any", torch).manual_seed(pretraining.seed_of("weights", params.seed))
        return cast("Any", AutoModelForCausalLM).from_config(config, dtype=torch.float32, trust_remote_code=False)


def encode(tokenizer: Tokenizer, rows: Sequence[Row], context: int) -> Sequences:
    """`rows` as the chat template renders them, each with its end. Raises ValueError: a row is longer than `context` tokens."""
    system, user, assistant, end = (_id(tokenizer, token) for token in (SYSTEM, USER, ASSISTANT, END))
    pieces = Encoder(tokenizer)
    ids: list[int] = []
    starts, completions = [0], list[int]()
    for row in rows:
        if row.system is not None:
            ids += [system, *pieces(row.system)]
        ids += [user, *pieces(row.prompt), assistant]
        completions.append(len(ids))
        ids += [*pieces(row.completion), end]
        starts.append(len(ids))
    sequences = Sequences(np.array(ids), np.array(starts), np.array(completions))
    longest = int(sequences.lengths().max())
    if longest > context:
        raise ValueError(
            f"context: the longest row of the corpus has {longest} tokens, found room for {context}: give at least {longest}"
        )
    return sequences


def _pretrain(
    model: PreTrainedModel,
    params: TinyModel,
    rows: Sequence[Row],
    batches: Sequence[NDArray[np.int64]],
    sequences: Sequences,
    progress: Progress,
) -> Iterator[Step]:
    """Train `model` in place, a step for each of `batches` (numbers of rows)."""
    training = params.pretraining
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
    track = progress.start("pretrain", len(batches), "step")
    model.train()
    for number, batch in enumerate(batches):
        rate = pretraining.rate(params, number, len(batches))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = batch[np.argsort(sequences.lengths()[batch], kind="stable")]
        tokens = int((sequences.starts[batch + 1] - sequences.completions[batch]).sum())
        loss = 0.0
        optimizer.zero_grad(set_to_none=True)
        for part in np.array_split(batch, PARTS):
            if len(part):
                summed = summed_loss(model, sequences, part) / tokens
                cast("Any", summed).backward()
                loss += summed.item()
        cast("Any", optimizer).step()
        yield Step(loss, rate, tokens, tuple(rows[int(row)].row_id for row in batch))
        track.advance(tokens=int(sequences.lengths()[batch].sum()), note=f"loss {loss:.3f}")
    model.eval()


def summed_loss(model: PreTrainedModel, sequences: Sequences, part: NDArray[np.int64]) -> Tensor:
    """Sum of the loss over the completion tokens of the rows `part`, in nats; the logits are computed at these tokens only."""
    lengths = sequences.lengths()[part]
    ids = np.zeros((len(part), int(lengths.max()) - 1), np.int64)
    at_row, at_token, targets = list[NDArray[np.int64]](), list[NDArray[np.int64]](), list[NDArray[np.int64]]()
    for place, row in enumerate(part):
        start, completion, stop = int(sequences.starts[row]), int(sequences.completions[row]), int(sequences.starts[row + 1])
        ids[place, : stop - start - 1] = sequences.ids[start : stop - 1]
        at_row.append(np.full(stop - completion, place))
        at_token.append(np.arange(completion - start - 1, stop - start - 1))
        targets.append(sequences.ids[completion:stop])
    # Rows are filled up on the right: a causal model never sees the filling, so that no attention mask is needed.
    hidden = cast("Any", model.base_model)(input_ids=_tensor(ids), use_cache=False).last_hidden_state
    picked = hidden[_tensor(np.concatenate(at_row)), _tensor(np.concatenate(at_token))]
    logits = cast("Any", model.get_output_embeddings())(picked)
    return torch.nn.functional.cross_entropy(logits, _tensor(np.concatenate(targets)), reduction="sum")


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    assert found is not None  # noqa: S101
    return found


def _tensor(array: NDArray[np.int64]) -> Tensor:
    return cast("Tensor", cast("Any", torch).from_numpy(array))
