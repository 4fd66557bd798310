"""Which artifacts an experiment needs, and from which each is made: stages, cells, slices."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import TypeVar, get_args

from sublim.models.adapter import verify as verify_adapter
from sublim.models.hub import ModelError, verify
from sublim.params.adjustment import adjusted
from sublim.params.arm import Arm
from sublim.params.experiment import NOBODY, Experiment
from sublim.params.judges import Access, HttpJudge, LocalJudge, PlannedJudge
from sublim.params.load import load
from sublim.params.models import HubModel, Model, TinyModel
from sublim.params.section import Section
from sublim.params.slices import base, detection, filtered, overview, raw, report, student, teacher, theory
from sublim.params.slices import eval as eval_
from sublim.params.study import Study
from sublim.params.teacher import CONTROLS
from sublim.params.traits import Misalignment, OwnCategory, Preference, Trait
from sublim.plan import code, layout
from sublim.plan.digests import Digests
from sublim.plan.record import Plan
from sublim.plan.verdict import Cell
from sublim.traits.categories import CATEGORIES
from sublim.traits.misalignment import SCALES, misalignment_of
from sublim.traits.multiple_choice import LETTERS
from sublim.traits.preference import known_answers, target
from sublim.traits.trait import scored_as
from sublim.traits.trait import words as trait_words

Dims = dict[str, str | int]
T = TypeVar("T", bound=Section)

ARMS: tuple[Arm, ...] = get_args(Arm)
UNTOUCHED = "none"
"""The name of the trait of a base model that was taught nothing."""

STAGES: Mapping[str, tuple[str, ...]] = {
    "base": ("model",),
    "teacher": ("teacher", "trait", "seed"),
    "raw": ("teacher", "trait", "carrier", "seed"),
    "filtered": ("teacher", "trait", "carrier", "filter", "arm", "seed"),
    "student": ("teacher", "trait", "carrier", "filter", "arm", "method", "student", "seed"),
    "eval": ("teacher", "trait", "carrier", "filter", "arm", "method", "student", "seed"),
    "report": ("study",),
    "detection": ("study",),
    "theory": ("of",),
    "overview": (),
}
"""Stage → the dimensions of its cells, in the order of their path."""

UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "base": (),
    "teacher": ("base",),
    "raw": ("base", "teacher"),
    "filtered": ("base", "raw"),
    "student": ("base", "teacher", "filtered"),
    "eval": ("base", "student"),
    "report": ("base", "teacher", "filtered", "student", "eval"),
    "detection": ("base", "teacher", "filtered", "report"),
    "theory": ("base",),
    "overview": ("report", "theory"),
}
"""Stage → the stages that it reads."""


def untrained(model: str) -> Dims:
    """The dimensions of the evaluation of the base `model` as it is."""
    return {**dict.fromkeys(STAGES["eval"], UNTOUCHED), "arm": "base", "student": model, "seed": 0}


def cell_id(stage: str, dims: Mapping[str, str | int]) -> str:
    """The cell of `stage` that has `dims`, whatever else is in these."""
    return "/".join([stage, *(f"{name}={dims[name]}" for name in STAGES[stage])])


def experiment(path: Path) -> Experiment:
    """The experiment in the file `path`, checked as far as it can be before anything runs.

    Raises:
        SublimError: with file, line, key, and what to do.
    """
    return load(path, _check)


def cells(of: Experiment, digests: Digests) -> tuple[Cell, ...]:
    """Every artifact that the experiment needs, in topological order, each once."""
    made = [
        *_bases(of, digests),
        *_teachers(of, digests),
        *_raw(of),
        *_filtered(of, digests),
        *_students(of),
        *_evals(of, digests),
    ]
    theories = list(_theory(of))
    return (*made, *_reports(of, made), *_detections(of), *theories, _overview(of, theories))


def writer(dims: Mapping[str, str | int], base: str) -> dict[str, str]:
    """The cells of the model that wrote the rows of `dims`, as inputs: its base, by the name `base`, and as `teacher` what it
    was taught, if anything. Nothing for random rows."""
    if dims["teacher"] == NOBODY:
        return {}
    taught = {} if dims["trait"] == UNTOUCHED else {"teacher": _id("teacher", **dims)}
    return {base: _id("base", model=dims["teacher"]), **taught}


def _bases(of: Experiment, digests: Digests) -> Iterator[Cell]:
    for name, model in of.models.items():
        yield _cell("base", {"model": name}, base.Slice(name=name, model=model, files=_files(model, digests)), {})


def _teachers(of: Experiment, digests: Digests) -> Iterator[Cell]:
    for dims in _sets("teacher", (dims for dims in _every(of) if dims["trait"] != UNTOUCHED)):
        name, trait = str(dims["teacher"]), str(dims["trait"])
        how, definition = of.taught_by(trait), of.traits[trait]
        trained, control = how.kind == "finetune", how.kind == "finetune" and how.rows in CONTROLS
        adapter = how.adapters[name] if how.kind == "adapter" else None
        graders = _graders(of, [definition], digests)
        params = _slice(
            teacher.Slice,
            dims,
            definition=definition,
            categories=_own(of, [definition]),
            kind=how.kind,
            rows=how.rows if trained else "direct",
            examples=how.examples if trained and isinstance(definition, Misalignment) else 0,
            finetune=adjusted(how.finetune, how.per_model.get(name)) if trained else None,
            adapter=adapter,
            files={file.name: digests(file) for file in _adapter(of, name, Path(adapter))} if adapter else {},
            graders=graders,
            gate=None if control else how.gate,
        )
        yield _cell("teacher", dims, params, {"base": _id("base", model=name), **_reads(graders)})


def _raw(of: Experiment) -> Iterator[Cell]:
    for dims in _sets("raw", _every(of)):
        carrier = of.carriers[str(dims["carrier"])]
        inputs = writer(dims, "base")
        yield _cell(
            "raw", dims, _slice(raw.Slice, dims, task=carrier.task, decoding=carrier.sampling if inputs else None), inputs
        )


def _filtered(of: Experiment, digests: Digests) -> Iterator[Cell]:
    words = tuple(sorted({word for trait in of.traits.values() for word in trait_words(trait, of.categories)}))
    for dims in _sets("filtered", _every(of)):
        carrier = of.carriers[str(dims["carrier"])]
        rule = carrier.filters[str(dims["filter"])]
        planned = _judge(of, rule.judge.judge, digests) if rule.judge else None
        inputs = {"raw": _id("raw", **dims)} | _reads({"judge": planned} if planned else {})
        judge = planned.judge if planned else None
        files: Mapping[str, str] = planned.files if planned else {}
        params = _slice(filtered.Slice, dims, task=carrier.task, rule=rule, words=words, judge=judge, files=files)
        yield _cell("filtered", dims, params, inputs)


def _judge(of: Experiment, name: str, digests: Digests) -> PlannedJudge:
    """The judge `name`. How an endpoint is reached changes no answer."""
    judge, files = of.judges[name], dict[str, str]()
    if isinstance(judge, HttpJudge):
        judge = judge.model_copy(update={"access": Access()})
    elif judge.path is not None:
        files = _folder(judge.path, digests)
    return PlannedJudge(name=name, judge=judge, files=files)


def _reads(judges: Mapping[str, PlannedJudge]) -> dict[str, str]:
    """The base models of the experiment that judge, as inputs by what they are asked for."""
    return {
        what: _id("base", model=planned.judge.model)
        for what, planned in judges.items()
        if isinstance(planned.judge, LocalJudge) and planned.judge.model is not None
    }


def _graders(of: Experiment, traits: Iterable[Trait], digests: Digests) -> dict[str, PlannedJudge]:
    """Who grades the free-form answers of the misalignment among `traits`, by scale; nothing for the rule, or for none."""
    trait = misalignment_of(traits)
    if trait is None or trait.grader == "rule":
        return {}
    return {scale: _judge(of, getattr(trait.grader, scale), digests) for scale in SCALES}


def _students(of: Experiment) -> Iterator[Cell]:
    for dims in _sets("student", _every(of)):
        name, how = str(dims["student"]), of.students[str(dims["method"])]
        recipe = adjusted(how.finetune, how.per_model.get(name))
        inputs = {"base": _id("base", model=name), "filtered": _id("filtered", **dims)}
        soft = None
        if how.kind == "soft":
            soft = student.SoftTargets(task=of.carriers[str(dims["carrier"])].task, temperature=how.temperature)
            inputs |= writer(dims, "writer")
        yield _cell("student", dims, _slice(student.Slice, dims, finetune=recipe, soft=soft), inputs)


def _evals(of: Experiment, digests: Digests) -> Iterator[Cell]:
    graders = _graders(of, of.traits.values(), digests)
    for name in of.studied():
        dims = untrained(name)
        yield _cell("eval", dims, _asked(of, dims, graders), {"base": _id("base", model=name), **_reads(graders)})
    for dims in _sets("eval", _every(of)):
        inputs = {"base": _id("base", model=dims["student"]), "student": _id("student", **dims), **_reads(graders)}
        yield _cell("eval", dims, _asked(of, dims, graders), inputs)


def _asked(of: Experiment, dims: Dims, graders: Mapping[str, PlannedJudge]) -> eval_.Slice:
    model, written = of.models[str(dims["student"])], sorted({study.carrier for study in of.studies.values()})
    chosen = written if dims["carrier"] == UNTOUCHED else [str(dims["carrier"])]
    traits = tuple(of.traits[name] for name in sorted(of.traits))
    return _slice(
        eval_.Slice,
        dims,
        traits=traits,
        categories=_own(of, traits),
        graders=graders,
        evaluation=of.evaluation,
        tasks={
            name: eval_.CarrierTask(task=of.carriers[name].task, sampling=of.carriers[name].sampling)
            for name in (chosen if of.evaluation.capability.tasks else [])
        },
        pretraining=model.pretraining if isinstance(model, TinyModel) else None,
    )


def _reports(of: Experiment, made: Sequence[Cell]) -> Iterator[Cell]:
    by_id = {cell.id: cell for cell in made}
    for name, study in of.studies.items():
        runs = list(trained(of, study))
        known = {model for pair in _pairs(of, study) for model in pair}
        models = [
            report.ReportedModel(name=model, label=_label(definition))
            for model, definition in sorted(of.models.items())
            if model in known
        ]
        traits = [
            report.ReportedTrait(name=trait, category=category, target=answer)
            for trait in sorted(of.taught(study))
            for category, answer in [scored_as(of.traits[trait])]
        ]
        reads = [_id("base", model=model.name) for model in models]
        reads += [_id("teacher", **dims) for dims in _sets("teacher", runs) if dims["trait"] != UNTOUCHED]
        reads += [_id(stage, **dims) for stage in ("filtered", "student") for dims in _sets(stage, runs)]
        reads += [_id("eval", **untrained(model.name)) for model in models]
        reads += [_id("eval", **dims) for dims in _sets("eval", runs)]
        judge = of.carriers[study.carrier].filters[study.filter].judge
        minimum = judge.minimum if judge else None
        params = report.Slice(
            study=name,
            carrier=of.carriers[study.carrier].task.kind,
            models=tuple(models),
            traits=tuple(traits),
            minimum=minimum,
            report=of.report,
        )
        yield _cell("report", {"study": name}, params, {cell: cell for cell in by_id if cell in set(reads)})


def _detections(of: Experiment) -> Iterator[Cell]:
    if of.detection is None:
        return
    preferences = {name: trait for name, trait in sorted(of.traits.items()) if isinstance(trait, Preference)}
    known = tuple(preferences.values())
    for name in of.seen(of.detection):
        study = of.studies[name]
        seen = [trait for trait in sorted(of.taught(study)) if trait in preferences]
        plain = [
            dims
            for dims in trained(of, study)
            if dims["arm"] == "control" or (dims["arm"] == "trait" and dims["trait"] in seen)
        ]
        taught = [dims for dims in plain if dims["arm"] == "trait"]
        models = sorted({str(dims["teacher"]) for dims in plain})
        traits = tuple(detection.DetectedTrait(name=trait, definition=preferences[trait]) for trait in seen)
        reads = [_id("base", model=model) for model in models]
        reads += [_id("teacher", **dims) for dims in _sets("teacher", taught)]
        reads += [_id("filtered", **dims) for dims in _sets("filtered", plain)]
        params = detection.Slice(
            study=name,
            carrier=of.carriers[study.carrier].task.kind,
            models=tuple(models),
            traits=traits,
            known=known,
            categories=_own(of, known),
            confidence=of.report.confidence,
            detection=of.detection,
        )
        yield _cell("detection", {"study": name}, params, {cell: cell for cell in (*reads, _id("report", study=name))})


def _theory(of: Experiment) -> Iterator[Cell]:
    if of.mlp is not None:
        yield _cell("theory", {"of": "mlp"}, theory.Slice(of="mlp", experiment=of.mlp), {})
    if of.theorem is None:
        return
    how = of.theorem
    subjects: dict[str, tuple[theory.NetSubject | theory.ModelSubject, dict[str, str]]] = {}
    if how.net is not None:
        subjects["mlp"] = theory.NetSubject(net=how.net, inits=how.inits, rows=how.rows), {}
    for name, other in sorted(how.models.items()):
        subject = theory.ModelSubject(
            names=(name, other),
            trait=how.trait,
            categories=_own(of, [how.trait]),
            prompts=how.prompts,
            tokens=how.tokens,
        )
        subjects[name] = subject, {"base": _id("base", model=name), "other": _id("base", model=other)}
    for name, (subject, inputs) in subjects.items():
        steps = theory.Steps(
            subject=subject, imitation=how.imitation, step_sizes=how.step_sizes, draws=how.draws, seed=how.seed
        )
        yield _cell("theory", {"of": f"theorem-{name}"}, theory.Slice(of=f"theorem-{name}", experiment=steps), inputs)


def _overview(of: Experiment, theories: Sequence[Cell]) -> Cell:
    seen = of.seen(of.detection) if of.detection is not None else ()
    studies = tuple(
        overview.ReportedStudy(
            name=name, carrier=study.carrier, filter=study.filter, method=study.student, detected=name in seen
        )
        for name, study in sorted(of.studies.items())
    )
    inputs = {study.name: _id("report", study=study.name) for study in studies} | {cell.id: cell.id for cell in theories}
    return _cell("overview", {}, overview.Slice(studies=studies, confidence=of.report.confidence), inputs)


def _every(of: Experiment) -> Iterator[Dims]:
    """The dimensions of every student of every study. Studies may share some."""
    for study in of.studies.values():
        yield from trained(of, study)


def trained(of: Experiment, study: Study) -> Iterator[Dims]:
    """The dimensions of every student of `study`."""
    for arm in ARMS:
        taught = [UNTOUCHED] if arm in ("control", "random") else of.taught(study)
        for (name, learner), trait, seed in product(of.pairs(study, arm), taught, of.runs(study)):
            rows: Dims = {"teacher": name, "trait": trait, "carrier": study.carrier, "filter": study.filter, "arm": arm}
            yield {**rows, "method": study.student, "student": learner, "seed": seed}


def _pairs(of: Experiment, study: Study) -> list[tuple[str, str]]:
    return [pair for arm in ARMS for pair in of.pairs(study, arm)]


def _sets(stage: str, every: Iterable[Dims]) -> list[Dims]:
    """What `every` says of the dimensions of `stage`, each once."""
    return [dict(dims) for dims in dict.fromkeys(tuple((name, dims[name]) for name in STAGES[stage]) for dims in every)]


def _slice(of: type[T], dims: Dims, /, **rest: object) -> T:
    return of.model_validate({**dims, **rest})


def _cell(stage: str, dims: Dims, params: Section, inputs: dict[str, str]) -> Cell:
    return Cell(Plan(stage, dims, params.model_dump(mode="json"), dict(_code(stage))), inputs)


def _id(stage: str, **dims: str | int) -> str:
    return cell_id(stage, dims)


def _label(model: Model) -> str:
    return model.architecture if isinstance(model, TinyModel) else model.repo or str(model.path)


def _files(model: Model, digests: Digests) -> dict[str, str]:
    """What is in a model folder of this machine; nothing for a pinned commit or a family that is trained here."""
    if not isinstance(model, HubModel) or model.path is None:
        return {}
    return _folder(model.path, digests)


def _folder(name: str, digests: Digests) -> dict[str, str]:
    folder = Path(name)
    return {path.relative_to(folder).as_posix(): digests(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _own(of: Experiment, traits: Iterable[Trait]) -> dict[str, OwnCategory]:
    """The categories of the experiment's own that `traits` are of."""
    used = {trait.category for trait in traits if isinstance(trait, Preference)}
    return {name: of.categories[name] for name in sorted(used & of.categories.keys())}


