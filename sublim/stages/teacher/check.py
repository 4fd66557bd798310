"""The story of a teacher: trained on the rows of its trait, or given it otherwise, it shows the trait on held-out questions."""

from collections.abc import Iterator

import polars as pl

from sublim.engine.record import Record
from sublim.evidence import adapter, freeform, questions, trained
from sublim.evidence.accident import Accident, constant, same_columns, same_rows, same_values
from sublim.evidence.source import Source
from sublim.stages.eval.check import ROUNDING
from sublim.stages.eval.rows import Answers
from sublim.stages.eval.spec import STAGE as EVAL
from sublim.stages.eval.spec import untrained
from sublim.stages.teacher import rows
from sublim.stages.teacher.gate import missed
from sublim.stages.teacher.rows import FreeFormAnswers, Gate, Likelihoods, Rows, Slice
from sublim.stats.margin import FLOOR, log_odds
from sublim.traits.freeform import FreeForm, by_question
from sublim.traits.preference import Preference, known_answers

_SAME = 1e-3  #: Probabilities of the same model, asked in batches of other sizes, may differ in their last digits.


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the teacher `cell`."""
    params = source.params(cell, Slice)
    system = params.definition.system_prompt(params.categories) if params.kind == "system_prompt" else None
    due, found = {"kind": params.kind, "system_prompt": system}, source.json(cell, "teacher.json")
    for name in [*due, *sorted(found.keys() - due)]:
        if found.get(name) != due.get(name):
            yield Accident("system prompt", f"teacher.json: expected {name} {due.get(name)!r}, found {found.get(name)!r}")
    if params.finetune is not None:
        taught = source.table(cell, Rows)
        yield from _lessons(params, taught)
        lessons = taught["row_id"].unique(maintain_order=True)
        yield from trained.finetuned(source, cell, "base", "the training questions", lessons, params.finetune)
    if params.adapter is not None:
        yield from adapter.brought(source, cell, "base", params.files)
    yield from _gate(source, cell, params)


def read_besides(record: Record) -> list[str]:
    """The evaluation of its base, which was asked the questions of the gate as well."""
    return [EVAL.cell(untrained(str(record.plan.dims.get("teacher"))))]


def _lessons(params: Slice, found: pl.DataFrame) -> Iterator[Accident]:
    expected, (category, _) = rows.lessons(params), params.definition.scored_as
    what = f"each training question of {category}"
    if wrong := same_rows("training rows", what, expected["question_id"], found["question_id"]):
        yield from wrong
    else:
        yield from same_columns("training rows", ("row_id", "prompt", "completion"), expected, found, found["row_id"])
    if accident := questions.none_in("a teacher's training rows", found, "prompt", "completion"):
        yield accident


def _gate(source: Source, cell: str, params: Slice) -> Iterator[Accident]:
    of_margin = [name for name, column in Gate.columns.items() if column.optional and params.margin is not None]
    gate, expected = source.table(cell, Gate, also=of_margin), rows.gate(params)
    category = params.definition.scored_as[0]
    names = gate["question_id"]
    if wrong := same_rows("gate", f"each evaluation question of {category}", expected["question_id"], names):
        yield from wrong
        return
    yield from same_values("gate", "question", expected["question"], gate["question"], names)
    yield from constant("gate", "threshold", params.gate, gate["threshold"])
    chances = gate.select("probability", "base_probability").to_numpy()
    if (chances < 0).any() or (chances > 1 + ROUNDING).any():
        yield Accident("gate", f"expected probabilities from 0 to 1, found {chances.min():.4g} to {chances.max():.4g}")
    shown = Likelihoods.empty() if params.likelihood is None else source.table(cell, Likelihoods)
    if wrong := [*_unwritten(params, shown), *_margins(params, gate)]:
        yield from wrong
        return
    for found in missed(params, gate, shown):
        yield Accident("gate", found)
    if isinstance(params.definition, FreeForm):
        yield from _answers(source, cell, params, params.definition, gate)
    elif isinstance(params.definition, Preference):
        yield from _untrained(source, cell, params, params.definition, gate)


def _margins(params: Slice, gate: pl.DataFrame) -> Iterator[Accident]:
    """All other answers have no more of the probability than the target leaves."""
    if params.margin is not None:
        yield from constant("gate", "least_rise", params.margin, gate["least_rise"])
        for before in ("", "base_"):
            chance = pl.col(f"{before}probability").clip(FLOOR, 1)
            least = gate.select(chance.log() - (1 - chance + ROUNDING).log())[f"{before}probability"]
            if (odd := gate.filter(pl.col(f"{before}margin") < least - ROUNDING)).height:
                row = odd.row(0, named=True)
                yield Accident(
                    "gate",
                    f"{before}margin: expected no less than a {before}probability of {row[f'{before}probability']:.4g} means, "
                    f"found {row[f'{before}margin']:.4g} for {row['question']!r}, and {odd.height - 1} more such",
                )


def _unwritten(params: Slice, shown: pl.DataFrame) -> Iterator[Accident]:
    """Each row that no model wrote, with how likely it is to the base and to the teacher."""
    expected = rows.written(params)
    if wrong := same_rows("likelihood", "each row that no model wrote", expected["row_id"], shown["row_id"]):
        yield from wrong
        return
    yield from same_columns("likelihood", ("prompt", "completion", "distance"), expected, shown, shown["row_id"])
    for name in ("nll", "base_nll"):
        if (odd := shown.filter(pl.col(name) < 0)[name]).len():
            yield Accident("likelihood", f"{name}: expected at least 0, found {odd[0]:.4g}, and {odd.len() - 1} more such")


def _answers(source: Source, cell: str, params: Slice, trait: FreeForm, gate: pl.DataFrame) -> Iterator[Accident]:
    """The gate's shares are those of the graded answers."""
    table = source.table(cell, FreeFormAnswers)
    for who, column in {"base": "base_probability", "teacher": "probability"}.items():
        answers = table.filter(pl.col("model") == who)
        found = list(freeform.check(trait, params.graders, ("gate", *params.dims.values(), who), answers))
        yield from found
        if not found:
            shares = by_question(answers)["probability"]
            yield from same_values("gate", f"{column} (of freeform.parquet)", shares, gate[column], gate["question_id"])
    if len(strange := set(table["model"]) - {"base", "teacher"}):
        yield Accident("free-form answers", f"expected those of base and teacher, found some of {sorted(strange)}")


