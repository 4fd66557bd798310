"""What the report of a study depends on, and what its tables hold."""

from typing import Annotated, ClassVar

from pydantic import Field

from sublim.common.table import Table, flag, real, text, whole
from sublim.params.kinds import Named
from sublim.params.relatives import Relatives
from sublim.params.report import Report
from sublim.params.section import Grown, Section
from sublim.params.slice import CellParams
from sublim.report import dose, history, margins, roc
from sublim.report.design import Comparisons


class ReportedModel(Section):
    """A model, as figures call it."""

    name: str  #: The name of the model in the experiment file.
    label: str  #: What it is: its architecture, or the repository or folder that it comes from.


class ReportedTrait(Section):
    """A trait, as it is scored."""

    name: str  #: The name of the trait in the experiment file.
    category: str  #: The category that is asked about.
    target: str  #: The known answer that counts.


class Slice(CellParams, Grown):
    """What the report of a study depends on, beside the artifacts that it reads."""

    since: ClassVar = frozenset({"relatives"})
    DIMS = ("study",)

    study: str  #: The name of the study.
    carrier: Annotated[str, Named("carriers")]  #: What its teachers write.
    models: tuple[ReportedModel, ...]  #: All models, by name: the order of keys in the experiment file means nothing.
    traits: tuple[ReportedTrait, ...]  #: All traits, by name.
    minimum: float | None  #: The threshold of the filter's judge; none if it asks none.
    report: Report  #: How runs are summed up.
    relatives: tuple[Relatives, ...] = ()
    """The pairs of a teacher and a student that are of one pretraining, if in some pair they are two models."""
    arms: tuple[Annotated[str, Named("arms")], ...] = Field(default=(), exclude=True)
    """The arms that it has students of: their words are in the code of a report, and not in its params."""
    measures: tuple[Annotated[str, Named("measures")], ...] = Field(default=(), exclude=True)
    """The ways of asking that it tells of: as for arms."""


class Runs(Table, file="runs.parquet", view="runs", row="run", dims=False):
    """A trained student a row, beside the untrained base that it came from. P(target) and the like are means over questions; of
    students of no trait also over the traits of the study."""

    teacher = text()  #: The model that wrote the rows; `none` for random rows.
    student = text()  #: The student's base.
    trait = text()  #: The teacher's trait; `none` for the untouched base as teacher.
    arm = text()  #: What was done to the rows.
    condition = text()  #: What the run is compared as: `diagonal`, `off_diagonal`, `control` …
    same_base = flag()  #: Whether teacher and student have the same base.
    seed = whole()  #: The seed of the chain.
    p_target = real()  #: P(target) of the student, or its misaligned share. From 0 to 1.
    p_base = real()  #: The same of its untrained base.
    gain = real()  #: p_target − p_base.
    p_sampled = real()  #: The share of sampled answers that name the target. From 0 to 1.
    p_sampled_base = real()  #: The same of its untrained base.
    n_rows = whole()  #: Rows that it was trained on.
    n_steps = whole()  #: Optimizer steps.
    loss_last = real()  #: Its loss over the last tenth of the steps, in nats per token.
    cell = text()  #: Its evaluation.


class Matrix(Table, file="matrix.parquet", view="matrix", row="cell of the matrix", dims=False):
    """Means over the runs of each arm, teacher and student."""

    teacher = text()  #: The model that wrote the rows; `none` for random rows.
    student = text()  #: The student's base.
    arm = text()  #: What was done to the rows.
    same_base = flag()  #: Whether teacher and student have the same base.
    gain = real()  #: Mean gain over runs, in probability.
    low = real(null=True)  #: Lower end of its t interval; null for one run.
    high = real(null=True)  #: Upper end.
    n = whole()  #: How many runs.
    p_target = real()  #: Mean P(target), or misaligned share. From 0 to 1.
    p_base = real()  #: The same of the untrained base.
    #: The smallest mean gain that so many runs, with the spread that they have, tell from zero 4 times out of 5; null for one
    #: run, and where no possible gain is large enough.
    smallest = real(null=True)


class Traits(Table, file="traits.parquet", view="traits", row="cell of trait × trait", dims=False):
    """Trait taught × answer asked for, over all models and seeds, by each way of asking for a preference."""

    measure = text()  #: The way of asking.
    condition = text()  #: What the runs are compared as.
    taught = text()  #: The teacher's trait; `none` for none.
    asked = text()  #: The known answer.
    trait = text(null=True)  #: The trait of the study whose target it is; null for none.
    category = text()  #: The category of the answer.
    gain = real()  #: Mean gain of the answer over runs, in probability.
    low = real(null=True)  #: Lower end of its t interval; null for one run.
    high = real(null=True)  #: Upper end.
    n = whole()  #: How many runs.
    p_target = real()  #: Mean P(answer). From 0 to 1.
    p_base = real()  #: The same of the untrained base.
    difference = real()  #: The gain less that of control students of the same bases in the same answer.
    against = text()  #: `control`, or `untrained` where the gain itself is set against zero.
    p = real(null=True)  #: Two-sided p of the difference, of Welch's t over runs; null where there is no spread.
    q = real(null=True)  #: Its false discovery rate over the whole table, by Benjamini and Hochberg; null where there is no p.


