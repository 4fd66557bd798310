"""What filtered rows depend on, and what their tables hold."""

from collections.abc import Mapping
from typing import Annotated

from sublim.carriers.task import Task
from sublim.common.table import Table, flag, real, text, texts, whole
from sublim.filters.step import Context
from sublim.judges.judge import Judge
from sublim.judges.planned import PlannedJudge
from sublim.params.filter import AnyFilter
from sublim.params.kinds import Named, OneOf
from sublim.params.slice import CellParams


class Slice(CellParams):
    """What a filtered cell depends on."""

    DIMS = ("teacher", "trait", "carrier", "filter", "arm", "seed")

    teacher: str  #: The model that wrote the rows; `none` for random rows.
    trait: str  #: The teacher's trait; `none` for the untouched base.
    carrier: str  #: The name of what is written.
    filter: str  #: The name of the filter.
    arm: Annotated[str, Named("arms")]  #: What is done to the kept rows.
    seed: int  #: The seed of the chain.
    task: Annotated[Task, OneOf("carriers")]  #: What the rows were to be.
    rule: AnyFilter  #: Which rows are kept, and how many are used.
    judge: Annotated[Judge, OneOf("judges")] | None  #: The judge that the filter asks, without its access.
    files: Mapping[str, str]  #: Digests of the files of a judge from a folder of this machine, by name; nothing for others.
    words: tuple[str, ...]  #: The words that no kept row may hold: the targets of the traits and their plurals.

    @property
    def context(self) -> Context:
        """What the steps of the filter know of the rows."""
        return Context(self.task, self.words)

    @property
    def planned_judge(self) -> PlannedJudge | None:
        """Who is asked about the rows that no other step rejects."""
        asks = self.rule.asks
        return None if asks is None or self.judge is None else PlannedJudge(name=asks, judge=self.judge, files=self.files)


class Rows(Table):
    """Every raw row, in its order, with the reasons against it."""

    file, view, id, row = "rows.parquet", "filtered", "row_id", "filtered row"
    parents = ("parent_id", "sources")

    row_id = text()  #: Digest of the cell and the parent.
    parent_id = text()  #: The raw row that it is.
    prompt_id = text()  #: Digest of the carrier and the text of the prompt.
    prompt = text()  #: What was asked, without the chat template.
    completion = text()  #: What a student learns: what was written, or in the shuffled arms its numbers in another order.
    score = real(null=True)  #: The judge's score; null where no judge was asked, or gave none.
    judgement = text(null=True)  #: What the judge wrote; null where it was not asked, or writes nothing.
    reasons = texts()  #: Why the filter rejects it, by step; empty if it is kept.
    kept = flag()  #: Whether no step has a reason against it.
    used = flag()  #: Whether students train on it: it is among the first kept ones.
    sources = texts()  #: The raw rows that its numbers came from, in the shuffled arms one for each number; else the parent.


class Funnel(Table):
    """What became of the rows, by step of the filter."""

    file, view, row = "funnel.parquet", "funnel", "step"

    step = text()  #: `sampled`; each reason; `after STEP`; `kept`; `used`.
    rows = whole()  #: How many rows. A row with several reasons counts under each.
    position = whole()  #: The place of the step, from 0.


TABLES = (Rows, Funnel)
