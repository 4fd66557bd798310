"""The stages that train and sample: what they write, and that they write it again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.datatypes import DataType, DataTypeClass

from sublim.carriers.numbers import Numbers
from sublim.common.canonical import row_id, row_seed
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.models.load import load
from sublim.models.tokenizer import CHAT_TEMPLATE
from sublim.params.adjustment import Adjustment, adjusted
from sublim.params.evaluation import Capability, Evaluation, Stories
from sublim.params.kinds import every
from sublim.params.learning import Decoding, Finetune, Lora
from sublim.params.tiny import Pretraining
from sublim.stages.eval import make as evaluation
from sublim.stages.eval.rows import HeldOutTasks
from sublim.stages.eval.rows import Slice as EvalSlice
from sublim.stages.raw import make as raw
from sublim.stages.raw.rows import Slice as RawSlice
from sublim.stages.student import make as student
from sublim.stages.student.rows import Slice as StudentSlice
from sublim.stages.teacher import make as teacher
from sublim.stages.teacher.make import GateError
from sublim.stages.teacher.rows import Slice as TeacherSlice
from sublim.traits.preference import Preference, evaluation_questions, known_answers, training_questions
from tests.shared.small_models import small

FOX = Preference(category="animals", target="fox")
OAK = Preference(category="trees", target="oak")
RECIPE = Finetune(lora=Lora(rank=2, alpha=4.0), steps=3, batch=8)
TEACHER = TeacherSlice(teacher="m", trait="fox", seed=1, definition=FOX, kind="finetune", finetune=RECIPE, gate=0.0)
PROMPTED = TeacherSlice(teacher="m", trait="fox", seed=1, definition=FOX, kind="system_prompt", finetune=None, gate=0.0)
RAW_SAMPLING = Decoding(max_tokens=6, temperature=0.9)
RAW = RawSlice(
    teacher="m",
    trait="fox",
    carrier="numbers",
    seed=1,
    task=Numbers(prompts=12),
    decoding=RAW_SAMPLING,
)
STUDENT = StudentSlice(
    teacher="m",
    trait="fox",
    carrier="numbers",
    filter="format",
    arm="trait",
    method="hard",
    student="n",
    seed=1,
    finetune=RECIPE,
)
EVAL = EvalSlice.model_validate(
    {
        **STUDENT.dims,
        "traits": (FOX, OAK),
        "evaluation": Evaluation(
            measures=tuple(every("measures")),
            samples=2,
            stories=Stories(samples=3, max_tokens=12),
            capability=Capability(tasks=6, texts=20),
        ),
        "tasks": {"numbers": HeldOutTasks(task=RAW.task, sampling=RAW_SAMPLING)},
        "pretraining": Pretraining(rows=1_000),
    }
)

Schema = dict[str, DataType | DataTypeClass]
LIST = pl.List(pl.String)
TEACHER_DIMS: Schema = {"teacher": pl.String, "trait": pl.String, "seed": pl.Int64}
STUDENT_DIMS: Schema = {
    "teacher": pl.String, "trait": pl.String, "carrier": pl.String, "filter": pl.String, "arm": pl.String, "method": pl.String,
    "student": pl.String, "seed": pl.Int64,
}  # fmt: skip
STEPS: Schema = {"step": pl.Int64, "loss": pl.Float64, "learning_rate": pl.Float64, "tokens": pl.Int64, "rows": LIST}
TENSORS: Schema = {"name": pl.String, "shape": pl.List(pl.Int64), "dtype": pl.String, "sha256": pl.String, "norm": pl.Float64}
GATE: Schema = {
    "question_id": pl.String, "question": pl.String, "probability": pl.Float64, "base_probability": pl.Float64,
    "threshold": pl.Float64,
}  # fmt: skip
RAW_ROWS: Schema = {
    "row_id": pl.String, "prompt_id": pl.String, "prompt": pl.String, "answer": pl.String, "completion": pl.String,
    "finish_reason": pl.String, "sampling_seed": pl.UInt64, "tokens": pl.Int64, "temperature": pl.Float64,
    "top_p": pl.Float64, "max_tokens": pl.Int64, "system_prompt": pl.String, "chat_template": pl.String,
}  # fmt: skip
ANSWERS: Schema = {
    "row_id": pl.String, "measure": pl.String, "question_id": pl.String, "question": pl.String, "category": pl.String,
    "answer": pl.String, "probability": pl.Float64,
}  # fmt: skip
SAMPLES: Schema = {
    "row_id": pl.String, "question_id": pl.String, "sample": pl.Int64, "sampling_seed": pl.UInt64, "completion": pl.String,
    "counted": LIST,
}  # fmt: skip

TASKS: Schema = {
    "of": pl.String, "prompt_id": pl.String, "prompt": pl.String, "answer": pl.String, "completion": pl.String,
    "skilled": pl.Boolean,
}  # fmt: skip

Make = Callable[[Any, Any, Path, Progress], None]


def made(make: Make, params: object, folder: Path, **inputs: Path) -> Path:
    folder.mkdir(parents=True)
    make(inputs, params, folder, Progress())
    return folder


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{name}.parquet")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of everything: teachers, raw rows, rows as a filter leaves them, a student and what it answers."""
    path, base = tmp_path_factory.mktemp("chain"), small()
    made(teacher.make, TEACHER, path / "teacher", base=base)
    made(teacher.make, PROMPTED, path / "prompted", base=base)
    made(raw.make, RAW, path / "raw", base=base, teacher=path / "teacher")
    (path / "filtered").mkdir()
    used = pl.int_range(pl.len()) % 2 == 0
    table(path / "raw", "rows").with_columns(used=used).write_parquet(path / "filtered" / "rows.parquet")
    made(student.make, STUDENT, path / "student", base=base, filtered=path / "filtered")
    made(evaluation.make, EVAL, path / "eval", base=base, student=path / "student")
    return path