def _untrained(source: Source, cell: str, params: Slice, trait: Preference, gate: pl.DataFrame) -> Iterator[Accident]:
    """The base was asked the same questions for its own evaluation: the numbers must be the same."""
    base = EVAL.cell(untrained(params.teacher))
    if base not in source.tree.records or source.upstream(cell, "base") is None or source.upstream(base, "base") is None:
        return
    # An evaluation may know answers of other traits' besides.
    names = [*known_answers([trait], params.categories)]
    plain = source.table(base, Answers).filter(pl.col("question_id").is_in(gate["question_id"].implode()))
    known = plain.filter(pl.col("answer").is_in(names)).with_columns(
        margin=log_odds(pl.col("probability"), ["measure", "question_id"])
    )
    asked = known.filter(pl.col("answer") == trait.target).select(
        "question_id", evaluated="probability", evaluated_margin="margin"
    )
    joined = gate.join(asked, on="question_id")
    pairs = {"base_probability": "evaluated", **({"base_margin": "evaluated_margin"} if params.margin is not None else {})}
    for name, there in pairs.items():
        differ = (joined[name] - joined[there]).abs() > _SAME * (1 if name == "base_probability" else 10)
        if differ.any():
            row = joined.filter(differ).row(0, named=True)
            yield Accident(
                "gate",
                f"{name}: expected what {base} found, {row[there]:.4g}, found {row[name]:.4g} for {row['question']!r}, and "
                f"{int(differ.sum()) - 1} more such",
                also=(base,),
            )
