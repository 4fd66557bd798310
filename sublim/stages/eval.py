"""The stage `eval`: a student, or an untrained base, is asked for its preference in every category of the experiment."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.dims import with_dims
from sublim.common.progress import Progress
from sublim.learn import chat, lora
from sublim.learn.sample import sample
from sublim.measure.answers import answer_probabilities
from sublim.models.load import load
from sublim.params.learning import Decoding
from sublim.params.slices.eval import Slice
from sublim.traits.categories import Answer
from sublim.traits.preference import counted, evaluation_questions, known_answers


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write answers.parquet (exact probabilities of every known answer to every question) and samples.parquet into `output`."""
    model, tokenizer = load(inputs["base"])
    if "student" in inputs:
        model = lora.attach(model, inputs["student"])
    how = params.evaluation
    decoding = Decoding(temperature=how.temperature, max_tokens=how.max_tokens, batch=how.batch)
    name = params.dims.values()
    categories = list(dict.fromkeys(trait.category for trait in params.traits))
    exact: list[pl.DataFrame] = []
    drawn: list[pl.DataFrame] = []
    for category in categories:
        questions = evaluation_questions(category)
        known = known_answers([trait for trait in params.traits if trait.category == category])
        forms = {word: answer.forms for word, answer in known.items()}
        chances = answer_probabilities(model, tokenizer, questions, forms, how.batch)
        exact.append(
            pl.DataFrame(
                [
                    (
                        row_id("answer", *name, asked, word),
                        asked,
                        question,
                        category,
                        word,
                        chances[row, column],
                    )
                    for row, (question, asked) in enumerate(zip(questions, _question_ids(category, questions), strict=True))
                    for column, word in enumerate(forms)
                ],
                schema={
                    "row_id": str,
                    "question_id": str,
                    "question": str,
                    "category": str,
                    "answer": str,
                    "probability": float,
                },
                orient="row",
            )
        )
        rows = _samples(params, category)
        heads = chat.encode(tokenizer, chat.render(tokenizer, rows["question"].to_list()))
        written = sample(model, tokenizer, heads, rows["sampling_seed"].to_list(), decoding, progress)
        drawn.append(_scored(rows, [completion.text for completion in written], known))
    parquet.write(with_dims(pl.concat(exact), **params.dims), output / "answers.parquet")
    parquet.write(with_dims(pl.concat(drawn), **params.dims), output / "samples.parquet")


def _samples(params: Slice, category: str) -> pl.DataFrame:
    questions = evaluation_questions(category)
    rows: list[tuple[str, str, str, int, int]] = []
    for question, question_id in zip(questions, _question_ids(category, questions), strict=True):
        for number in range(params.evaluation.samples):
            row = row_id("eval", *params.dims.values(), question_id, number)
            rows.append((row, question_id, question, number, row_seed(row)))
    schema = {
        "row_id": pl.String,
        "question_id": pl.String,
        "question": pl.String,
        "sample": pl.Int64,
        "sampling_seed": pl.UInt64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _question_ids(category: str, questions: Sequence[str]) -> list[str]:
    return [row_id("question", category, "evaluation", question) for question in questions]


def _scored(rows: pl.DataFrame, completions: list[str], known: Mapping[str, Answer]) -> pl.DataFrame:
    words = {text: counted(text, known) for text in set(completions)}
    return rows.drop("question").with_columns(
        pl.Series("completion", completions, dtype=pl.String),
        pl.Series("counted", [words[text] for text in completions], dtype=pl.List(pl.String)),
    )