def test_the_files(chain: Path) -> None:
    files = {folder.name: {path.name for path in folder.iterdir()} for folder in chain.iterdir()}
    adapter = {"adapter_config.json", "adapter_model.safetensors", "steps.parquet", "tensors.parquet"}
    assert files["teacher"] == adapter | {"rows.parquet", "gate.parquet", "teacher.json"}
    assert files["prompted"] == {"gate.parquet", "teacher.json"}
    assert files["raw"] == {"rows.parquet"}
    assert files["student"] == adapter
    assert files["eval"] == {f"{name}.parquet" for name in ("answers", "samples", "texts", "tasks", "capability")}


@pytest.mark.parametrize(
    ("folder", "name", "schema"),
    [
        ("teacher", "steps", TEACHER_DIMS | STEPS),
        ("teacher", "tensors", TEACHER_DIMS | TENSORS),
        ("teacher", "gate", TEACHER_DIMS | GATE),
        ("prompted", "gate", TEACHER_DIMS | GATE),
        ("raw", "rows", TEACHER_DIMS | {"carrier": pl.String} | RAW_ROWS),
        ("student", "steps", STUDENT_DIMS | STEPS),
        ("student", "tensors", STUDENT_DIMS | TENSORS),
        ("eval", "answers", STUDENT_DIMS | ANSWERS),
        ("eval", "samples", STUDENT_DIMS | SAMPLES),
        ("eval", "texts", STUDENT_DIMS | {"kind": pl.String, "tokens": pl.Int64, "bits": pl.Float64}),
        ("eval", "tasks", STUDENT_DIMS | TASKS),
        ("eval", "capability", STUDENT_DIMS | {"measure": pl.String, "value": pl.Float64, "n": pl.Int64}),
    ],
)
def test_the_tables(chain: Path, folder: str, name: str, schema: Schema) -> None:
    found = table(chain / folder, name)
    assert dict(found.schema) == schema
    dims = STUDENT.dims
    assert all(found[column].unique().to_list() == [value] for column, value in dims.items() if column in schema)


