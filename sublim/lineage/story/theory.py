"""The story of theory: every net under every condition, no net its own control; every sweep whole, and numbers that agree with
each other. Whether nets really learned so is proven by making them again (`sublim audit --replay`)."""

from collections.abc import Iterator
from itertools import product

import polars as pl

from sublim.common.canonical import row_id
from sublim.lineage.story.accident import Accident, same_rows, same_values
from sublim.lineage.story.source import Source
from sublim.params.slices.theory import NetSubject, Slice, Steps
from sublim.params.theory import CONDITIONS, Mlp

NETS = {
    "row_id": pl.String, "condition": pl.String, "seed": pl.Int64, "teacher_seed": pl.Int64,
    **dict.fromkeys(("accuracy_before", "accuracy", "loss_before", "loss"), pl.Float64),
}  # fmt: skip
STEPS = {"condition": pl.String, "seed": pl.Int64, "step": pl.Int64, "loss": pl.Float64}
THEOREM = {
    "row_id": pl.String, "teacher_init": pl.String, "student_init": pl.String, "same_init": pl.Boolean, "draw": pl.Int64,
    "imitation": pl.String,
    **dict.fromkeys(
        ("step_size", "inner", "cosine", "inner_due", "cosine_due", "loss_before", "loss_after", "loss_untrained"), pl.Float64
    ),
}  # fmt: skip
ROUNDING = 1e-6
_COSINES = ("cosine", "cosine_due")


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What does not hold in the artifact `cell` of the stage `theory`."""
    params = source.params(cell, Slice)
    match params.experiment:
        case Mlp():
            yield from _nets(source, cell, params.experiment)
            yield from _curves(source, cell, params.experiment)
        case Steps():
            yield from _theorem(source, cell, params.of, params.experiment)


def _nets(source: Source, cell: str, how: Mlp) -> Iterator[Accident]:
    found = source.table(cell, "nets.parquet", NETS, nullable=("teacher_seed",))
    behind = dict(zip(how.seeds, (*how.seeds[1:], how.seeds[0]), strict=True))
    expected = pl.DataFrame(
        [(condition, seed, _teacher(condition, seed, behind[seed])) for condition, seed in product(CONDITIONS, how.seeds)],
        schema={name: NETS[name] for name in ("condition", "seed", "teacher_seed")},
        orient="row",
    )
    names = pl.Series("row_id", [row_id("theory", "mlp", *row) for row in expected.select("condition", "seed").iter_rows()])
    if accident := same_rows("nets", "each net under each condition", names, found["row_id"]):
        yield accident
        return
    for column in expected.columns:
        if accident := same_values("nets", column, expected[column], found[column], names):
            yield accident
    for column in ("accuracy_before", "accuracy"):
        right = found[column] * how.test
        odd = ((right - right.round()).abs() > ROUNDING) | (right < -ROUNDING) | (right > how.test + ROUNDING)
        if odd.any():
            row = found.row(int(odd.arg_max() or 0), named=True)
            yield Accident(
                "accuracy", f"{column}: expected a share of {how.test} images, found {row[column]:.6g} in row {row['row_id']}"
            )
    untrained = found.filter(condition="reference").select("seed", "accuracy", "loss")
    before = found.join(untrained, on="seed", how="left", maintain_order="left", suffix="_untrained")
    for column in ("accuracy", "loss"):
        own, reference = before[f"{column}_before"], before[f"{column}_untrained"]
        if accident := same_values("reference", f"{column}_before", reference, own, names):
            yield accident


def _teacher(condition: str, seed: int, behind: int) -> int | None:
    return behind if condition.startswith("cross") else seed if condition.startswith("student") else None


def _curves(source: Source, cell: str, how: Mlp) -> Iterator[Accident]:
    found = source.table(cell, "steps.parquet", STEPS)
    lengths = {"teacher": how.teacher_steps} | {
        name: how.student_steps for name in CONDITIONS if _teacher(name, 0, 0) is not None
    }
    keys = [(name, seed, steps) for name, steps in lengths.items() for seed in how.seeds]
    expected = pl.DataFrame(keys, schema={"condition": pl.String, "seed": pl.Int64, "steps": pl.Int64}, orient="row")
    expected = expected.select("condition", "seed", pl.int_ranges("steps").alias("step")).explode("step")
    if not expected.equals(found.select(expected.columns)):
        yield Accident(
            "steps", f"expected each step of each net once, {len(expected):,} in order, found {len(found):,} that are others"
        )
    if (low := found.filter(pl.col("loss") < -ROUNDING)).height:
        yield Accident("losses", f"expected no cross-entropy or divergence below 0, found {low['loss'][0]:.6g}")


def _theorem(source: Source, cell: str, of: str, how: Steps) -> Iterator[Accident]:
    found = source.table(cell, "theorem.parquet", THEOREM, nullable=_COSINES)
    subject = how.subject
    inits = [f"init {n}" for n in range(1, subject.inits + 1)] if isinstance(subject, NetSubject) else list(subject.names)
    pairs = [(teacher, inits[(place + apart) % len(inits)]) for apart in (0, 1) for place, teacher in enumerate(inits)]
    sizes = how.step_sizes.sizes()
    expected = pl.DataFrame(
        [
            (teacher, student, teacher == student, draw, imitation, size)
            for (teacher, student), draw, imitation, size in product(pairs, range(how.draws), how.imitation, sizes)
        ],
        schema={name: THEOREM[name] for name in (*list(THEOREM)[1:6], "step_size")},
        orient="row",
    )
    key = [name for name in expected.columns if name != "same_init"]
    names = pl.Series("row_id", [row_id("theory", of, *row) for row in expected.select(key).iter_rows()], dtype=pl.String)
    if accident := same_rows("sweeps", "each step size of each sweep", names, found["row_id"]):
        yield accident
        return
    for column in expected.columns:
        if accident := same_values("sweeps", column, expected[column], found[column], names):
            yield accident
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
