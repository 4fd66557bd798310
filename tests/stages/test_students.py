"""Students of soft targets, random rows, greedy rows: through the stages, and what an experiment may not say."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sublim.carriers.numbers import Numbers
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.record import Output, Plan, Record
from sublim.evidence.source import Source
from sublim.methods.soft import SoftTargets
from sublim.params.elsewhere import HubModel
from sublim.params.experiment import Experiment
from sublim.params.learning import Decoding, Finetune, Lora
from sublim.params.load import ParamsError, load
from sublim.params.models import same_vocabulary
from sublim.params.tiny import Mix, Pretraining, TinyModel
from sublim.report import tables
from sublim.stages.raw import check
from sublim.stages.raw import make as raw
from sublim.stages.raw.rows import SAMPLED
from sublim.stages.raw.rows import Slice as RawSlice
from sublim.stages.raw.spec import STAGE as RAW
from sublim.stages.raw.spec import writer
from sublim.stages.student import make as student
from sublim.stages.student.rows import Slice as StudentSlice
from tests.shared.forge import rewrite, set_cell, tree
from tests.shared.small_models import small

TASK = Numbers(prompts=12)
RANDOM = RawSlice(teacher="none", trait="none", carrier="numbers", seed=1, task=TASK, decoding=None)
GREEDY = RawSlice(
    teacher="m", trait="none", carrier="numbers", seed=1, task=TASK, decoding=Decoding(temperature=0, max_tokens=6)
)
HARD = StudentSlice(
    teacher="m", trait="none", carrier="numbers", filter="strict", arm="control", method="soft", student="n", seed=1,
    finetune=Finetune(lora=Lora(rank=2, alpha=4.0), steps=3, batch=8),
)  # fmt: skip
SOFT = HARD.model_copy(update={"soft": SoftTargets(task=TASK, temperature=1.0)})


def tiny(**changes: Any) -> TinyModel:
    return TinyModel.model_validate({"kind": "tiny", "architecture": "gpt_neox", "seed": 1, **changes})


def experiment(**changes: Any) -> Experiment:
    said: dict[str, Any] = {
        "models": {"a": tiny(), "b": tiny(seed=2)},
        "traits": {"fox": {"kind": "preference", "category": "animals", "target": "fox"}},
        "seeds": (1,),
        "students": {"hard": {}, "soft": {"kind": "soft", "temperature": 2.0}},
        "studies": {"s": {"carrier": "numbers", "filter": "strict", "student": "soft"}},
    }
    return Experiment.model_validate({**said, **changes})


def rows(params: RawSlice, folder: Path, **inputs: Path) -> pl.DataFrame:
    folder.mkdir()
    raw.make(inputs, params, folder, Progress())
    return pl.read_parquet(folder / "rows.parquet")


def trained(params: StudentSlice, folder: Path, used: pl.DataFrame, **inputs: Path) -> pl.DataFrame:
    filtered = folder / "filtered"
    filtered.mkdir(parents=True)
    used.with_columns(used=pl.lit(value=True)).write_parquet(filtered / "rows.parquet")
    student.make({"filtered": filtered, **inputs}, params, folder, Progress())
    return pl.read_parquet(folder / "steps.parquet")


def test_random_rows_need_no_model_and_follow_from_their_ids(tmp_path: Path) -> None:
    found = rows(RANDOM, tmp_path / "random")
    assert found["completion"].to_list() == TASK.written(found["sampling_seed"].to_list())
    assert TASK.skilled(found["completion"], found["answer"]).all()
    assert found.select(SAMPLED).null_count().row(0) == (12,) * len(SAMPLED)
    other = rows(RANDOM.model_copy(update={"seed": 2}), tmp_path / "other")
    assert other["prompt"].equals(found["prompt"])
    assert not other["completion"].equals(found["completion"])
    sampled = rows(GREEDY, tmp_path / "greedy", base=small())
    assert sampled.schema == found.schema


def test_random_rows_that_were_altered_are_found(tmp_path: Path) -> None:
    cell = RAW.cell(RANDOM.dims)
    folder = tmp_path / cell
    folder.parent.mkdir(parents=True)
    found, file = rows(RANDOM, folder), folder / "rows.parquet"
    plan = Plan(RAW.name, RANDOM.dims, RANDOM.model_dump(mode="json"), {})
    Record(plan, {}, {file.name: Output(sha256(file), file.stat().st_size)}, {}).write(folder / "record.json")
    assert list(check.check(Source(tree(tmp_path)), cell)) == []
    set_cell(file, "completion", 3, "666")
    (accident,) = check.check(Source(tree(tmp_path)), cell)
    assert accident.kind == "completions"
    assert found["row_id"][3] in accident.text
    rewrite(file, lambda _: found.with_columns(temperature=pl.lit(1.0)))
    (accident,) = check.check(Source(tree(tmp_path)), cell)
    assert accident.kind == "decoding"


def test_greedy_rows_do_not_depend_on_their_seeds(tmp_path: Path) -> None:
    one = rows(GREEDY, tmp_path / "one", base=small())
    two = rows(GREEDY.model_copy(update={"seed": 2}), tmp_path / "two", base=small())
    assert one["completion"].equals(two["completion"])
    assert not one["sampling_seed"].equals(two["sampling_seed"])
    assert one["temperature"].to_list() == [0.0] * 12


def test_a_soft_student_learns_from_its_writer_and_another_one_from_itself_nothing(tmp_path: Path) -> None:
    used = rows(GREEDY, tmp_path / "raw", base=small())
    same = trained(SOFT, tmp_path / "same", used, base=small(), writer=small())
    other = trained(SOFT, tmp_path / "other", used, base=small(), writer=small("gptj"))
    hard = trained(HARD, tmp_path / "hard", used, base=small())
    assert same["loss"][0] == pytest.approx(0, abs=1e-5)
    assert other["loss"][0] > 0.01
    assert hard["loss"][0] > other["loss"][0]
    assert same["rows"].equals(hard["rows"])


def test_a_writer_with_another_vocabulary_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = rows(GREEDY, tmp_path / "raw", base=small())

    def differ(*_: object) -> bool:
        return False

    monkeypatch.setattr("sublim.learn.soft.same_vocabulary", differ)
    with pytest.raises(ValueError, match="soft targets: expected one vocabulary of teacher and student, found"):
        trained(SOFT, tmp_path / "student", used, base=small(), writer=small())


def test_the_writer_of_soft_targets_is_an_input() -> None:
    found = {cell.id: cell for cell in cells(experiment(), Digests(Path("none")))}
    students = [cell for cell in found.values() if cell.plan.stage == "student"]
    for cell in students:
        base = {"writer": f"base/model={cell.plan.dims['teacher']}"}
        assert {name: used for name, used in cell.inputs.items() if name in ("writer", "teacher")} == (
            writer(cell.plan.dims, "writer")
        )
        assert base.items() <= cell.inputs.items()
        assert ("teacher" in cell.inputs) == (cell.plan.dims["trait"] == "fox")
        assert cell.plan.params["soft"]["temperature"] == 2.0


def test_random_rows_are_made_from_nothing_and_learned_by_whom_the_study_names() -> None:
    study: dict[str, Any] = {"carrier": "numbers", "filter": "strict", "student": "hard", "arms": {"random": ("b",)}}
    found = {cell.id: cell for cell in cells(experiment(studies={"s": study}), Digests(Path("none")))}
    assert found["raw/teacher=none/trait=none/carrier=numbers/seed=1"].inputs == {}
    learners = [
        cell.plan.dims["student"]
        for cell in found.values()
        if cell.plan.dims.get("arm") == "random" and "student" in cell.plan.dims
    ]
    assert set(learners) == {"b"}
    assert "eval/teacher=none/trait=none/carrier=numbers/filter=strict/arm=random/method=hard/student=b/seed=1" in found


def test_what_soft_students_cannot_learn_is_refused(tmp_path: Path) -> None:
    study: dict[str, Any] = {"carrier": "numbers", "filter": "strict", "student": "soft"}
    with pytest.raises(ValueError, match=r"studies\.s\.arms\.random: expected none for students of soft targets, found 'all'"):
        experiment(studies={"s": {**study, "arms": {"random": "all"}}})
    strange = tiny(pretraining=Pretraining(corpus_seed=9))
    with pytest.raises(ValueError, match=r"studies\.s\.student: `soft` learns soft targets, .* that of `a` and that of `c`"):
        experiment(models={"a": tiny(), "c": strange})
    same = {"trait": "same", "control": "same"}
    assert experiment(models={"a": tiny(), "c": strange}, studies={"s": {**study, "arms": same}})
    with pytest.raises(ValueError, match=r"arms\.random: no model is called `d`"):
        experiment(studies={"s": {**study, "student": "hard", "arms": {"random": ("d",)}}})
    said = experiment().model_dump(mode="json", exclude_unset=True) | {"students": {"hard": {}, "soft": {"temperature": 3}}}
    (tmp_path / "params.yaml").write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(ParamsError, match="temperature: 3 is that of soft targets, found kind hard"):
        load(tmp_path / "params.yaml")


def test_the_vocabulary_of_params() -> None:
    one = tiny()
    assert same_vocabulary(one, tiny(seed=5, architecture="gptj"))
    assert not same_vocabulary(one, tiny(pretraining=Pretraining(vocabulary=4_000)))
    mix = Mix(questions=0.2, numbers=0.37)
    assert not same_vocabulary(one, tiny(pretraining=Pretraining(mix=mix)))
    here, there = HubModel(kind="hub", path="here"), HubModel(kind="hub", path="there")
    assert same_vocabulary(here, here)
    assert same_vocabulary(here, there) is None
    assert same_vocabulary(here, one) is False


def test_less_able_students_are_flagged() -> None:
    dims = {"trait": "fox", "carrier": "n", "filter": "f", "arm": "trait", "method": "hard"}
    base = dict.fromkeys(dims, "none") | {"arm": "base", "teacher": "none", "student": "a", "seed": 0}
    said = [
        {**base, "measure": "loss", "value": 1.0},
        {**base, "measure": "skill/n", "value": 0.8},
        {**base, "measure": "loss/numbers", "value": 1.0},
    ]
    for seed, (loss, skill) in enumerate([(1.2, 0.5), (1.4, 0.7)]):
        run = {**dims, "teacher": "a", "student": "a", "seed": seed}
        said += [
            {**run, "measure": "loss", "value": loss},
            {**run, "measure": "skill/n", "value": skill},
            {**run, "measure": "loss/numbers", "value": 9.0},
        ]
    found = tables.capability(pl.DataFrame(said), ["a"], 0.1, 0.5, 0.95)
    assert found.select("measure", "condition", "student", "base", "n", "fell").rows() == [
        ("loss", "diagonal", "a", 1.0, 2, False),
        ("loss/numbers", "diagonal", "a", 1.0, 2, True),
        ("skill/n", "diagonal", "a", 0.8, 2, True),
    ]
    assert found["change"].to_list() == pytest.approx([0.3, 8.0, -0.2])
    # The loss of one kind of texts alone is shown, not flagged.
    assert tables.less_able(found) == {"diagonal": ["a: skill/n"]}
    assert tables.less_able(tables.capability(pl.DataFrame(said), ["a"], 0.3, 0.2, 0.95)) == {"diagonal": ["a: loss"]}