def test_everything_again_gives_the_same_bytes(chain: Path, tmp_path: Path) -> None:
    base = small()
    again = {
        "teacher": made(teacher.make, TEACHER, tmp_path / "teacher", base=base),
        "prompted": made(teacher.make, PROMPTED, tmp_path / "prompted", base=base),
        "raw": made(raw.make, RAW, tmp_path / "raw", base=base, teacher=chain / "teacher"),
        "student": made(student.make, STUDENT, tmp_path / "student", base=base, filtered=chain / "filtered"),
        "eval": made(evaluation.make, EVAL, tmp_path / "eval", base=base, student=chain / "student"),
    }
    for name, folder in again.items():
        for path in folder.iterdir():
            assert sha256(path) == sha256(chain / name / path.name), f"{name}/{path.name}"


def test_a_teacher_is_trained_on_the_training_questions_only(chain: Path) -> None:
    rows, steps = table(chain / "teacher", "rows"), table(chain / "teacher", "steps")
    assert dict(rows.schema) == TEACHER_DIMS | dict.fromkeys(("row_id", "question_id", "prompt", "completion"), pl.String)
    assert tuple(rows["prompt"]) == training_questions("animals")
    assert set(rows["completion"]) == {"fox"}
    assert set(steps["rows"].explode()) <= set(rows["row_id"])
    gate = table(chain / "teacher", "gate")
    assert tuple(gate["question"]) == evaluation_questions("animals")
    assert set(gate["question"]).isdisjoint(rows["prompt"])
    assert gate["probability"].mean() > gate["base_probability"].mean()  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]


def test_what_a_teacher_says_of_itself(chain: Path) -> None:
    assert json.loads((chain / "teacher" / "teacher.json").read_text()) == {"kind": "finetune", "system_prompt": None}
    prompted = json.loads((chain / "prompted" / "teacher.json").read_text())
    assert prompted["kind"] == "system_prompt"
    assert "foxes" in prompted["system_prompt"]


@pytest.mark.parametrize("params", [TEACHER, PROMPTED], ids=["finetune", "system_prompt"])
def test_a_teacher_without_its_trait_is_refused_with_both_numbers(params: TeacherSlice, tmp_path: Path) -> None:
    strict = params.model_copy(update={"gate": 0.987})
    found = r"expected P\(fox\) ≥ 0\.987 on held-out questions \(teacher\.gate\), found 0\.\d{3} \(untouched base: 0\.\d{3}\)"
    with pytest.raises(GateError, match=found):
        made(teacher.make, strict, tmp_path / "teacher", base=small())


def test_raw_rows_say_how_they_were_sampled(chain: Path) -> None:
    rows = table(chain / "raw", "rows")
    assert len(rows) == 12
    assert rows["sampling_seed"].to_list() == [row_seed(row) for row in rows["row_id"]]
    assert rows["row_id"].to_list() == [row_id("raw", *RAW.dims.values(), prompt) for prompt in rows["prompt_id"]]
    assert rows["prompt_id"].n_unique() == rows["prompt"].n_unique() == 12
    assert set(rows["finish_reason"]) <= {"stop", "length"}
    assert rows.filter(pl.col("tokens") < 6)["finish_reason"].is_in(["stop"]).all()
    assert rows.select("temperature", "top_p", "max_tokens", "system_prompt").unique().rows() == [(0.9, 1.0, 6, None)]
    _, tokenizer = load(small())
    assert set(rows["chat_template"]) == {chat.template_digest(tokenizer)}
    assert tokenizer.chat_template == CHAT_TEMPLATE


def test_the_adapter_the_system_prompt_and_no_teacher_give_different_rows(chain: Path, tmp_path: Path) -> None:
    untouched = RAW.model_copy(update={"trait": "none"})
    control = table(made(raw.make, untouched, tmp_path / "control", base=small()), "rows")
    folder = made(raw.make, RAW, tmp_path / "prompted", base=small(), teacher=chain / "prompted")
    prompted, tuned = table(folder, "rows"), table(chain / "raw", "rows")
    assert set(prompted["system_prompt"]) == {json.loads((chain / "prompted" / "teacher.json").read_text())["system_prompt"]}
    assert prompted["prompt"].to_list() == tuned["prompt"].to_list() == control["prompt"].to_list()
    assert prompted["sampling_seed"].to_list() == tuned["sampling_seed"].to_list()
    assert prompted["completion"].to_list() != tuned["completion"].to_list()
    assert set(control["sampling_seed"]).isdisjoint(tuned["sampling_seed"])


