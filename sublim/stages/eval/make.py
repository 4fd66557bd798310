"""The stage `eval`: a student, or an untrained base, is asked for its preference in every category of the experiment, in every
way that the experiment names; and what it can still do is measured."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common import ids, parquet
from sublim.common.canonical import row_id, row_seed
from sublim.common.progress import Progress
from sublim.judges.grading import grader
from sublim.learn import chat, freeform, trained
from sublim.learn.sample import sample
from sublim.measures import ability, capability
from sublim.measures.measure import Group
from sublim.measures.texts import held_out
from sublim.models.load import load
from sublim.params.learning import Decoding
from sublim.stages.eval import rows
from sublim.stages.eval.rows import Answers, Capability, FreeFormAnswers, HeldOutTasks, Probes, Samples, Slice, Tasks, Texts
from sublim.traits.freeform import as_samples, by_question
from sublim.traits.preference import counted

Model = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def make(inputs: Mapping[str, Path], params: Slice, output: Path, progress: Progress) -> None:
    """Write the tables of `rows` into `output`."""
    model, tokenizer = load(inputs["base"])
    if "student" in inputs:
        model = trained.attach(model, inputs["student"])
    asked, how = (model, tokenizer), params.evaluation
    samples = pl.concat([Samples.empty(), *(_drawn(asked, params, *each, progress) for each in rows.drawn(params))])
    chances = [
        chance
        for measure, group in rows.groups(params)
        for row in measure.chances(model, tokenizer, group, samples, how.batch)
        for chance in row.values()
    ]
    made: dict[type[rows.Table], pl.DataFrame] = {}
    if (trait := rows.free_form_of(params)) is not None:
        grade = grader(trait, params.graders, inputs, progress)
        graded = freeform.answers(*asked, trait, grade, ("eval", *params.dims.values()), None, progress)
        chances += by_question(graded)["probability"].to_list()
        samples = pl.concat([samples, as_samples(graded)])
        made[FreeFormAnswers] = graded
    answers = rows.answers(params).with_columns(probability=pl.Series(chances, dtype=pl.Float64))
    texts = capability.losses(model, tokenizer, held_out(how.capability.texts, params.pretraining), how.batch)
    done = [_done(asked, params, name, of, progress) for name, of in sorted(params.tasks.items())]
    tasks = pl.concat([Tasks.empty(), *done])
    identified = answers.select(rows.answer_ids(params, answers).alias("row_id"), pl.all())
    made |= {Answers: identified, Samples: samples, Texts: texts, Tasks: tasks}
    if not (abilities := ability.table(texts, tasks)).is_empty():
        made[Capability] = abilities
    if params.probes:
        made[Probes] = _probed(inputs, params, progress)
    parquet.write_tables(made, params.dims, output)


def _probed(inputs: Mapping[str, Path], params: Slice, progress: Progress) -> pl.DataFrame:
    """The student's exact probabilities as they were after so many updates."""
    track = progress.start("probes", len(params.probes), "probe")
    chances: list[float] = []
    for step in params.probes:
        base, tokenizer = load(inputs["base"])
        model = trained.attach(base, inputs["student"], step)
        for measure, group in rows.exact(params):
            found = measure.chances(model, tokenizer, group, Samples.empty(), params.evaluation.batch)
            chances += [chance for row in found for chance in row.values()]
        track.advance()
    return rows.probes(params).with_columns(probability=pl.Series(chances, dtype=pl.Float64))


def _drawn(model: Model, params: Slice, group: Group, samples: int, longest: int, progress: Progress) -> pl.DataFrame:
    """Sampled answers to the questions of `group`, and which of the known answers each names."""
    how = params.evaluation
    decoding = Decoding(temperature=how.temperature, max_tokens=longest, batch=how.batch)
    known = rows.scope(params).known[group.category]
    asked = pl.DataFrame(
        [(each.question_id, each.text, number) for each in group.questions for number in range(samples)],
        {"question_id": pl.String, "question": pl.String, "sample": pl.Int64},
        orient="row",
    )
    names = rows.sample_ids(params, asked)
    seeds = ids.seeds(names)
    heads = chat.encode(model[1], chat.render(model[1], asked["question"].to_list()))
    texts = [said.text for said in sample(*model, heads, [int(seed) for seed in seeds], decoding, progress)]
    words = {text: counted(text, known) for text in set(texts)}
    return asked.select(
        *(names.alias("row_id"), "question_id", "sample"),
        pl.Series("sampling_seed", seeds, dtype=pl.UInt64),
        pl.Series("completion", texts, dtype=pl.String),
        pl.Series("counted", [words[text] for text in texts], dtype=pl.List(pl.String)),
    )


def _done(model: Model, params: Slice, carrier: str, tasks: HeldOutTasks, progress: Progress) -> pl.DataFrame:
    """What the model makes of held-out tasks of the carrier `carrier`."""
    asked = rows.tasks(params, carrier)
    seeds = [row_seed(row_id("task", *params.dims.values(), carrier, prompt)) for prompt in asked["prompt_id"]]
    heads = chat.encode(model[1], chat.render(model[1], asked["prompt"].to_list()))
    said = sample(*model, heads, seeds, tasks.sampling, progress)
    found = asked.with_columns(pl.Series("completion", [completion.text for completion in said], dtype=pl.String))
    return found.with_columns(tasks.task.skilled(found["completion"], found["answer"]).alias("skilled"))
