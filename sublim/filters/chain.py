"""A filter at work: all reasons of each row, and how many rows each reason takes (paper, section 3)."""

import polars as pl

from sublim.filters.step import NOTHING, Context, marked
from sublim.params.filter import Filter

SPECIAL = "special token"  #: The reason against a row that holds a special token.


def reasons(rows: pl.DataFrame, rule: Filter, context: Context) -> pl.Series:
    """Why `rule` rejects each of `rows` (columns completion, finish_reason, if a model wrote them, answer, that of its
    prompt, and score, if a judge has a step): a list, by step and within a step in the step's own order; empty if the row is
    kept. Whatever the rule, a row with a special token is rejected first: what stands around it was not written together.

    Every step judges every row, with two exceptions: of a form that cannot be read (`Task.unreadable`) some steps say nothing;
    and a judge has no reasons for rows that another step rejects, since it is not asked about them.

    Raises:
        ValueError: a step does not suit the task.
    """
    steps = rule.steps
    ended = rows.get_column("finish_reason", default=pl.repeat("stop", rows.height, eager=True))
    special = marked((ended == "special_token").fill_null(value=False), SPECIAL)
    found = {"special": special, **{name: step.why_rejected(rows, context) for name, step in steps.items()}}
    if "format" in found:
        readable = ~found["format"].list.contains(context.task.unreadable)
        for name in (name for name, step in steps.items() if step.of_readable):
            found[name] = pl.select(pl.when(readable).then(found[name]).otherwise(NOTHING)).to_series()
    for name in (name for name, step in steps.items() if step.of_the_rest):
        left = pl.repeat(value=True, n=rows.height, eager=True)
        for other in found.keys() - {name}:
            left &= found[other].list.len() == 0
        found[name] = pl.select(pl.when(left).then(found[name]).otherwise(NOTHING)).to_series()
    frame = pl.DataFrame(found, {name: pl.List(pl.String) for name in found})
    return frame.select(pl.concat_list(*found).alias("reasons")).to_series()


def asked(rows: pl.DataFrame, rule: Filter, context: Context) -> pl.Series:
    """Which of `rows` the judge of `rule` is asked about: those that no other step rejects, and none without a judge. The
    arguments are those of `reasons`, but the rows need no score."""
    if rule.asks is None:
        return pl.repeat(value=False, n=rows.height, eager=True)
    others = {name: None for name, step in rule.steps.items() if step.of_the_rest}
    return reasons(rows, rule.model_copy(update=others), context).list.len() == 0


def funnel(found: pl.Series, used: pl.Series, rule: Filter, context: Context) -> pl.DataFrame:
    """What became of rows with the reasons `found`, of which those that are `used` (booleans) are trained on: step, rows,
    position.

    The steps: `sampled`; `special token`, if there are such rows; for each step of the filter the rows that each of its reasons
    applies to, and then, as `after` it, the rows that it and those before it leave; `kept`; `used`. After the last step are the
    kept ones, which are not said twice.
    """
    listed = found.to_frame("reasons").lazy().explode("reasons", empty_as_null=False).collect()["reasons"]
    counted: dict[str, int] = dict(listed.value_counts().iter_rows())
    steps, bad = {"sampled": len(found)}, [SPECIAL]
    if SPECIAL in counted:
        steps[SPECIAL] = counted[SPECIAL]
    for place, (name, step) in enumerate(rule.steps.items()):
        mine = list(step.reasons(context.task))
        steps |= {reason: counted.get(reason, 0) for reason in mine}
        bad += mine
        if place < len(rule.steps) - 1:
            steps[f"after {name.replace('_', ' ')}"] = int((found.list.set_intersection(bad).list.len() == 0).sum())
    steps |= {"kept": int((found.list.len() == 0).sum()), "used": int(used.sum())}
    return pl.DataFrame({"step": list(steps), "rows": list(steps.values()), "position": list(range(len(steps)))})