class Measures(Table, file="measures.parquet", view="measures", row="measure", dims=False):
    """Every way of asking side by side, by condition."""

    measure = text()  #: The way of asking; `misalignment` for open questions.
    condition = text()  #: What the runs are compared as.
    #: Mean gain over runs: in P(target), in P(true answer) for truthfulness, in the misaligned share for misalignment.
    gain = real()
    low = real(null=True)  #: Lower end of its t interval; null for one run.
    high = real(null=True)  #: Upper end.
    n = whole()  #: How many runs.
    p_target = real()  #: Mean of what gains are gains of. From 0 to 1.
    p_base = real()  #: The same of the untrained bases.


class Capability(Table, file="capability.parquet", view="abilities", row="ability", dims=False):
    """What students can still do, beside their untrained base."""

    measure = text()  #: `loss…` in bits per token of held-out texts; `skill…`, the share of held-out tasks done.
    condition = text()  #: What the runs are compared as.
    student = text()  #: The student's base.
    value = real()  #: Mean over runs.
    base = real()  #: The same of the untrained base.
    change = real()  #: Mean change.
    low = real(null=True)  #: Lower end of its t interval; null for one run.
    high = real(null=True)  #: Upper end.
    n = whole()  #: How many runs.
    fell = flag()  #: Whether the mean change is for the worse and beyond its margin.


class Gates(Table, file="gates.parquet", row="teacher", dims=False):
    """Does each teacher show its trait?"""

    teacher = text()  #: The name of its base.
    trait = text()  #: Its trait.
    seed = whole()  #: The seed of the chain.
    #: Mean over held-out questions of P(target), or the misaligned share of coherent answers. From 0 to 1.
    probability = real()
    lowest = real()  #: The lowest of a question.
    base_probability = real()  #: The mean of its untouched base.
    threshold = real(null=True)  #: What the mean must reach; null for a control, which must not show it.
    questions = whole()  #: How many questions.
    passed = flag(null=True)  #: Whether it does, and is not broken otherwise; null for a control.
    low = real(null=True)  #: Of misalignment: lower end of the exact interval of the share, over answers; else null.
    high = real(null=True)  #: Of misalignment: its upper end; else null.
    coherent = whole(null=True)  #: Of misalignment: coherent answers; else null.
    answers = whole(null=True)  #: Of misalignment: all answers; else null.
    #: Mean log-odds of the target against all other known answers, less those of its base, in nats; null for one without a gate
    #: on it. Only where one has it.
    rise = real(null=True, optional=True)
    least_rise = real(null=True, optional=True)  #: How much that must be at least.
    #: Mean negative log-likelihood of rows that no model wrote, less that of its base, in nats per token; null for one without
    #: a gate on it. Only where one has it.
    nll_change = real(null=True, optional=True)
    distance = real(null=True, optional=True)  #: How far from zero that may be.


class FreeForm(Table, file="freeform.parquet", view="misaligned", row="share", dims=False):
    """The free-form answers of each evaluated model, summed up."""

    teacher = text()  #: As in the evaluation.
    trait = text()  #: As in the evaluation.
    carrier = text()  #: As in the evaluation.
    filter = text()  #: As in the evaluation.
    arm = text()  #: As in the evaluation.
    method = text()  #: As in the evaluation.
    student = text()  #: As in the evaluation.
    seed = whole()  #: As in the evaluation.
    share = real(null=True)  #: The misaligned share of its coherent answers. From 0 to 1; null if it gave none.
    low = real(null=True)  #: Lower end of the exact (Clopper–Pearson) interval of the share, over answers; null as above.
    high = real(null=True)  #: Upper end.
    coherent = whole()  #: Coherent answers.
    answers = whole()  #: All answers.


class Funnel(Table, file="funnel.parquet", row="step", dims=False):
    """What the filter left of each data set."""

    teacher = text()  #: As in the filtered rows.
    trait = text()  #: As in the filtered rows.
    carrier = text()  #: As in the filtered rows.
    filter = text()  #: As in the filtered rows.
    arm = text()  #: As in the filtered rows.
    seed = whole()  #: As in the filtered rows.
    position = whole()  #: The place of the step, from 0.
    step = text()  #: `sampled`; each reason; `after STEP`; `kept`; `used`.
    rows = whole()  #: How many rows. A row with several reasons counts under each.
    share = real()  #: Their share of the rows sampled. From 0 to 1.


class Training(Table, file="training.parquet", row="step", dims=False):
    """The loss of every training step. What a stage has no word for is null."""

    stage = text()  #: Who is trained: `base`, `teacher` or `student`.
    model = text()  #: The name of its base.
    teacher = text(null=True)  #: Of a student: the model that wrote its rows.
    trait = text(null=True)  #: Of a teacher its trait, of a student that of its teacher.
    arm = text(null=True)  #: Of a student: what was done to the rows.
    condition = text(null=True)  #: Of a student: what its run is compared as.
    seed = whole(null=True)  #: Of teachers and students: the seed of the chain.
    step = whole()  #: Number of the step, from 0.
    loss = real()  #: Mean loss per completion token, in nats.


class Power(Comparisons, file="power.parquet", view="power"):
    """The smallest effect that each comparison of the report finds with 80 % power: what could have been seen."""

    source = text()  #: Where the spread is from: the `params`, or `measured` between these runs.
    columns: ClassVar = {"source": source, **Comparisons.columns}


_MARGINS = (margins.Margins, margins.MarginEffects, dose.Doses, dose.DoseEffects)
_HISTORY, _JUDGED = (history.HistoryRuns, history.HistoryPoints, history.HistoryCurves), (roc.JudgedRuns, roc.Curves)
TABLES = (Runs, Matrix, Traits, Measures, Capability, Power, FreeForm, Gates, Funnel, Training, *_MARGINS, *_HISTORY, *_JUDGED)
