"""The stage `detection`: what it is."""

from collections.abc import Iterator
from pathlib import Path

from sublim.engine.stage import Figure, Folders, Stage, Wanted, pictures
from sublim.models import probed
from sublim.params.experiment import Experiment
from sublim.params.kinds import KindName
from sublim.stages import distinct
from sublim.stages.base.spec import STAGE as BASE
from sublim.stages.detection.rows import TABLES, DetectedTrait, Slice
from sublim.stages.filtered.spec import STAGE as FILTERED
from sublim.stages.report.spec import STAGE as REPORT
from sublim.stages.teacher.spec import STAGE as TEACHER
from sublim.traits.categories import used
from sublim.traits.preference import Preference


def cells(experiment: Experiment, folders: Folders) -> Iterator[Wanted]:  # noqa: ARG001
    """One for each study in whose data somebody looks for a preference."""
    if experiment.detection is None:
        return
    preferences = {name: trait for name, trait in sorted(experiment.traits.items()) if isinstance(trait, Preference)}
    known = tuple(preferences.values())
    for name in experiment.seen(experiment.detection):
        study = experiment.studies[name]
        seen = [trait for trait in sorted(experiment.taught(study)) if trait in preferences]
        plain = [
            dims
            for dims in experiment.trained(study)
            if dims["arm"] == "control" or (dims["arm"] == "trait" and dims["trait"] in seen)
        ]
        taught = [dims for dims in plain if dims["arm"] == "trait"]
        models = sorted({str(dims["teacher"]) for dims in plain})
        reads = [BASE.cell({"model": model}) for model in models]
        reads += [TEACHER.cell(dims) for dims in distinct(TEACHER.dims, taught)]
        reads += [FILTERED.cell(dims) for dims in distinct(FILTERED.dims, plain)]
        params = Slice(
            study=name,
            carrier=KindName("carriers", experiment.carriers[study.carrier].task.kind),
            models=tuple(models),
            traits=tuple(DetectedTrait(name=trait, definition=preferences[trait]) for trait in seen),
            known=known,
            categories=used(experiment.categories, (trait.category for trait in known)),
            confidence=experiment.report.confidence,
            detection=experiment.detection,
        )
        yield Wanted(params, {cell: cell for cell in (*reads, REPORT.cell({"study": name}))})


def needs(params: Slice, name: str, found: Path) -> Iterator[str]:  # noqa: ARG001 - all of them are asked
    """Bases that can be asked in several turns, by detectors that do so."""
    if any(detector.in_turns for detector in params.detectors):
        probe = probed.read(found)
        yield from probed.for_turns(probe)
        yield from probed.for_answers(probe)


STAGE = Stage(
    "sublim.stages.detection",
    about="detection",
    params=Slice,
    cells=cells,
    upstream=("base", "teacher", "filtered", "report"),
    tables=TABLES,
    files=("summary.json", *pictures("accuracy", "transmission", "context")),
    sections=("models", "traits", "categories", "seeds", "studies", "carriers", "report", "detection"),
    optional=("detection",),
    memory_mb=1500,
    figures={"detection.html": Figure("detection", "Detection")},
    repeats=True,
    needs=needs,
)
