"""The stage `overview`: what it is."""

from collections.abc import Iterator
from typing import Any

from sublim.engine.stage import Figure, Folders, Stage, Wanted, pictures
from sublim.params.experiment import Experiment
from sublim.params.kinds import KindName
from sublim.stages.overview.rows import TABLES, ReportedStudy, Slice
from sublim.stages.report.spec import STAGE as REPORT
from sublim.stages.theory.spec import STAGE as THEORY
from sublim.stages.theory.spec import cells as theories

FOLDER = "data/overview"
BARS = {"template": "bar_horizontal", "x": "gain"}
LOSSES = ["diagonal", "off_diagonal", "control", "shuffled_within", "shuffled_across"]
PLOTS: dict[str, tuple[dict[str, Any], ...]] = {
    "studies": (
        {f"{FOLDER}/matrix.csv": BARS | {"y": "pair", "title": "Gain by teacher → student"}},
        {f"{FOLDER}/gains.csv": BARS | {"y": "what", "title": "Gain by student and arm"}},
        {"training": {"x": "step", "y": {f"{FOLDER}/training.csv": LOSSES}, "title": "Students' loss"}},
        {f"{FOLDER}/overview.png": None},
    ),
    "mlp": ({f"{FOLDER}/mlp.png": None},),
    "theorem": ({f"{FOLDER}/theorem.png": None},),
}


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:
    """One, of everything."""
    seen = experiment.seen(experiment.detection) if experiment.detection is not None else ()
    studies = tuple(
        ReportedStudy(name=name, carrier=study.carrier, filter=study.filter, method=study.student, detected=name in seen)
        for name, study in sorted(experiment.studies.items())
    )
    theory = [THEORY.cell(wanted.params.dims) for wanted in theories(experiment, folders)]
    inputs = {study.name: REPORT.cell({"study": study.name}) for study in studies} | {cell: cell for cell in theory}
    every = experiment.studies.values()
    arms = dict.fromkeys(str(dims["arm"]) for dims in experiment.students_dims())
    kinds = dict.fromkeys(experiment.carriers[study.carrier].task.kind for study in every)
    params = Slice(
        studies=studies,
        confidence=experiment.report.confidence,
        arms=tuple(KindName("arms", arm) for arm in arms),
        carriers=tuple(KindName("carriers", kind) for kind in kinds),
    )
    yield Wanted(params, inputs)


def figures_of(experiment: Experiment) -> list[str]:
    """The page, and a figure of all studies and of each part of theory that there is."""
    parts = {"overview.svg": experiment.studies, "mlp.svg": experiment.mlp, "theorem.svg": experiment.theorem}
    return ["overview.html", *(name for name, there in parts.items() if there)]


STAGE = Stage(
    "sublim.stages.overview",
    about="overview",
    params=Slice,
    cells=cells,
    upstream=("report", "theory"),
    tables=TABLES,
    files=("gains.csv", "matrix.csv", "training.csv", *pictures("overview", "mlp", "theorem")),
    sections=("studies", "carriers", "detection", "report"),
    memory_mb=500,
    figures={
        "overview.html": Figure("overview", "Overview"),
        "overview.svg": Figure("studies", "Overview"),
        "mlp.svg": Figure("mlp", "Overview"),
        "theorem.svg": Figure("theorem", "Overview"),
    },
    figures_of=figures_of,
    plots=PLOTS,
    metrics=f"{FOLDER}/metrics.json",
    repeats=True,
)