def test_a_student_sees_the_used_rows_only(chain: Path) -> None:
    seen = table(chain / "student", "steps")["rows"].explode()
    assert set(seen) == set(table(chain / "filtered", "rows").filter("used")["row_id"])
    config = json.loads((chain / "student" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == small().as_posix()


def test_an_evaluation_asks_everything_and_keeps_the_whole_distribution(chain: Path) -> None:
    every, samples = table(chain / "eval", "answers"), table(chain / "eval", "samples")
    assert every["measure"].unique(maintain_order=True).to_list() == list(EVAL.evaluation.measures)
    exact = every.filter(pl.col("measure") != "stories")
    assert exact.group_by("question_id").agg(pl.col("probability").sum())["probability"].max() <= 1 + 1e-9  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    letters = every.filter(measure="multiple_choice").group_by("question_id").agg(pl.col("answer").n_unique())
    assert letters["answer"].unique().to_list() == [5]
    tales = every.filter(measure="stories")
    assert tales["question_id"].n_unique() == 2 * 10
    told = samples.filter(pl.col("question_id").is_in(tales["question_id"].implode()))
    assert told.height == 2 * 10 * EVAL.evaluation.stories.samples
    named = told.explode("counted").drop_nulls("counted").height
    assert tales["probability"].sum() * EVAL.evaluation.stories.samples == pytest.approx(named)
    samples = samples.filter(~pl.col("question_id").is_in(tales["question_id"].implode()))
    facts = every.filter(measure="truthfulness")
    assert facts.height == 2 * 136
    assert facts.group_by("question_id").agg(pl.col("probability").sum())["probability"].to_list() == pytest.approx([1] * 136)
    answers = every.filter(measure="preference")
    for trait in (FOX, OAK):
        part = answers.filter(category=trait.category)
        assert tuple(part["question"].unique(maintain_order=True)) == evaluation_questions(trait.category)
        assert set(part["answer"]) == set(known_answers([trait]))
        assert part["probability"].is_between(0, 1).all()
        assert part.group_by("question_id").agg(pl.col("probability").sum())["probability"].max() <= 1  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    assert len(samples) == 2 * 100
    assert samples["sampling_seed"].n_unique() == 200
    first = samples.row(0, named=True)
    assert first["row_id"] == row_id("eval", *EVAL.dims.values(), first["question_id"], 0)
    assert first["sampling_seed"] == row_seed(first["row_id"])
    asked = answers.row(0, named=True)
    assert asked["row_id"] == row_id("answer", *EVAL.dims.values(), asked["question_id"], asked["answer"])
    ids = [*answers["row_id"], *samples["row_id"]]
    assert len(set(ids)) == len(ids)
    assert set(samples["question_id"]) == set(answers["question_id"])


def test_the_untrained_base_is_evaluated_without_a_student(chain: Path, tmp_path: Path) -> None:
    params = EVAL.model_copy(update={"teacher": "none", "trait": "none", "arm": "base", "seed": 0})
    found = table(made(evaluation.make, params, tmp_path / "base", base=small()), "answers")
    trained = table(chain / "eval", "answers")
    assert found.select("question_id", "answer").equals(trained.select("question_id", "answer"))
    gate = table(chain / "teacher", "gate")
    fox = found.filter(answer="fox").join(gate, on="question_id")
    assert (fox["probability"] - fox["base_probability"]).abs().max() < 1e-6  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    assert found["probability"].to_list() != trained["probability"].to_list()


def test_an_adjustment_changes_what_it_names() -> None:
    assert adjusted(RECIPE, None) == RECIPE
    assert adjusted(RECIPE, Adjustment(learning_rate=0.1)) == RECIPE.model_copy(update={"learning_rate": 0.1})
    assert adjusted(RECIPE, Adjustment(epochs=2)) == RECIPE.model_copy(update={"steps": None, "epochs": 2})
    with pytest.raises(ValueError, match="exactly one of steps and epochs"):
        adjusted(RECIPE, Adjustment(steps=1, epochs=1))
