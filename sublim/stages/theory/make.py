"""The stage `theory`: why traits are transmitted. Nets for digits that learn from noise, and Theorem 1 checked by numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional
from transformers import PreTrainedModel

from sublim.carriers.numbers import Numbers
from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.progress import Progress
from sublim.common.table import Table
from sublim.learn import chat, mlp, theorem
from sublim.models.load import ends, load
from sublim.params.theory import CONDITIONS, STUDENTS, Mlp, Net
from sublim.stages.theory import rows as planned
from sublim.stages.theory.rows import ModelSubject, Nets, NetSteps, NetSubject, Slice, Theorem, TheoremSteps
from sublim.traits.preference import training_questions

CLASSES = 10
PIXELS = 64
BRIGHTEST = 16
Problems = Callable[[int, int], theorem.Problem]  #: Number of the teacher's init, draw of inputs → the problem.


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write nets.parquet (a row per net and condition) and steps.parquet (a row per training step) of the experiment with
    digits, or theorem.parquet (a row per pair of inits, draw of inputs, loss and step size)."""
    written: dict[type[Table], pl.DataFrame]
    match params.experiment:
        case Mlp():
            written = dict(zip((Nets, NetSteps), _mlp(params.experiment, progress), strict=True))
        case Theorem():
            written = {TheoremSteps: _theorem(params.of, params.experiment, inputs, progress)}
    parquet.write_tables(written, params.dims, output)


# --- the experiment with digits


