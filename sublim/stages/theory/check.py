"""The story of theory: every net under every condition, no net its own control; every sweep whole, and numbers that agree with
each other. Whether nets really learned so is proven by making them again (`sublim audit --replay`)."""

from collections.abc import Iterator

import polars as pl

from sublim.evidence.accident import Accident, same_columns, same_rows, same_values
from sublim.evidence.source import Source
from sublim.params.theory import Mlp
from sublim.stages.theory import rows
from sublim.stages.theory.rows import Nets, NetSteps, Slice, Theorem, TheoremSteps

ROUNDING = 1e-6
_COSINES = ("cosine", "cosine_due")


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the artifact `cell` of the stage `theory`."""
    params = source.params(cell, Slice)
    match params.experiment:
        case Mlp():
            yield from _nets(source, cell, params.experiment)
            yield from _curves(source, cell, params.experiment)
        case Theorem():
            yield from _theorem(source, cell, params.of, params.experiment)


def _nets(source: Source, cell: str, mlp: Mlp) -> Iterator[Accident]:
    found, expected = source.table(cell, Nets), rows.nets(mlp)
    names = expected["row_id"]
    if wrong := same_rows("nets", "each net under each condition", names, found["row_id"]):
        yield from wrong
        return
    yield from same_columns("nets", expected.columns, expected, found, names)
    for column in ("accuracy_before", "accuracy"):
        right = found[column] * mlp.test
        odd = ((right - right.round()).abs() > ROUNDING) | (right < -ROUNDING) | (right > mlp.test + ROUNDING)
        if odd.any():
            row = found.row(int(odd.arg_max() or 0), named=True)
            yield Accident(
                "accuracy", f"{column}: expected a share of {mlp.test} images, found {row[column]:.6g} in row {row['row_id']}"
            )
    untrained = found.filter(condition="reference").select("seed", "accuracy", "loss")
    before = found.join(untrained, on="seed", how="left", maintain_order="left", suffix="_untrained")
    for column in ("accuracy", "loss"):
        own, reference = before[f"{column}_before"], before[f"{column}_untrained"]
        yield from same_values("reference", f"{column}_before", reference, own, names)


def _curves(source: Source, cell: str, mlp: Mlp) -> Iterator[Accident]:
    found, expected = source.table(cell, NetSteps), rows.net_steps(mlp)
    if not expected.equals(found.select(expected.columns)):
        yield Accident(
            "steps", f"expected each step of each net once, {len(expected):,} in order, found {len(found):,} that are others"
        )
    if (low := found.filter(pl.col("loss") < -ROUNDING)).height:
        yield Accident("losses", f"expected no cross-entropy or divergence below 0, found {low['loss'][0]:.6g}")


def _theorem(source: Source, cell: str, subject: str, experiment: Theorem) -> Iterator[Accident]:
    found, expected = source.table(cell, TheoremSteps), rows.theorem_steps(subject, experiment)
    names = expected["row_id"]
    if wrong := same_rows("sweeps", "each step size of each sweep", names, found["row_id"]):
        yield from wrong
        return
    yield from same_columns("sweeps", expected.columns, expected, found, names)
    # The teacher's loss of a student that has not moved is one number per task and student.
    starts = found.group_by("teacher_init", "student_init", "draw").agg(pl.col("loss_before").n_unique())
    if (starts["loss_before"] > 1).any():
        yield Accident("losses", "loss_before: expected one number per pair of inits and draw, found several")
    wrong = found.filter(
        (pl.col("cosine").sign() != pl.col("inner").sign())
        | (pl.col("cosine_due").sign() != pl.col("inner_due").sign())
        | pl.max_horizontal(pl.col(name).abs() for name in _COSINES).gt(1 + ROUNDING)
    )
    if wrong.height:
        yield Accident(
            "cosines", f"expected at most 1, with the sign of the inner product, found others in row {wrong['row_id'][0]}"
        )
    same = found.filter("same_init")
    scale = same["inner"].abs().max()
    apart = same.filter((pl.col("inner") - pl.col("inner_due")).abs() > ROUNDING * pl.lit(scale))
    if apart.height:
        yield Accident(
            "same init", f"expected the whole step to be due to the teacher's, found a part of it in row {apart['row_id'][0]}"
        )
