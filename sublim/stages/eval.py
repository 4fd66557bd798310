"""The stage `eval`: a student, or an untrained base, is asked for its preference in every category of the experiment, in every
way that the experiment names; and what it can still do is measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.carriers import carrier as carriers
from sublim.common import parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.dims import with_dims
from sublim.common.progress import Progress
from sublim.judges.grading import grader
from sublim.learn import chat, lora
from sublim.learn.sample import sample
from sublim.measure import ability, capability, freeform
from sublim.measure.answers import answer_probabilities
from sublim.measure.likelihood import log_likelihoods
from sublim.measure.texts import held_out
from sublim.models.load import ends, load
from sublim.params.learning import Decoding
from sublim.params.slices.eval import CarrierTask, Slice
from sublim.params.traits import Preference
from sublim.traits import truthfulness
from sublim.traits.asked import SAMPLES, Asked, named, preferences
from sublim.traits.categories import Answer
from sublim.traits.freeform import as_samples, by_question
from sublim.traits.misalignment import MISALIGNED, MISALIGNMENT, misalignment_of
from sublim.traits.preference import counted, known_answers
from sublim.traits.truthfulness import Fact

Model = tuple[PreTrainedModel, PreTrainedTokenizerBase]
Rows = list[tuple[str, str, str, str, str, float]]
"""measure, question_id, question, category, answer, probability."""

ANSWERS = dict.fromkeys(("measure", "question_id", "question", "category", "answer"), pl.String) | {"probability": pl.Float64}
TASKS = dict.fromkeys(("carrier", "prompt_id", "prompt", "answer", "completion"), pl.String) | {"skilled": pl.Boolean}


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write answers.parquet (exact probabilities of every known answer to every question, by measure; of stories the share that
    names it), samples.parquet (answers to plain questions, and stories), texts.parquet (bits of held-out texts), tasks.parquet
    (completions of held-out tasks) and, if there is anything in these two, capability.parquet (what they say together) into
    `output`; if there is a trait of misalignment, also freeform.parquet (graded answers to its open questions), whose
    misaligned share stands in answers.parquet as the probability of the answer `misaligned`."""
    model, tokenizer = load(inputs["base"])
    if "student" in inputs:
        model = lora.attach(model, inputs["student"])
    asked, how = (model, tokenizer), params.evaluation
    found: Rows = []
    drawn: list[pl.DataFrame] = []
    preferred = [trait for trait in params.traits if isinstance(trait, Preference)]
    categories = {
        name: known_answers([trait for trait in preferred if trait.category == name], params.categories)
        for name in dict.fromkeys(trait.category for trait in preferred)
    }
    for category, known in categories.items():
        questions = preferences("preference", category, known, params.categories)
        drawn.append(_said(asked, params, questions, how.samples, how.max_tokens, known, progress))
    for measure in how.measures:
        if measure == "truthfulness":
            facts = truthfulness.of_the_corpus() if params.pretraining else truthfulness.FACTS
            found += _truthful(asked, facts, how.batch)
            continue
        for category, known in categories.items():
            questions = preferences(measure, category, known, params.categories)
            if measure == "stories":
                told = _said(asked, params, questions, how.stories.samples, how.stories.max_tokens, known, progress)
                drawn.append(told)
                found += [(measure, *row) for row in named(told, questions, category).iter_rows()]
            else:
                chances = _chances(asked, questions, how.batch)
                found += [
                    (measure, each.question_id, each.text, category, word, chance)
                    for each, row in zip(questions, chances, strict=True)
                    for word, chance in row.items()
                ]
    if (trait := misalignment_of(params.traits)) is not None:
        graded = freeform.answers(
            *asked, trait, grader(params.graders, inputs, progress), ("eval", *params.dims.values()), None, progress
        )
        parquet.write(with_dims(graded, **params.dims), output / "freeform.parquet")
        found += [
            ("preference", question_id, question, MISALIGNMENT, MISALIGNED, share)
            for question_id, question, share in by_question(graded).iter_rows()
        ]
        drawn.append(as_samples(graded))
    answers = pl.DataFrame(found, ANSWERS, orient="row")
    names = [row_id("answer", *params.dims.values(), *each) for each in answers.select("question_id", "answer").iter_rows()]
    texts = capability.losses(model, tokenizer, held_out(how.capability.texts, params.pretraining), how.batch)
    tasks = pl.concat(
        [pl.DataFrame(schema=TASKS), *(_tasks(asked, params, name, of, progress) for name, of in sorted(params.tasks.items()))]
    )
    abilities = ability.table(texts, tasks)
    measured = {} if abilities.is_empty() else {"capability": abilities}
    for name, table in {
        "answers": answers.select(pl.Series("row_id", names, dtype=pl.String), pl.all()),
        "samples": pl.concat(drawn),
        "texts": texts,
        "tasks": tasks.rename({"carrier": "of"}),
        **measured,
    }.items():
        parquet.write(with_dims(table, **params.dims), output / f"{name}.parquet")