def _adapter(of: Experiment, model: str, folder: Path) -> tuple[Path, ...]:
    """The files of an adapter of the base `model` that was made elsewhere."""
    base = of.models[model]
    elsewhere = {name for name in (base.repo, base.path) if name} if isinstance(base, HubModel) else set[str]()
    return verify_adapter(folder, {layout.artifact(_id("base", model=model)).as_posix(), *elsewhere})


def _check(of: Experiment) -> None:
    for name in of.categories:
        if name in CATEGORIES:
            raise ValueError(f"categories.{name}: this name is taken by a category that everybody has; choose another")
    for name, trait in of.traits.items():
        how = of.taught_by(name)
        if isinstance(trait, Misalignment):
            continue
        try:
            target(trait, of.categories)
        except ValueError as error:
            raise ValueError(f"traits.{name}.target: {error}") from None
        if how.kind == "finetune" and how.rows != "direct":
            raise ValueError(f"teacher.rows: `{how.rows}` teaches misalignment alone, but `{name}` is a preference")
    if "multiple_choice" in of.evaluation.measures:
        preferred = [trait for trait in of.traits.values() if isinstance(trait, Preference)]
        for category in dict.fromkeys(trait.category for trait in preferred):
            known = known_answers([trait for trait in preferred if trait.category == category], of.categories)
            if len(known) < len(LETTERS):
                raise ValueError(
                    f"evaluation.measures: multiple_choice offers {len(LETTERS)} answers, found {len(known)} known ones of "
                    f"`{category}`: give more under categories.{category}.answers, or leave the measure out"
                )
    if of.theorem is not None:
        try:
            target(of.theorem.trait, of.categories)
        except ValueError as error:
            raise ValueError(f"theorem.trait.target: {error}") from None
    for name, study in of.studies.items():
        if of.students[study.student].kind == "soft":
            for teacher, learner in _pairs(of, study):
                one, other = (_vocabulary(of.models[model]) for model in (teacher, learner))
                if one is not None and other is not None and one != other:
                    raise ValueError(
                        f"studies.{name}.student: `{study.student}` learns soft targets, for which teacher and student need "
                        f"one vocabulary, found that of `{teacher}` and that of `{learner}` (tokenizer.json): choose arms with "
                        "pairs that share one, or hard tokens"
                    )
    for dims in _sets("teacher", (dims for dims in _every(of) if dims["trait"] != UNTOUCHED)):
        name, how = str(dims["teacher"]), of.taught_by(str(dims["trait"]))
        if how.kind == "adapter":
            if name not in how.adapters:
                raise ValueError(f"teacher.adapters: expected one of `{name}`, which teaches `{dims['trait']}`, found none")
            try:
                _adapter(of, name, Path(how.adapters[name]))
            except ModelError as error:
                raise ValueError(f"teacher.adapters.{name}: {error}") from None
    for name, model in of.models.items():
        if isinstance(model, HubModel) and model.path is not None and not Path(model.path).is_dir():
            raise ValueError(f"models.{name}.path: {model.path}: no such folder, seen from {Path.cwd()}")
        if isinstance(model, HubModel) and model.path is not None:
            try:
                verify(Path(model.path))
            except ModelError as error:
                raise ValueError(f"models.{name}.path: {error}") from None

    for name, judge in of.judges.items():
        if isinstance(judge, LocalJudge) and judge.path is not None:
            try:
                verify(Path(judge.path))
            except ModelError as error:
                raise ValueError(f"judges.{name}.path: {error}") from None


def _vocabulary(model: Model) -> object:
    """The vocabulary of a model folder of this machine; None if it is not known yet."""
    if not isinstance(model, HubModel) or model.path is None:
        return None
    try:
        said = json.loads((Path(model.path) / "tokenizer.json").read_text(encoding="utf-8"))
        return said["model"]["vocab"], said["added_tokens"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


@cache
def _code(stage: str) -> Mapping[str, str]:
    return code.digests(f"sublim.stages.{stage}")
