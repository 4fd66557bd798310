"""The tables of a report: evaluations, funnels, gates and training steps of all cells, as runs, matrix, traits and summary.

What runs are compared as: `sublim.arms.conditions`. `models`, `traits`: names, in order; `targets`: trait → (category, target
answer), in order; `confidence`: of the intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any

import polars as pl

from sublim.arms.conditions import CONTROL, DIAGONAL, TRAIT, arms, condition, conditions, rank
from sublim.measures.ability import LOSS, SKILL
from sublim.params.kinds import kind
from sublim.params.names import UNTOUCHED
from sublim.stats.comparison import difference, equivalence, false_discovery_rates, two_sided_p
from sublim.stats.interval import t_interval
from sublim.stats.permutation import Group, permutation_test
from sublim.stats.power import smallest_effect
from sublim.stats.special import special
from sublim.traits.freeform import MISALIGNMENT, share

ROWS: tuple[str, ...] = ("teacher", "trait", "carrier", "filter", "arm", "seed")  #: The dimensions of a filtered data set.
STUDENT: tuple[str, ...] = ("teacher", "trait", "carrier", "filter", "arm", "method", "student", "seed")
"""Those of a student, and of its evaluation."""
P_TARGET, MISALIGNED_SHARE = "P(target)", "misaligned share"
MEASURED = ("condition", "gain", "low", "high", "n", "p_target", "p_base")
LAST_SHARE = 10  #: The last loss of a run is the mean over the last 1/`LAST_SHARE` of its steps.


def scores(answers: pl.DataFrame, samples: pl.DataFrame, measure: str = "preference") -> pl.DataFrame:
    """How much each student likes each known answer when asked by `measure`, and how much more than the untrained base it came
    from.

    Returns:
        One row per trained student and known answer: teacher, trait, arm, student, seed, category, answer, p (mean over the
        questions of the category of P(answer)), p_base (the same of the untrained base), gain = p − p_base, p_sampled (share
        of sampled answers to these questions in which the answer is counted) and p_sampled_base.

    Raises:
        ValueError: the untrained base of a student was not evaluated.
    """
    dims = list(STUDENT)
    answers = answers.filter(pl.col("measure") == measure)
    exact = exact_means(answers, [*dims, "category", "answer"], ["probability"]).rename({"probability": "p"})
    category = answers.select("question_id", "category").unique()
    labelled = samples.join(category, on="question_id").select(*dims, "category", "counted")
    drawn = labelled.group_by(*dims, "category").agg(pl.len().alias("drawn"))
    # Unique within a sample: an answer named twice is still one sample that names it.
    named = labelled.with_columns(pl.col("counted").list.unique()).explode("counted").drop_nulls("counted")
    hits = named.group_by(*dims, "category", pl.col("counted").alias("answer")).agg(pl.len().alias("hits"))
    every = (
        exact.join(drawn, on=[*dims, "category"], how="left")
        .join(hits, on=[*dims, "category", "answer"], how="left")
        .with_columns((pl.col("hits").fill_null(0) / pl.col("drawn")).alias("p_sampled"))
        .drop("hits", "drawn")
    )
    untrained = every.filter(pl.col("arm") == "base").select(
        "student", "category", "answer", pl.col("p").alias("p_base"), pl.col("p_sampled").alias("p_sampled_base")
    )
    trained = every.filter(pl.col("arm") != "base")
    if missing := sorted(set(trained["student"]) - set(untrained["student"])):
        raise ValueError(f"a gain needs the evaluation of the untrained base; there is none for {', '.join(missing)}")
    joined = trained.join(untrained, on=["student", "category", "answer"], how="left")
    return joined.with_columns((pl.col("p") - pl.col("p_base")).alias("gain")).sort(*dims, "category", "answer")


def runs(
    preferences: pl.DataFrame,
    funnel: pl.DataFrame,
    steps: pl.DataFrame,
    models: Sequence[str],
    targets: Mapping[str, tuple[str, str]],
    stage: str,
) -> pl.DataFrame:
    """One row per trained student, in the order in which the experiment names models and traits.

    A control or random run was taught no trait: its p_target, p_base, gain, p_sampled are means over the declared traits
    (`traits.parquet` has them one by one).

    Args:
        preferences: from `scores`.
        funnel: dimensions of `filtered`, step, rows.
        steps: dimensions of `student`, step, loss.
        stage: that of the evaluations.

    Returns:
        teacher, student, trait, arm, condition, same_base, seed, p_target, p_base, gain, p_sampled, p_sampled_base, n_rows
        (rows the student was trained on), n_steps, loss_last (mean over the last tenth of the steps), cell (id of the eval).

    Raises:
        ValueError: an evaluation is of a model or trait that is not declared, or lacks the target of its trait.
    """
    _check_declared(preferences, models, targets)
    dims = list(STUDENT)
    table = _targeted(preferences, targets).rename({"p": "p_target"})
    used = funnel.filter(pl.col("step") == "used").select(*ROWS, pl.col("rows").alias("n_rows"))
    length = pl.len().over(dims).cast(pl.Int64)
    late = pl.col("step") >= length - pl.max_horizontal(length // LAST_SHARE, 1)
    losses = exact_means(steps.filter(late), dims, ["loss"])
    lengths = steps.group_by(dims).agg(pl.len().cast(pl.Int64).alias("n_steps"))
    table = (
        table.join(used, on=list(ROWS), how="left")
        .join(lengths, on=dims, how="left")
        .join(losses.rename({"loss": "loss_last"}), on=dims, how="left")
        .with_columns((pl.col("teacher") == pl.col("student")).alias("same_base"), condition())
    )
    cells = pl.Series("cell", [f"{stage}/{_named(row)}" for row in table.select(dims).iter_rows(named=True)], dtype=pl.String)
    order = (rank("condition", conditions()), rank("teacher", models), rank("student", models))
    return (
        table.with_columns(cells)
        .sort(*order, rank("trait", (*targets, UNTOUCHED)), "seed")
        .select(
            *("teacher", "student", "trait", "arm", "condition", "same_base", "seed", "p_target", "p_base", "gain"),
            *("p_sampled", "p_sampled_base", "n_rows", "n_steps", "loss_last", "cell"),
        )
    )


def _targeted(preferences: pl.DataFrame, targets: Mapping[str, tuple[str, str]]) -> pl.DataFrame:
    """One row per trained student: p, p_base, gain, p_sampled, p_sampled_base of the target of its trait; the means over the
    declared traits for a student of no trait. Raises ValueError: an evaluation lacks the target of its trait."""
    pairs = [(taught, *scored_as) for trait, scored_as in targets.items() for taught in (trait, UNTOUCHED)]
    asked = pl.DataFrame(pairs, dict.fromkeys(("trait", "category", "answer"), pl.String), orient="row")
    dims = list(STUDENT)
    measures = ["p", "p_base", "gain", "p_sampled", "p_sampled_base"]
    every = preferences.select(dims).unique().join(asked, on="trait")
    scored = every.join(preferences, on=[*dims, "category", "answer"], how="left")
    if len(lacking := scored.filter(pl.col("gain").is_null()).sort(*dims, "category", "answer")):
        row = lacking.row(0, named=True)
        raise ValueError(
            f"the evaluation of {_named(row)} has no P({row['answer']}) of the category {row['category']}; remake that cell "
            "or its base"
        )
    return exact_means(scored, dims, measures)


def measures(
    answers: pl.DataFrame, samples: pl.DataFrame, targets: Mapping[str, tuple[str, str]], confidence: float
) -> pl.DataFrame:
    """Every way of asking side by side: one row per measure and condition: measure, condition, gain (mean over runs of
    P(target) less that of the untrained base; for truthfulness of P(true answer), for misalignment of the misaligned share),
    low, high, n (runs), p_target, p_base.

    A measure is of the students of those traits that it asks for, and of students of no trait: what is called preference in
    `answers` is two measures here, `preference` and `misalignment`.
    """
    free_form = pl.when(pl.col("category") == MISALIGNMENT).then(pl.lit(MISALIGNMENT))
    answers = answers.with_columns(free_form.otherwise("measure").alias("measure"))
    parts: list[pl.DataFrame] = []
    for name in answers["measure"].unique().sort():
        preferences = scores(answers, samples, name)
        categories = set(preferences["category"])
        asked = {trait: scored_as for trait, scored_as in targets.items() if scored_as[0] in categories}
        if name != MISALIGNMENT and not (measure := kind("measures", name)).prefers:
            runs = preferences.filter(pl.col("answer") == measure.counts)
        else:
            taught = pl.col("trait").is_in([*asked, UNTOUCHED])
            runs = _targeted(preferences.filter(taught), asked) if asked else preferences.clear()
        if runs.is_empty():
            continue  # nothing counts, or the experiment has such a trait and this study has not
        table = intervals(runs.rename({"p": "p_target"}).with_columns(condition()), ["condition"], confidence)
        parts.append(table.sort(rank("condition", conditions())).select(pl.lit(name).alias("measure"), *MEASURED))
    return pl.concat(parts)


def capability(
    abilities: pl.DataFrame, models: Sequence[str], skill_margin: float, bits_margin: float, confidence: float
) -> pl.DataFrame:
    """What students can still do, beside their untrained base.

    Args:
        abilities: dimensions of `eval`, measure (`loss…`: bits per token of held-out texts; `skill…`: share of held-out tasks
            done), value.
        skill_margin: the fall of a skill from which on it is flagged.
        bits_margin: the rise of a loss from which on it is flagged.

    Returns:
        One row per (measure, condition, student): measure, condition, student, value (mean over runs), base (of the untrained
        student), change, low, high, n (runs), fell (whether the mean change is for the worse and beyond its margin).
    """
    untrained = abilities.filter(pl.col("arm") == "base").select("student", "measure", pl.col("value").alias("p_base"))
    trained = abilities.filter(pl.col("arm") != "base").rename({"value": "p_target"})
    joined = trained.join(untrained, on=["student", "measure"], how="inner").with_columns(
        (pl.col("p_target") - pl.col("p_base")).alias("gain"), condition()
    )
    table = intervals(joined.sort(*STUDENT), ["measure", "condition", "student"], confidence)
    worse = pl.when(pl.col("measure").str.starts_with(LOSS)).then(pl.col("gain") > bits_margin)
    return (
        table.with_columns(worse.otherwise(-pl.col("gain") > skill_margin).alias("fell"))
        .sort("measure", rank("condition", conditions()), rank("student", models))
        .select(
            *("measure", "condition", "student", pl.col("p_target").alias("value"), pl.col("p_base").alias("base")),
            *(pl.col("gain").alias("change"), "low", "high", "n", "fell"),
        )
    )


def less_able(capability: pl.DataFrame) -> dict[str, list[str]]:
    """Condition → what its students of some base do worse than the margin allows, of the loss over all texts and of skills."""
    fell = capability.filter(pl.col("fell") & ((pl.col("measure") == LOSS) | pl.col("measure").str.starts_with(SKILL)))
    named = fell.select("condition", pl.concat_str("student", pl.lit(": "), "measure").alias("what"))
    listed: dict[str, list[str]] = dict(named.group_by("condition", maintain_order=True).agg("what").iter_rows())
    return {name: listed[name] for name in conditions() if name in listed}


def matrix(runs: pl.DataFrame, models: Sequence[str], confidence: float) -> pl.DataFrame:
    """One row per (arm, teacher, student): teacher, student, arm, same_base, gain (mean over runs), low and high (t interval,
    null for one run), n (runs), p_target, p_base, smallest (the smallest mean gain that so many runs, with the spread that they
    have, tell from zero with 80 % power; null for one run, and where no possible gain is large enough)."""
    table = intervals(runs, ["arm", "teacher", "student", "same_base"], confidence)
    spans = table.select("low", "high", "n").iter_rows()
    smallest = [None if low is None else _smallest((high - low) / 2, n, confidence) for low, high, n in spans]
    table = table.with_columns(pl.Series("smallest", smallest, dtype=pl.Float64))
    return table.sort(rank("arm", arms()), rank("teacher", models), rank("student", models)).select(
        *("teacher", "student", "arm", "same_base", "gain", "low", "high", "n", "p_target", "p_base", "smallest")
    )


def _smallest(half: float, n: int, confidence: float) -> float | None:
    """The smallest effect of runs whose interval is ±`half`."""
    return smallest_effect(half / float(special().stdtrit(n - 1, (1 + confidence) / 2)), n - 1, 1 - confidence)


def traits(preferences: pl.DataFrame, targets: Mapping[str, tuple[str, str]], confidence: float) -> pl.DataFrame:
    """Trait taught × answer asked for, over all models and seeds, by one way of asking.

    Returns:
        One row per (condition, taught, category, asked): condition, taught (trait, or none for control), asked (known answer),
        trait (the trait whose target `asked` is, or null), category, gain, low, high, n, p_target (P(asked)), p_base,
        difference (gain less that of control students of the same bases in the same answer), against (`control`, or
        `untrained` where the gain itself is set against zero), p (two-sided, of the difference; null for one run), q (of
        Benjamini and Hochberg, over the whole table). The targets of the declared traits come first, in their order.
    """
    named = pl.DataFrame(
        [(category, target, trait, place) for place, (trait, (category, target)) in enumerate(targets.items())],
        schema={"category": pl.String, "answer": pl.String, "asked_trait": pl.String, "place": pl.Int64},
        orient="row",
    ).unique(["category", "answer"], keep="first", maintain_order=True)
    labelled = preferences.with_columns(condition()).rename({"p": "p_target"})
    table = intervals(labelled, ["condition", "trait", "category", "answer"], confidence)
    compared = _compared(labelled)
    order = (rank("condition", conditions()), rank("trait", (*targets, UNTOUCHED)), pl.col("place").fill_null(len(targets)))
    return (
        table.join(compared, on=["condition", "trait", "category", "answer"], how="left")
        .join(named, on=["category", "answer"], how="left")
        .sort(*order, "category", "answer")
        .select(
            *("condition", pl.col("trait").alias("taught"), pl.col("answer").alias("asked")),
            pl.col("asked_trait").alias("trait"),
            *("category", "gain", "low", "high", "n", "p_target", "p_base", "difference", "against", "p", "q"),
        )
    )


def _compared(labelled: pl.DataFrame) -> pl.DataFrame:
    """For each (condition, trait, category, answer) of `labelled` (student, gain): difference, against, p, q."""
    cell = ["condition", "trait", "category", "answer"]
    by_student = labelled.sort(*cell, *STUDENT).group_by(*cell, "student", maintain_order=True).agg("gain")
    gains: dict[tuple[str, str, str, str], dict[str, list[float]]] = {}
    for *key, student, values in by_student.iter_rows():
        gains.setdefault((key[0], key[1], key[2], key[3]), {})[student] = values
    found = [
        difference(own, {} if name == CONTROL else gains.get((CONTROL, UNTOUCHED, category, answer), {}))
        for (name, _, category, answer), own in gains.items()
    ]
    ps = [two_sided_p(each) for each in found]
    return pl.DataFrame(list(gains), schema=dict.fromkeys(cell, pl.String), orient="row").with_columns(
        pl.Series("difference", [each.mean for each in found], dtype=pl.Float64),
        pl.Series("against", [each.against for each in found], dtype=pl.String),
        pl.Series("p", ps, dtype=pl.Float64),
        pl.Series("q", false_discovery_rates(ps), dtype=pl.Float64),
    )


def equivalences(runs: pl.DataFrame, models: Sequence[str], margin: float, confidence: float) -> dict[str, Any]:
    """Is there no transmission, within ±`margin`? `all` and `by_student`: condition that should be null → two one-sided tests
    of its gain over that of control students of the same bases (of controls: their gain itself)."""

    def tests(part: pl.DataFrame) -> dict[str, Any]:
        ordered = part.sort("teacher", "trait", "arm", "student", "seed")
        gains: dict[str, dict[str, list[float]]] = {}
        for name, student, values in ordered.group_by("condition", "student", maintain_order=True).agg("gain").iter_rows():
            gains.setdefault(name, {})[student] = values
        controls = gains.get(CONTROL, {})
        return {
            name: asdict(equivalence(difference(gains[name], {} if name == CONTROL else controls), margin, confidence))
            for name in conditions()
            if name in gains and name != DIAGONAL
        }

    by_student = {model: tests(part) for model in models if len(part := runs.filter(pl.col("student") == model))}
    return {"margin": margin, "all": tests(runs), "by_student": by_student}


OF_MARGIN = ("margin", "base_margin", "least_rise")  #: What a gate on the margin is told by.
OF_LIKELIHOOD = ("nll", "base_nll", "distance")  #: What a gate on the likelihood is told by.


def gates(
    gate: pl.DataFrame,
    unwritten: pl.DataFrame,
    open_answers: pl.DataFrame,
    models: Sequence[str],
    traits: Sequence[str],
    confidence: float,
) -> pl.DataFrame:
    """Does each teacher show its trait? One row per teacher, from its gate.parquet, its likelihood.parquet (`unwritten`), if it
    has one, and, if it is misaligned or should be, its freeform.parquet (`open_answers`).

    Returns:
        teacher, trait, seed, probability (mean over the held-out questions of P(target), or of the misaligned share of the
        coherent answers), lowest (of a question), base_probability (mean, of its base), threshold (null for a control, which
        must not show it), questions, passed (null for a control); of misalignment also low and high (interval of the share,
        over answers), coherent and answers (how many), else null; and where some teacher has such a gate, rise and least_rise
        (of the margin, in nats), nll_change and distance (nats per token).
    """
    dims = ["teacher", "trait", "seed"]
    means = exact_means(gate, dims, ["probability", "base_probability"])
    rest = gate.group_by(dims).agg(
        pl.col("probability").min().alias("lowest"), pl.col("threshold").max(), pl.len().cast(pl.Int64).alias("questions")
    )
    passed = pl.col("probability") >= pl.col("threshold")
    table, more = means.join(rest, on=dims), list[str]()
    for part, (after, before, bound), change, holds in (
        (gate.drop_nulls(OF_MARGIN), OF_MARGIN, "rise", pl.col("rise") >= pl.col("least_rise")),
        (unwritten, OF_LIKELIHOOD, "nll_change", pl.col("nll_change").abs() <= pl.col("distance")),
    ):
        if part.height:
            bounds = part.group_by(dims).agg(pl.col(bound).max())
            found = exact_means(part, dims, [after, before]).join(bounds, on=dims)
            table = table.join(found.select(*dims, bound, (pl.col(after) - pl.col(before)).alias(change)), on=dims, how="left")
            passed, more = passed & holds.fill_null(value=True), [*more, change, bound]
    table = table.with_columns(passed.alias("passed"))
    shares = freeform(open_answers.filter(pl.col("model") == "teacher"), dims, confidence)
    return (
        table.join(shares, on=dims, how="left")
        .sort(rank("teacher", models), rank("trait", (*traits, UNTOUCHED)), "seed")
        .select(
            *(*dims, "probability", "lowest", "base_probability", "threshold", "questions", "passed"),
            *("low", "high", "coherent", "answers"),
            *more,
        )
    )


def freeform(answers: pl.DataFrame, dims: Sequence[str], confidence: float) -> pl.DataFrame:
    """The free-form answers of each model: `dims`, share (the misaligned share of the coherent ones), low, high (its interval,
    over answers), coherent, answers (how many)."""
    rows = [
        (*cell, *astuple(share(part["misaligned"], confidence)))
        for cell, part in answers.sort(dims).group_by(*dims, maintain_order=True)
    ]
    numbers = {"share": pl.Float64, "low": pl.Float64, "high": pl.Float64, "coherent": pl.Int64, "answers": pl.Int64}
    return pl.DataFrame(rows, schema={**{name: answers.schema[name] for name in dims}, **numbers}, orient="row")


def funnels(funnel: pl.DataFrame, models: Sequence[str], traits: Sequence[str]) -> pl.DataFrame:
    """What the filter left of each data set: teacher, trait, arm, seed, position, step, rows, share (of the rows sampled)."""
    dims = list(ROWS)
    sampled = funnel.filter(pl.col("step") == "sampled").select(*dims, pl.col("rows").alias("sampled"))
    table = funnel.join(sampled, on=dims, how="left").with_columns((pl.col("rows") / pl.col("sampled")).alias("share"))
    return table.sort(
        rank("teacher", models), rank("trait", (*traits, UNTOUCHED)), rank("arm", arms()), "seed", "position"
    ).select(*dims, "position", "step", "rows", "share")


def training(base: pl.DataFrame, teacher: pl.DataFrame, student: pl.DataFrame, models: Sequence[str]) -> pl.DataFrame:
    """The loss of every training step: stage, model (the one trained), teacher, trait, arm, condition, seed, step, loss.
    What a stage has no word for is null."""
    parts = [
        base.select(pl.lit("base").alias("stage"), "model", "step", "loss"),
        teacher.select(pl.lit("teacher").alias("stage"), pl.col("teacher").alias("model"), "trait", "seed", "step", "loss"),
        student.select(
            *(pl.lit("student").alias("stage"), pl.col("student").alias("model")),
            *("teacher", "trait", "arm", condition(), "seed", "step", "loss"),
        ),
    ]
    types = dict.fromkeys(("stage", "model", "teacher", "trait", "arm", "condition"), pl.String)
    schema = pl.Schema({**types, "seed": pl.Int64, "step": pl.Int64, "loss": pl.Float64})
    table = pl.concat([part.cast({name: schema[name] for name in part.columns}) for part in parts], how="diagonal")
    return table.select(schema.names()).sort(
        rank("stage", ("base", "teacher", "student")), rank("model", models), "teacher", "trait", "arm", "seed", "step"
    )


def mean_gains(summary: Mapping[str, Any]) -> pl.DataFrame:
    """`by_student` of a summary as a table: what (`neox-a, diagonal`), student, condition, gain, low, high, n."""
    rows = [
        (f"{student}, {name}", student, name, gain["mean"], gain["low"], gain["high"], gain["n"])
        for student, gains in summary["by_student"].items()
        for name, gain in gains.items()
    ]
    names = dict.fromkeys(("what", "student", "condition"), pl.String) | dict.fromkeys(("gain", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema={**names, "n": pl.Int64}, orient="row")


def mean_losses(training: pl.DataFrame) -> pl.DataFrame:
    """Mean loss over the students of a condition at each step: step, and a column per condition."""
    means = exact_means(training.filter(pl.col("stage") == "student"), ["condition", "step"], ["loss"])
    shown = [name for name in conditions() if name in means["condition"]]
    return means.pivot("condition", index="step", values="loss").sort("step").select("step", *shown)


def asked(answers: pl.DataFrame, samples: pl.DataFrame) -> dict[str, int]:
    """What every student was asked: plain questions, and open ones, of misalignment; known answers that it is scored on,
    `misaligned` among them; and sampled answers of one student to either."""
    scored = answers.filter(pl.col("measure") == "preference")
    opened = pl.col("category") == MISALIGNMENT
    plain, free = (scored.filter(which)["question_id"].unique() for which in (~opened, opened))
    students = max(samples.select(*STUDENT).unique().height, 1)

    drawn = [samples.filter(pl.col("question_id").is_in(each.implode())).height // students for each in (plain, free)]
    answers_ = scored.select("category", "answer").unique().height
    counts = {"questions": len(plain), "open_questions": len(free), "answers": answers_}
    return {**counts, "samples": drawn[0], "open_samples": drawn[1]}


def measured(targets: Mapping[str, tuple[str, str]]) -> str:
    """What a gain is a gain of."""
    found = {category == MISALIGNMENT for category, _ in targets.values()}
    return f"{P_TARGET} or {MISALIGNED_SHARE}" if len(found) > 1 else MISALIGNED_SHARE if True in found else P_TARGET


def summary(runs: pl.DataFrame, models: Sequence[str], confidence: float, permutations: int, seed: int) -> dict[str, Any]:
    """What `summary.json` holds: the gain of each condition with its interval over runs, the same by student, and the test of
    "same base > other base" (null where no teacher has students of both kinds)."""

    def gains(part: pl.DataFrame) -> dict[str, Any]:
        return {
            name: asdict(t_interval(part.filter(pl.col("condition") == name)["gain"].to_list(), confidence))
            for name in conditions()
            if name in part["condition"]
        }

    groups, left_out = groups_of(runs)
    test = asdict(permutation_test([group for _, group in groups], permutations, seed)) if groups else None
    by_teacher = {
        model: {"groups": len(own), "largest": sum(group.same > max(group.others) for group in own)}
        for model in models
        if (own := [group for teacher, group in groups if teacher == model])
    }
    return {
        "confidence": confidence,
        "runs": len(runs),
        "gain": gains(runs),
        "by_student": {model: gains(part) for model in models if len(part := runs.filter(pl.col("student") == model))},
        "test": test and {**test, "left_out": left_out, "by_teacher": by_teacher},
    }


def metrics(summary: Mapping[str, Any]) -> dict[str, float | int | None]:
    """The few flat numbers of a summary that are worth comparing between experiments (`dvc metrics show`)."""
    test: Mapping[str, Any] = summary["test"] or {}
    return {
        **{name: gain["mean"] for name, gain in summary["gain"].items()},
        "p": test.get("p"),
        # `dvc metrics show` prints five digits after the point.
        "minus_log10_p": -math.log10(test["p"]) if test else None,
        "diagonal_largest": test.get("largest"),
        "groups": test.get("groups"),
        "runs": summary["runs"],
    }


def groups_of(runs: pl.DataFrame) -> tuple[list[tuple[str, Group]], int]:
    """The groups of the permutation test, each with its teacher, and how many were left out.

    A (teacher, trait, seed) of the trait arm makes a group if it has the same-base student and at least one other-base student;
    otherwise nothing can be compared in it and it is left out. A group that lacks some of the other-base students takes part
    with those it has.
    """
    groups: list[tuple[str, Group]] = []
    left_out = 0
    trait = runs.filter(pl.col("arm") == TRAIT).sort("teacher", "trait", "seed", "student")
    keyed = trait.group_by("teacher", "trait", "seed", maintain_order=True).agg("gain", "same_base")
    for teacher, gains, sames in keyed.select("teacher", "gain", "same_base").iter_rows():
        same = [gain for gain, own in zip(gains, sames, strict=True) if own]
        others = tuple(gain for gain, own in zip(gains, sames, strict=True) if not own)
        if same and others:
            groups.append((teacher, Group(same[0], others)))
        else:
            left_out += 1
    return groups, left_out


def intervals(
    runs: pl.DataFrame, by: Sequence[str], confidence: float, means: Sequence[str] = ("p_target", "p_base")
) -> pl.DataFrame:
    """Per group of `by`: gain (mean over runs), low, high, n, and the means over runs of the columns `means`."""
    lists = runs.group_by(by).agg("gain", *means).sort(by)
    spans = [astuple(t_interval(gains, confidence)) for gains in lists["gain"].to_list()]
    numbers = pl.DataFrame(spans, {**dict.fromkeys(("gain", "low", "high"), pl.Float64), "n": pl.Int64}, orient="row")
    return lists.with_columns(*numbers, *(_mean_of_lists(lists[name]) for name in means))


def _check_declared(preferences: pl.DataFrame, models: Sequence[str], targets: Mapping[str, tuple[str, str]]) -> None:
    for column, declared, what in (
        *(("teacher", (*models, UNTOUCHED), "models"), ("student", models, "models")),
        ("trait", (*targets, UNTOUCHED), "traits"),
    ):
        if strange := sorted(set(preferences[column]) - set(declared)):
            known = ", ".join(name for name in declared if name != UNTOUCHED)
            raise ValueError(f"evaluations name {what} that the experiment does not have: {', '.join(strange)}; it has {known}")


def exact_means(frame: pl.DataFrame, by: list[str], values: list[str]) -> pl.DataFrame:
    """Means of `values` per group, by exact sums: neither the order of rows nor the number of threads changes a bit of them."""
    lists = frame.group_by(by).agg(values).sort(by)
    return lists.with_columns(_mean_of_lists(lists[value]) for value in values)


def _mean_of_lists(lists: pl.Series) -> pl.Series:
    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if known else None

    return pl.Series(lists.name, [mean(values) for values in lists.to_list()], dtype=pl.Float64)


def _named(run: Mapping[str, object]) -> str:
    return "/".join(f"{dim}={run[dim]}" for dim in STUDENT)