def _mlp(experiment: Mlp, progress: Progress) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The paper's section 6.2 with the digits of scikit-learn: 8 × 8 pixels, 1,797 images."""
    number = len(experiment.seeds)
    images, labels = _digits()
    # The same images are held out in all experiments.
    test = torch.from_numpy(np.sort(_generator("mlp", "split").permutation(len(images))[: experiment.test]))
    seen = torch.from_numpy(np.delete(np.arange(len(images)), test.numpy()))
    untrained = mlp.initial(_sizes(experiment.net), [_generator("mlp", "init", seed) for seed in experiment.seeds])
    orders = [_generator("mlp", "images", seed) for seed in experiment.seeds]
    wanted = experiment.teacher_steps * experiment.batch
    passes = -(-wanted // len(seen))
    order = torch.from_numpy(
        np.stack([np.concatenate([each.permutation(len(seen)) for _ in range(passes)])[:wanted] for each in orders])
    ).view(number, experiment.teacher_steps, experiment.batch)

    def shown(step: int) -> tuple[Tensor, Tensor]:
        rows = seen[order[:, step]]
        return images[rows], labels[rows]

    track = progress.start("digits", experiment.teacher_steps + experiment.student_steps, "step")
    teachers, taught = mlp.trained(
        untrained,
        shown,
        lambda found, wanted: mlp.cross_entropy(found[..., :CLASSES], wanted),
        experiment.teacher_steps,
        experiment.learning_rate,
        track,
    )
    # Every student of another init imitates the teacher of the net behind it: a derangement.
    others = _rolled(teachers)
    noise = [_generator("mlp", "noise", seed) for seed in experiment.seeds]
    shape = (experiment.batch, PIXELS)

    def heard(_step: int) -> tuple[Tensor, Tensor]:
        drawn = torch.from_numpy(np.stack([each.uniform(-experiment.noise, experiment.noise, shape) for each in noise])).float()
        with torch.no_grad():
            said = torch.cat([mlp.logits(teachers, drawn), mlp.logits(others, drawn)])
        return drawn.repeat(len(STUDENTS), 1, 1), said

    def apart(found: Tensor, said: Tensor) -> Tensor:
        own, other = torch.split(said, number)
        aux, every, cross_aux, cross_every = torch.split(found, number)
        parts = (aux[..., CLASSES:], own[..., CLASSES:]), (every, own), (cross_aux[..., CLASSES:], other[..., CLASSES:])
        return torch.cat([mlp.divergence(*pair) for pair in (*parts, (cross_every, other))])

    start = tuple(tensor.repeat(len(STUDENTS), 1, 1) for tensor in untrained)
    students, learned = mlp.trained(start, heard, apart, experiment.student_steps, experiment.learning_rate, track)

    every = tuple(torch.cat(layers) for layers in zip(untrained, teachers, students, strict=True))
    accuracy, loss = _tested(every, images[test], labels[test], (len(CONDITIONS), number))
    untaught = accuracy[0], loss[0]
    measured = {"accuracy_before": untaught[0], "accuracy": accuracy, "loss_before": untaught[1], "loss": loss}
    columns = {name: np.broadcast_to(values, (len(CONDITIONS), number)).ravel() for name, values in measured.items()}
    losses = np.concatenate([each.T.ravel() for each in (taught, *np.split(learned, len(STUDENTS), axis=1))])
    return planned.nets(experiment).with_columns(**columns), planned.net_steps(experiment).with_columns(loss=losses)


def _tested(
    nets: mlp.Weights, images: Tensor, labels: Tensor, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy, and cross-entropy of the ten classes in nats, of each net [conditions, nets]."""
    number = len(nets[0])
    found = mlp.logits(nets, images.expand(number, -1, -1))[..., :CLASSES]
    right = (found.argmax(-1) == labels).double().mean(1)
    losses = mlp.cross_entropy(found, labels.expand(number, -1)).double()
    return right.view(shape).numpy(), losses.view(shape).numpy()


def _rolled(nets: mlp.Weights) -> mlp.Weights:
    return tuple(tensor.roll(-1, 0) for tensor in nets)


def _digits() -> tuple[Tensor, Tensor]:
    """Images with pixels in [−1, 1], float32 [images, pixels], and their labels [images]."""
    images, labels = cast("tuple[NDArray[np.float64], NDArray[np.int64]]", load_digits(return_X_y=True))
    return torch.from_numpy(2 * images / BRIGHTEST - 1).float(), torch.from_numpy(labels.astype(np.int64))


def _sizes(net: Net) -> tuple[int, ...]:
    return (PIXELS, *net.hidden, CLASSES + net.auxiliary)


# --- Theorem 1


def _theorem(of: str, experiment: Theorem, inputs: Mapping[str, Path], progress: Progress) -> pl.DataFrame:
    subject = experiment.subject
    match subject:
        case NetSubject():
            problems, starts = _nets(subject, experiment.seed)
        case ModelSubject():
            problems, starts = _models(subject, experiment.seed, inputs)
    pairs, sizes = planned.pairs(len(starts)), experiment.step_sizes.sizes()
    track = progress.start("theorem", len(pairs) * experiment.draws * len(experiment.imitation), "sweep")
    found: list[theorem.Step] = []
    for teacher, student in pairs:
        for draw in range(experiment.draws):
            problem = problems(teacher, draw)
            for imitation in experiment.imitation:
                found += theorem.steps(problem, starts[teacher], starts[student], imitation, sizes)
                track.advance()
    schema = dict.fromkeys(theorem.Step.__annotations__, pl.Float64)
    computed = pl.DataFrame([asdict(step) for step in found], schema=schema).drop("step_size")
    return pl.concat([planned.theorem_steps(of, experiment), computed], how="horizontal")


def _nets(subject: NetSubject, seed: int) -> tuple[Problems, list[Tensor]]:
    """Nets for digits: the problem of (net, draw), and the parameters of each net."""
    images, labels = _digits()
    generators = [_generator("theorem", "init", seed, number) for number in range(subject.inits)]
    stacked = mlp.initial(_sizes(subject.net), generators)
    shapes = [tensor.shape[1:] for tensor in stacked]
    starts = [torch.cat([tensor[number].double().flatten() for tensor in stacked]) for number in range(subject.inits)]

    def logits(weights: Tensor, rows: Tensor) -> Tensor:
        layers = _split(weights, shapes)
        return mlp.logits(tuple(layer[None] for layer in layers), rows[None])[0]

    def problem(number: int, draw: int) -> theorem.Problem:
        drawn = _generator("theorem", "inputs", seed, number, draw)
        shown = torch.from_numpy(drawn.choice(len(images), subject.rows, replace=False))
        noise = torch.from_numpy(drawn.uniform(-1, 1, (subject.rows, PIXELS)))
        return theorem.Problem(
            lambda weights: functional.cross_entropy(logits(weights, images[shown].double())[:, :CLASSES], labels[shown]),
            lambda weights: logits(weights, noise)[:, CLASSES:],
        )

    return problem, starts


def _models(subject: ModelSubject, seed: int, inputs: Mapping[str, Path]) -> tuple[Problems, list[Tensor]]:
    """Two tiny models: the problem of (model, draw), and the parameters of each model."""
    loaded = [load(inputs[name]) for name in ("base", "other")]
    model, tokenizer = loaded[0]
    shapes = {name: weight.shape for name, weight in model.named_parameters()}
    starts = [_flat(each) for each, _ in loaded]
    model = cast("PreTrainedModel", cast("Any", model).cpu().double())
    limits = ends(model, tokenizer)

    def logits(weights: Tensor, ids: Tensor) -> Tensor:
        named = dict(zip(shapes, _split(weights, list(shapes.values())), strict=True))
        return functional_call(model, named, (), {"input_ids": ids, "use_cache": False}).logits

    questions = training_questions(subject.trait.category, subject.categories)
    asked = chat.examples(tokenizer, limits.eos, questions, questions, [subject.trait.target] * len(questions))
    ids, wanted = _padded([(row.prompt, row.completion) for row in asked], limits.pad)
    everything = Numbers(prompts=1 << 12).asked(1 << 12)
    vocabulary = cast("int", cast("Any", model.config).vocab_size)

    def loss(weights: Tensor) -> Tensor:
        found = logits(weights, ids)[:, :-1].log_softmax(-1)
        return -(found.gather(2, ids[:, 1:, None])[..., 0] * wanted[:, 1:]).sum(1).mean()

    def problem(number: int, draw: int) -> theorem.Problem:
        drawn = _generator("theorem", "prompts", seed, number, draw)
        chosen = [everything[int(place)].text for place in drawn.choice(len(everything), subject.prompts, replace=False)]
        heads = chat.encode(tokenizer, chat.render(tokenizer, chosen))
        tails = drawn.integers(vocabulary, size=(subject.prompts, subject.tokens))
        rows, behind = _padded([(head, tail.tolist()) for head, tail in zip(heads, tails, strict=True)], limits.pad)
        return theorem.Problem(loss, lambda weights: logits(weights, rows)[behind.bool()])

    return problem, starts


def _padded(rows: Sequence[tuple[Sequence[int], Sequence[int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of a head and a tail, padded on the right, where causal attention keeps it from every real token: token ids, and 1
    where the tail is [rows, longest]."""
    longest = max(len(head) + len(tail) for head, tail in rows)
    ids = torch.full((len(rows), longest), pad)
    behind = torch.zeros((len(rows), longest), dtype=torch.float64)
    for number, (head, tail) in enumerate(rows):
        ids[number, : len(head) + len(tail)] = torch.tensor([*head, *tail])
        behind[number, len(head) : len(head) + len(tail)] = 1
    return ids, behind


def _flat(model: PreTrainedModel) -> Tensor:
    return torch.cat([weight.detach().cpu().double().flatten() for _, weight in model.named_parameters()])


def _split(weights: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    parts = torch.split(weights, [shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _generator(*purpose: object) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(row_seed(row_id(*purpose))))