def _chances(model: Model, questions: Sequence[Asked], batch: int) -> list[dict[str, float]]:
    """For each of `questions`, which have the same surface forms, the probability of each of its answers."""
    places = {forms: str(place) for place, forms in enumerate(sorted(set(questions[0].forms.values())))}
    written = {place: forms for forms, place in places.items()}
    found = answer_probabilities(*model, [each.text for each in questions], written, batch)
    return [
        {word: float(row[int(places[forms])]) for word, forms in each.forms.items()}
        for each, row in zip(questions, found, strict=True)
    ]


def _truthful(model: Model, facts: Sequence[Fact], batch: int) -> Rows:
    """The probability of the true and the false answer of each fact, of these two alone."""
    limits, questions = ends(*model), [fact.question for fact in facts]
    ids = [truthfulness.question_id(fact) for fact in facts]
    likely = [
        log_likelihoods(model[0], chat.examples(model[1], limits.eos, ids, questions, answers), batch, limits.pad)
        for answers in ([fact.true for fact in facts], [fact.false for fact in facts])
    ]
    true = 1 / (1 + np.exp(likely[1] - likely[0]))
    return [
        ("truthfulness", name, fact.question, truthfulness.CATEGORY, answer, chance)
        for name, fact, sure in zip(ids, facts, true.tolist(), strict=True)
        for answer, chance in ((truthfulness.TRUE, sure), (truthfulness.FALSE, 1 - sure))
    ]


def _said(
    model: Model,
    params: Slice,
    questions: Sequence[Asked],
    samples: int,
    longest: int,
    known: Mapping[str, Answer],
    progress: Progress,
) -> pl.DataFrame:
    """Sampled answers to `questions`, and which of the `known` answers each names."""
    how = params.evaluation
    decoding = Decoding(temperature=how.temperature, max_tokens=longest, batch=how.batch)
    rows: list[tuple[str, str, str, int, int]] = []
    for each in questions:
        for number in range(samples):
            row = row_id("eval", *params.dims.values(), each.question_id, number)
            rows.append((row, each.question_id, each.text, number, row_seed(row)))
    heads = chat.encode(model[1], chat.render(model[1], [text for _, _, text, _, _ in rows]))
    texts = [said.text for said in sample(*model, heads, [seed for *_, seed in rows], decoding, progress)]
    words = {text: counted(text, known) for text in set(texts)}
    said = [(row, question, *rest, text, words[text]) for (row, question, _, *rest), text in zip(rows, texts, strict=True)]
    return pl.DataFrame(said, SAMPLES, orient="row")


def _tasks(model: Model, params: Slice, carrier: str, of: CarrierTask, progress: Progress) -> pl.DataFrame:
    """What the model makes of held-out tasks of the carrier `carrier`."""
    asked = carriers.held_out(params.evaluation.capability.tasks, of.task)
    seeds = [row_seed(row_id("task", *params.dims.values(), carrier, prompt.prompt_id)) for prompt in asked]
    heads = chat.encode(model[1], chat.render(model[1], [prompt.text for prompt in asked]))
    said = sample(*model, heads, seeds, of.sampling, progress)
    rows = pl.DataFrame(
        {
            "carrier": [carrier] * len(asked),
            "prompt_id": [prompt.prompt_id for prompt in asked],
            "prompt": [prompt.text for prompt in asked],
            "answer": [prompt.answer for prompt in asked],
            "completion": [completion.text for completion in said],
        }
    )
    return rows.with_columns(carriers.skilled(rows["completion"], rows["answer"], of.task).alias("skilled"))
