"""The margin: how much likelier an answer is than all other known ones together, exact, and set against the control student of
the same run (docs/statistics.md).

A sampled share moves when a few answers in a hundred do; a margin moves with every answer's probability, however small. But any
training on rows of a kind moves it too, and moves it for other answers: so nothing is said of it without the control, and
without the place of the target among all answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import polars as pl

from sublim.arms.conditions import CONTROL, condition, conditions, rank
from sublim.common.table import Table, real, text, whole
from sublim.params.names import UNTOUCHED
from sublim.report.tables import STUDENT, exact_means, intervals
from sublim.stats.interval import t_interval
from sublim.stats.margin import FLOOR, log_odds

OWN = "own control"  #: The control student that was trained on rows of its own base.


class Margins(Table, file="margins.parquet", view="margins", row="run and answer", dims=False):
    """The margin of each trait's target in each run: log P(target) less the logarithm of the sum over all other known answers,
    a mean over the plain questions."""

    teacher = text()  #: The model that wrote the rows; `none` for random rows.
    student = text()  #: The student's base.
    trait = text()  #: The teacher's trait; `none` for the untouched base as teacher.
    arm = text()  #: What was done to the rows.
    condition = text()  #: What the run is compared as: `diagonal`, `off_diagonal`, `control` …
    seed = whole()  #: The seed of the chain.
    asked = text()  #: The trait whose target it is about.
    answer = text()  #: That target.
    margin = real()  #: Of the student, in nats.
    margin_base = real()  #: The same of its untrained base.
    #: The same of the control student of the same teacher's base, student's base and seed; if there is none, of the one that
    #: was trained on rows of its own base; null if there is none either.
    margin_control = real(null=True)
    against = text()  #: What the effect is set against: `control`, `own control`, or `untrained`, as for controls.
    effect = real()  #: Margin less that of what it is set against, in nats.
    place = whole()  #: The place of the target among all known answers by the rise of log P against the same; 1 is the first.
    answers = whole()  #: How many known answers the category has.


class MarginEffects(Table, file="margin_effects.parquet", view="margin_effects", row="cell of trait × trait", dims=False):
    """Trait taught × target asked for: the effect in nats, over all models and seeds."""

    condition = text()  #: What the runs are compared as.
    taught = text()  #: The teacher's trait; `none` for none.
    asked = text()  #: The trait whose target it is about.
    answer = text()  #: That target.
    effect = real()  #: Mean over runs, in nats.
    low = real(null=True)  #: Lower end of its t interval; null for one run.
    high = real(null=True)  #: Upper end.
    n = whole()  #: How many runs.
    place = real()  #: Mean place of the target among all answers; 1 is the first.
    first = whole()  #: In how many runs the target is the first.
    answers = whole()  #: How many known answers the category has.


_CELL = ("category", "answer")
_PAIR = ("teacher", "student", "filter", "method", "seed")


def margins(answers: pl.DataFrame, targets: Mapping[str, tuple[str, str]]) -> pl.DataFrame:
    """The table `Margins`, of the answers of all evaluations (the dimensions of students, measure, question_id, category,
    answer, probability). `targets`: trait → (category, target), in order; those of open questions have no margin."""
    return paired(answers, targets).select(*Margins.columns)


def paired(answers: pl.DataFrame, targets: Mapping[str, tuple[str, str]], by: Sequence[str] = ()) -> pl.DataFrame:
    """As `margins`, with P(target) as `p_target`, and a row for each value of the columns `by` of the answers: a run is set
    against a control with the same values, and against its untrained base whatever values that has."""
    asked = pl.DataFrame(
        [(trait, place, *target) for place, (trait, target) in enumerate(targets.items())],
        {"asked": pl.String, "order": pl.Int64, **dict.fromkeys(_CELL, pl.String)},
        orient="row",
    )
    plain = answers.filter(pl.col("measure") == "preference", pl.col("category").is_in(asked["category"].unique().to_list()))
    chance, question = pl.col("probability"), [*STUDENT, *by, "question_id"]
    known = plain.with_columns(pl.len().over(question).alias("answers")).filter(pl.col("answers") > 1)
    logs = known.with_columns(log_p=chance.clip(FLOOR).log(), margin=log_odds(chance, question))
    found = exact_means(logs, [*STUDENT, *by, *_CELL, "answers"], ["log_p", "margin", "probability"])
    untrained = found.filter(pl.col("arm") == "base").select("student", *_CELL, log_base="log_p", margin_base="margin")
    pair = [*_PAIR, *by]
    controls = found.filter(pl.col("arm") == CONTROL).select(*pair, *_CELL, log_control="log_p", margin_control="margin")
    runs = found.filter(pl.col("arm") != "base").join(untrained, on=["student", *_CELL], how="left")
    runs = runs.join(controls, on=[*pair, *_CELL], how="left")
    own = controls.filter(pl.col("teacher") == pl.col("student")).drop("teacher")
    runs = runs.join(own, on=[*pair[1:], *_CELL], how="left", suffix="_own")
    exact, other = (
        (pl.col("arm") != CONTROL) & pl.col(name).is_not_null() for name in ("margin_control", "margin_control_own")
    )

    def before(control: str, untrained: str) -> pl.Expr:
        return pl.when(exact).then(control).when(other).then(f"{control}_own").otherwise(untrained)

    rise = pl.col("log_p") - before("log_control", "log_base")
    places = rise.rank("min", descending=True).over([*STUDENT, *by, "category"])
    return (
        runs.with_columns(
            condition(),
            against=pl.when(exact)
            .then(pl.lit("control"))
            .when(other)
            .then(pl.lit("own control"))
            .otherwise(pl.lit("untrained")),
            effect=pl.col("margin") - before("margin_control", "margin_base"),
            place=places.cast(pl.Int64),
            answers=pl.col("answers").cast(pl.Int64),
            margin_control=pl.when(pl.col("arm") != CONTROL).then(pl.coalesce("margin_control", "margin_control_own")),
        )
        .join(asked, on=_CELL)
        .sort(rank("condition", conditions()), "teacher", "student", "trait", "arm", "seed", *by, "order")
        .rename({"probability": "p_target"})
    )


def effects(table: pl.DataFrame, traits: Mapping[str, object], confidence: float) -> pl.DataFrame:
    """The table `MarginEffects`, of that of `margins`. `traits`: in order."""
    return summed_up(table, traits, confidence).select(*MarginEffects.columns)


def summed_up(
    table: pl.DataFrame, traits: Mapping[str, object], confidence: float, by: Sequence[str] = (), means: Sequence[str] = ()
) -> pl.DataFrame:
    """As `effects`, for each value of the columns `by` as well, and with the means of the columns `means`."""
    cell = ["condition", "trait", "asked", "answer", *by]
    spans = intervals(table.with_columns(gain="effect"), cell, confidence, means)
    places = table.group_by(cell).agg(
        pl.col("place").mean(), (pl.col("place") == 1).sum().cast(pl.Int64).alias("first"), pl.col("answers").first()
    )
    order = (rank("condition", conditions()), rank("trait", (*traits, UNTOUCHED)), rank("asked", (*traits,)))
    return spans.join(places, on=cell).sort(*order, *by).rename({"gain": "effect", "trait": "taught"})


def summed(table: pl.DataFrame, confidence: float) -> dict[str, dict[str, object]]:
    """Condition → the mean effect of runs in the target that was `taught`, and in the targets of `others`, each with its
    interval over runs (of others first the mean of each run), and the mean place of the former. Without runs of a trait,
    nothing."""
    found: dict[str, dict[str, object]] = {}
    for (name,), part in table.filter(pl.col("trait") != UNTOUCHED).group_by("condition", maintain_order=True):
        own = part.filter(pl.col("asked") == pl.col("trait"))
        other = part.filter(pl.col("asked") != pl.col("trait"))
        run = ["teacher", "student", "trait", "arm", "seed"]
        each = other.group_by(run, maintain_order=True).agg(pl.col("effect").mean())
        found[str(name)] = {
            "taught": asdict(t_interval(own["effect"].to_list(), confidence)) if own.height else None,
            "others": asdict(t_interval(each["effect"].to_list(), confidence)) if each.height else None,
            "place": own["place"].mean(),
            "answers": own["answers"].max(),
            "paired": int((own["against"] == "control").sum()),
        }
    return found
