"""The stage `report`: what it is."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sublim.arms.conditions import TRAIT
from sublim.engine.stage import Dims, Figure, Folders, Stage, Wanted, pictures
from sublim.params.derived import DerivedModel
from sublim.params.elsewhere import GgufModel, HubModel
from sublim.params.experiment import Experiment
from sublim.params.history import relatives
from sublim.params.kinds import KindName
from sublim.params.models import Model
from sublim.params.names import UNTOUCHED
from sublim.params.relatives import Relatives
from sublim.params.tiny import TinyModel
from sublim.stages import distinct
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.eval.spec import STAGE as EVAL
from sublim.stages.eval.spec import untrained
from sublim.stages.filtered.spec import STAGE as FILTERED
from sublim.stages.report.rows import TABLES, ReportedModel, ReportedTrait, Slice
from sublim.stages.student.spec import STAGE as STUDENT
from sublim.stages.teacher.spec import STAGE as TEACHER


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:  # noqa: ARG001
    """One for each study."""
    for name, study in experiment.studies.items():
        runs = list(experiment.trained(study))
        paired = {str(dims[role]) for dims in runs for role in ("teacher", "student")}
        models = [
            ReportedModel(name=model, label=_label(definition))
            for model, definition in sorted(experiment.models.items())
            if model in paired
        ]
        traits = [
            ReportedTrait(name=trait, category=category, target=answer)
            for trait in sorted(experiment.taught(study))
            for category, answer in [experiment.traits[trait].scored_as]
        ]
        taught = [dims for dims in runs if dims["trait"] != UNTOUCHED]
        reads = [BASE.cell({"model": model.name}) for model in models]
        reads += [TEACHER.cell(dims) for dims in distinct(TEACHER.dims, taught)]
        reads += [stage.cell(dims) for stage in (FILTERED, STUDENT) for dims in distinct(stage.dims, runs)]
        reads += [EVAL.cell(untrained(model.name)) for model in models]
        reads += [EVAL.cell(dims) for dims in distinct(EVAL.dims, runs)]
        carrier = experiment.carriers[study.carrier]
        judge = [step for step in carrier.filters[study.filter].steps.values() if step.of_the_rest]
        params = Slice(
            study=name,
            carrier=KindName("carriers", carrier.task.kind),
            models=tuple(models),
            traits=tuple(traits),
            minimum=judge[0].minimum if judge else None,
            report=experiment.report,
            relatives=tuple(_relatives(runs, experiment.models)),
            arms=tuple(KindName("arms", arm) for arm in dict.fromkeys(str(dims["arm"]) for dims in runs)),
            measures=experiment.evaluation.measures,
        )
        yield Wanted(params, {cell: cell for cell in reads})


def _relatives(runs: Sequence[Dims], models: Mapping[str, Model]) -> Sequence[Relatives]:
    """The pairs of the trait arm that are of one pretraining; none if all of them are of a model with itself."""
    pairs = sorted({(str(dims["teacher"]), str(dims["student"])) for dims in runs if dims["arm"] == TRAIT})
    found = [each for pair in pairs if (each := relatives(*pair, models)) is not None]
    trunks = {each.trunk for each in found if each.teacher != each.student}
    return [each for each in found if each.trunk in trunks]


def _label(model: Model) -> str:
    match model:
        case TinyModel():
            return model.architecture
        case HubModel():
            return model.repo or str(model.path)
        case GgufModel():
            return f"{Path(model.pieces[0].file).name}, dequantized"
        case DerivedModel():
            return f"{model.parent}, {'trained further' if model.training else 'another branch of its pretraining'}"


CHARTS = (
    "matrix*",
    "gains",
    "traits",
    "margins",
    "dose",
    "history",
    "capability",
    "equivalence",
    "gates",
    "funnel",
    "roc",
    "training",
)  #: Its figures.
NUMBERS = ("summary.json", "metrics.json", "gains.csv", "matrix.csv", "training.csv")


STAGE = Stage(
    "sublim.stages.report",
    about="report",
    params=Slice,
    cells=cells,
    upstream=("base", "teacher", "filtered", "student", "eval"),
    tables=TABLES,
    files=(*NUMBERS, *pictures(*CHARTS)),
    sections=("models", "traits", "seeds", "studies", "carriers", "evaluation", "report"),
    optional=("studies",),
    figures={
        "report.html": Figure("page", "Report"),
        "matrix.svg": Figure("matrix", "Figures"),
        "gains.svg": Figure("gains", "Figures"),
        "traits.svg": Figure("traits", "Figures"),
        "capability.svg": Figure("capability", "Figures"),
    },
    repeats=True,
    keeps_bytes=True,
)
