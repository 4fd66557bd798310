"""The stage `filtered`: what it is."""

from collections.abc import Iterator, Mapping

from sublim.engine.stage import Dims, Folders, Inputs, Stage, Wanted
from sublim.forecast.tokens import Tokens, judged
from sublim.judges.planned import planned
from sublim.params.experiment import Experiment
from sublim.params.kinds import KindName
from sublim.params.rates import Rates
from sublim.stages import distinct
from sublim.stages.filtered.rows import TABLES, Slice
from sublim.stages.judging import judges_read
from sublim.stages.raw.rows import Slice as Sampled
from sublim.stages.raw.spec import STAGE as RAW


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:
    """One for each set of raw rows, filter and arm."""
    words = {word for trait in experiment.traits.values() for word in trait.words(experiment.categories)}
    for dims in distinct(Slice.DIMS, experiment.students_dims()):
        carrier = experiment.carriers[str(dims["carrier"])]
        rule = carrier.filters[str(dims["filter"])]
        asked = planned(experiment, rule.asks, folders.folder) if rule.asks else None
        params = Slice(
            **dims | {"arm": KindName("arms", str(dims["arm"]))},  # pyright: ignore[reportArgumentType]
            task=carrier.task,
            rule=rule,
            words=tuple(sorted(words)),
            judge=asked.judge if asked else None,
            files=asked.files if asked else {},
        )
        yield Wanted(params)


def reads(dims: Dims, params: Slice) -> Inputs:
    """The raw rows, and the base that judges them, if one of the experiment's own does."""
    judge = params.planned_judge
    return {"raw": RAW.cell(dims), **judges_read({"judge": judge} if judge else {})}


def work(params: Slice, above: Mapping[str, object], rates: Rates) -> Mapping[str, Tokens]:
    """A judge on this machine, as if it were asked about every row that may be sampled: other steps may leave it fewer."""
    judge, raw = params.planned_judge, above.get("raw")
    rows = raw.ends[-1] if isinstance(raw, Sampled) else params.task.prompts
    return {} if judge is None else judged("judge", judge, params.task, rows, rates)


STAGE = Stage(
    "sublim.stages.filtered",
    about="filtered data set",
    params=Slice,
    cells=cells,
    upstream=("base", "raw"),
    reads=reads,
    tables=TABLES,
    sections=("models", "traits", "categories", "seeds", "studies", "carriers", "judges"),
    optional=("studies",),
    memory_mb=500,
    work=work,
)
