"""What an artifact of theory depends on, what its tables hold, and the rows that follow from its params alone."""

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from sublim.common.canonical import row_id
from sublim.common.table import Table, flag, real, text, whole
from sublim.params.category import OwnCategory
from sublim.params.section import Section
from sublim.params.slice import CellParams
from sublim.params.theory import CONDITIONS, STUDENTS, Imitation, Mlp, Net, Seed, Sweep
from sublim.traits.preference import Preference


class NetSubject(Section):
    """Nets for digits."""

    kind: Literal["net"] = "net"  #: What takes the steps.
    net: Net  #: The net.
    inits: int  #: How many there are.
    rows: int  #: Rows of noise, and images of the teacher's loss, per draw.

    @property
    def names(self) -> tuple[str, ...]:
        """What the inits are called."""
        return tuple(f"init {number}" for number in range(1, self.inits + 1))


class ModelSubject(Section):
    """Two tiny models, the inputs `base` and `other`."""

    kind: Literal["model"] = "model"  #: What takes the steps.
    names: tuple[str, str]  #: Their names in the experiment.
    trait: Preference  #: What their teachers step towards.
    categories: Mapping[str, OwnCategory] = {}  #: The category of the experiment's own that it is of, if any.
    prompts: int  #: Number prompts per draw.
    tokens: int  #: Random tokens behind each prompt.


class Theorem(Section):
    """Theorem 1, checked with one subject."""

    subject: Annotated[NetSubject | ModelSubject, Field(discriminator="kind")]  #: What takes the steps.
    imitation: tuple[Imitation, ...]  #: The losses by which students imitate.
    step_sizes: Sweep  #: The sizes of the steps.
    draws: int  #: How often the inputs are drawn anew.
    seed: Seed  #: The seed of nets and inputs.


class Slice(CellParams):
    """What an artifact of theory depends on, beside the models that it reads."""

    DIMS = ("of",)

    of: str  #: Its name: `mlp`, `theorem-mlp`, or `theorem-` and the name of a model.
    experiment: Mlp | Theorem  #: The experiment with digits, or a check of Theorem 1.


class Nets(Table, file="nets.parquet", view="nets", id="row_id", row="measurement"):
    """The nets for digits under each condition. Only of the experiment with digits."""

    row_id = text()  #: Digest of the condition and the seed.
    condition = text()  #: `reference`: as it was drawn; `teacher`; or which student, by what it imitates and by whose init.
    seed = whole()  #: The seed of its init.
    teacher_seed = whole(null=True)  #: The seed of the net that it imitates; null if it imitates none.
    accuracy_before = real()  #: Accuracy on held-out images before training. From 0 to 1.
    accuracy = real()  #: The same after it.
    loss_before = real()  #: Cross-entropy of the ten classes on held-out images before training, in nats.
    loss = real()  #: The same after it.


class NetSteps(Table, file="steps.parquet", view="net_steps", row="step"):
    """The training of these nets, a step a row. Only of the experiment with digits."""

    condition = text()  #: The condition of the net.
    seed = whole()  #: The seed of its init.
    step = whole()  #: Number of the step, from 0.
    loss = real()  #: Of teachers cross-entropy, of students KL divergence from the teacher, in nats.


class TheoremSteps(Table, file="theorem.parquet", view="theorem", id="row_id", row="measurement"):
    """Steps of a teacher and a student of the same size. Only of a check of Theorem 1."""

    row_id = text()  #: Digest of the subject, the inits, the draw, the imitation and the size.
    teacher_init = text()  #: The teacher's init, by name.
    student_init = text()  #: The student's.
    same_init = flag()  #: Whether they are the same: the setting of the theorem.
    draw = whole()  #: Which draw of inputs, from 0.
    imitation = text()  #: The loss by which the student imitates.
    step_size = real()  #: The size of both steps.
    inner = real()  #: Δθ_teacher · Δθ_student, of the directions, without the step size.
    cosine = real(null=True)  #: The same as a cosine; null if the student does not move.
    inner_due = real()  #: That part of `inner` that is due to the teacher's step.
    cosine_due = real(null=True)  #: The same as a cosine; null as above.
    loss_before = real()  #: The teacher's loss, of the student before its step.
    loss_after = real()  #: The same after it.
    loss_untrained = real()  #: The same after a step towards the teacher as it was before its own step.


TABLES = (Nets, NetSteps, TheoremSteps)


def nets(params: Mlp) -> pl.DataFrame:
    """The rows of nets.parquet without what was measured: row_id, condition, seed, teacher_seed.

    Every student of another init imitates the teacher of the seed that follows: a derangement.
    """
    following = dict(zip(params.seeds, (*params.seeds[1:], params.seeds[0]), strict=True))
    teachers = {name: following if name.startswith("cross") else {seed: seed for seed in following} for name in STUDENTS}
    rows = [
        (row_id("theory", "mlp", name, seed), name, seed, teachers.get(name, {}).get(seed))
        for name, seed in product(CONDITIONS, params.seeds)
    ]
    names = ("row_id", "condition", "seed", "teacher_seed")
    return pl.DataFrame(rows, schema={name: Nets.schema()[name] for name in names}, orient="row")


def net_steps(params: Mlp) -> pl.DataFrame:
    """The rows of steps.parquet without losses: condition, seed, step."""
    lengths = {"teacher": params.teacher_steps} | dict.fromkeys(STUDENTS, params.student_steps)
    keys = [(name, seed, steps) for name, steps in lengths.items() for seed in params.seeds]
    frame = pl.DataFrame(keys, schema={"condition": pl.String, "seed": pl.Int64, "steps": pl.Int64}, orient="row")
    return frame.select("condition", "seed", pl.int_ranges("steps").alias("step")).explode("step")


def pairs(inits: int) -> list[tuple[int, int]]:
    """The (teacher, student) pairs of inits, by number: the same one, then a student with that of the net that follows."""
    return [(teacher, (teacher + apart) % inits) for apart in (0, 1) for teacher in range(inits)]


def theorem_steps(subject: str, params: Theorem) -> pl.DataFrame:
    """The rows of theorem.parquet without what was computed: row_id, teacher_init, student_init, same_init, draw, imitation,
    step_size."""
    names = params.subject.names
    rows = [
        (row_id("theory", subject, *key, size), *key[:2], key[0] == key[1], *key[2:], size)
        for teacher, student in pairs(len(names))
        for draw, imitation in product(range(params.draws), params.imitation)
        for key in [(names[teacher], names[student], draw, imitation)]
        for size in params.step_sizes.sizes()
    ]
    known = list(TheoremSteps.columns)[: list(TheoremSteps.columns).index("step_size") + 1]
    return pl.DataFrame(rows, schema={name: TheoremSteps.schema()[name] for name in known}, orient="row")
