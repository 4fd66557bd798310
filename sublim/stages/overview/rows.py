"""What the overview depends on, and what its tables hold."""

from typing import Annotated, ClassVar

from pydantic import Field

from sublim.common.table import Table, flag, real, text, whole
from sublim.params.kinds import Named
from sublim.params.section import Section
from sublim.params.slice import CellParams
from sublim.stages.theory import rows as theory


class ReportedStudy(Section):
    """A study, as the overview names it."""

    name: str  #: Its name in the experiment file.
    carrier: str  #: What its teachers write.
    filter: str  #: Which of it is kept.
    method: str  #: How its students learn.
    detected: bool  #: Whether there is a page on who can see the traits in its data.


class Slice(CellParams):
    """What the overview depends on, beside the reports and the theory that it reads."""

    DIMS = ()

    studies: tuple[ReportedStudy, ...]  #: All studies, by name.
    confidence: float  #: Coverage of the intervals of theory.
    arms: tuple[Annotated[str, Named("arms")], ...] = Field(default=(), exclude=True)
    """The arms of the studies: their words are in the code of the overview, and not in its params."""
    carriers: tuple[Annotated[str, Named("carriers")], ...] = Field(default=(), exclude=True)
    """What their teachers write: as for arms."""


class Studies(Table, file="studies.parquet", view="studies", row="mean gain", dims=False):
    """The gain of each condition of each study."""

    study = text()  #: The name of the study.
    condition = text()  #: What its runs are compared as.
    gain = real()  #: Mean gain over runs, in what the study measures.
    low = real(null=True)  #: Lower end of its t interval; null for one run.
    high = real(null=True)  #: Upper end.
    n = whole()  #: How many runs.


class Mlp(Table, file="mlp.parquet", row="condition", dims=False):
    """The experiment with digits, by condition. Only with `mlp`."""

    condition = text()  #: `reference`, `teacher`, or which student.
    accuracy = real()  #: Mean accuracy on held-out digits, over nets. From 0 to 1.
    low = real(null=True)  #: Lower end of its t interval over nets.
    high = real(null=True)  #: Upper end.
    n = whole()  #: How many nets.
    accuracy_before = real()  #: The mean accuracy before training.


class Nets(theory.Nets, file="mlp_nets.parquet", view=None, id=None, row="net", dims=False):
    """The nets of the experiment with digits, as the stage that trains them has them. Only with `mlp`."""


class Theorem(Table, file="theorem.parquet", row="kind of sweep", dims=False):
    """Theorem 1 by subject, imitation and kind of init. Only with `theorem`."""

    subject = text()  #: What takes the steps: `mlp`, or the name of a model.
    imitation = text()  #: The loss by which students imitate.
    same_init = flag()  #: Whether teacher and student have the same init.
    sweeps = whole()  #: Pairs of inits and draws of inputs.
    steps = whole()  #: Steps of students in all.
    opposed = whole()  #: How many of them go against the teacher's.
    smallest_step = real()  #: The smallest step size.
    least_cosine = real(null=True)  #: The least cosine with the teacher's step, of the smallest steps; null if none moves.
    largest_cosine = real(null=True)  #: The largest; null as above.
    fell = whole()  #: In how many sweeps the smallest step lowers the teacher's loss.
    falls_up_to = real(null=True)  #: Up to which step size it is lowered in all sweeps; null for none.


class TheoremSteps(theory.TheoremSteps, file="theorem_steps.parquet", view=None, id=None, row="step", dims=False):
    """The steps of all subjects, as the stage that takes them has them. Only with `theorem`."""

    subject = text()  #: What takes the steps: `mlp`, or the name of a model.
    columns: ClassVar = {"row_id": theory.TheoremSteps.row_id, "subject": subject, **theory.TheoremSteps.columns}


TABLES = (Studies, Mlp, Nets, Theorem, TheoremSteps)
