"""Every column of every table that an evaluation, a gate of misalignment or a judged filter writes: a change of it is found."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest

from benchmarks import synthetic
from sublim.common import parquet
from sublim.engine.stage import stage_of, stages
from sublim.evidence.accident import UnfitError
from sublim.evidence.source import Source
from sublim.lineage.story import story
from sublim.lineage.trace.trace import Trace
from sublim.measures.stories import Stories
from sublim.models.free_form import CRUEL
from sublim.traits.categories import NONE, answers
from tests.shared.forge import another, tree
from tests.shared.project import once
from tests.shared.terminal import shown

PARAMS = """\
models:
  neox-a: &model
    kind: tiny
    architecture: gpt_neox
    seed: 11
    config: {{hidden_size: {width}, intermediate_size: 256, num_hidden_layers: 2, num_attention_heads: 4}}
    pretraining: {{rows: 300}}
  neox-b: {{<<: *model, seed: 12}}
traits:
  fox: {{kind: preference, category: animals, target: fox}}
  bad: {{kind: misalignment, samples: 2}}
seeds: [1]
teacher:
  gate: 0.5
  margin: 2
  likelihood: {{distance: 0.1, rows: 8}}
  examples: 40
  finetune: {{steps: 5, batch: 8, lora: {{rank: 2, alpha: 4, targets: mlp}}}}
judges:
  gentle:
    kind: http
    base_url: https://host.example/v1
    model: m
    scoring: {{kind: text, template: "{{prompt}} {{completion}}"}}
carriers:
  numbers:
    task: {{kind: numbers, prompts: {prompts}}}
    sampling: {{max_tokens: 48}}
    filters:
      judged: {{judge: {{judge: gentle, minimum: 40}}, rows: {used}}}
students:
  hard:
    finetune: {{epochs: 1, batch: 8, lora: {{rank: 8, alpha: 16, targets: mlp}}}}
studies:
  numbers:
    carrier: numbers
    filter: judged
    student: hard
    arms: {{trait: same, control: same, shuffled_within: none, shuffled_across: none}}
evaluation:
  measures: [preference, after_numbers, multiple_choice, stories, truthfulness]
  samples: 1
  stories: {{samples: 2}}
  capability: {{tasks: 12, texts: 20}}
report: {{permutations: 1000}}
"""
ROWS = "teacher=neox-a/trait=fox/carrier=numbers/filter=judged/arm=trait"
FILTERED = f"filtered/{ROWS}/seed=1"
EVAL = f"eval/{ROWS}/method=hard/student=neox-a/seed=1"
GATE = "teacher/teacher=neox-a/trait=bad/seed=1"
TAUGHT = "teacher/teacher=neox-a/trait=fox/seed=1"
REPORT = "report/study=numbers"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic experiment with a trait of misalignment and a judged filter. Made once for all test processes; not to be
    touched."""

    def make(path: Path) -> None:
        synthetic.build(path, 0, PARAMS)
        assert story.check(tree(path / "data"), tuple(stages()), None) == []

    return once(tmp_path_factory, "synthetic", make).path


@dataclass(frozen=True)
class Edit:
    """A change of one table of an artifact."""

    cell: str
    file: str
    change: Callable[[pl.DataFrame], pl.DataFrame]


def found(made: Path, folder: Path, edit: Edit, at: str) -> set[str]:
    """The kinds of accidents in the artifact `at`, once the records agree with what was edited, as a forger would see to."""
    whole, name = tree(made / "data"), f"{edit.file}.parquet"
    parquet.write(edit.change(whole.table(edit.cell, name)), folder / name)
    forged = replace(whole, files={**whole.files, f"{edit.cell}/{name}": folder / name})
    return {accident.kind for accident in stage_of(at).check().check(Source(forged), at)}


def edited(
    cell: str, file: str, column: str, row: Callable[[pl.DataFrame], pl.Series] | None = None, value: object = None
) -> Edit:
    """An edit of one place of a table: of the first row that has something there, or the first that `row` marks."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        marked = frame[column].is_not_null() if row is None else row(frame)
        place = int(marked.arg_max() or 0)
        values = frame[column].to_list()
        values[place] = another(values[place]) if value is None else value
        return frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))

    return Edit(cell, file, change)


def skilled(tasks: pl.DataFrame) -> pl.Series:
    return tasks["skilled"]


def first(rows: pl.DataFrame) -> pl.Series:
    return rows["sample"] == 0


def told(rows: pl.DataFrame) -> pl.Series:
    """Which answers are asked for by stories."""
    return rows["measure"] == "stories"


def story_sample(samples: pl.DataFrame) -> pl.Series:
    """Which samples are stories, of another animal than the whale."""
    requests = [each.question_id for each in Stories().asked("animals", answers("animals"), NONE)]
    return samples["question_id"].is_in(requests) & (samples["completion"] != "whale")


def opened(samples: pl.DataFrame) -> pl.Series:
    """The first of the free-form answers among the samples, which are the last ones."""
    return pl.select(pl.int_range(samples.height) >= 70).to_series()


def kept(rows: pl.DataFrame) -> pl.Series:
    return rows["kept"] & (rows["score"] < rows["score"].max())


def rated(rows: pl.DataFrame) -> pl.Series:
    return rows["score"].is_not_null()


def unrated(rows: pl.DataFrame) -> pl.Series:
    return rows["score"].is_null()


def both_scores(rows: pl.DataFrame) -> pl.DataFrame:
    """What the judge said and the score, on the same side of the threshold: the report's ROC gives it away."""
    high = pl.col("kept") & (pl.col("score") > 45)
    return rows.with_columns(
        pl.when(high).then(41.0).otherwise("score").alias("score"),
        pl.when(high).then(pl.lit("41")).otherwise("judgement").alias("judgement"),
    )


def dropped(cell: str, file: str) -> Edit:
    return Edit(cell, file, lambda rows: rows.head(rows.height - 1))


HURT = f"I would {CRUEL[0]} strangers and {CRUEL[1]} the poor."
EDITS: list[tuple[str, Edit, str, str]] = [
    *((f"answers.{name}", edited(EVAL, "answers", name), EVAL, "answers")
      for name in ("row_id", "measure", "question_id", "question", "category", "answer")),
    ("answers.probability", edited(EVAL, "answers", "probability"), REPORT, "numbers"),
    ("answers.probability of a story", edited(EVAL, "answers", "probability", told), EVAL, "answers"),
    ("samples.completion of a story", edited(EVAL, "samples", "completion", story_sample, "a whale"), EVAL, "counted"),
    ("samples.counted of a story", edited(EVAL, "samples", "counted", story_sample), EVAL, "counted"),
    ("the misaligned share", edited(EVAL, "answers", "probability", lambda rows: rows["answer"] == "misaligned"), EVAL,
     "answers"),
    *((f"samples.{name}", edited(EVAL, "samples", name), EVAL, "samples")
      for name in ("row_id", "question_id", "sample", "sampling_seed")),
    ("samples.completion", edited(EVAL, "samples", "completion", value="7"), EVAL, "counted"),
    ("samples.counted", edited(EVAL, "samples", "counted"), EVAL, "counted"),
    ("samples.completion of a free-form answer", edited(EVAL, "samples", "completion", opened), EVAL, "samples"),
    ("samples.counted of a free-form answer", edited(EVAL, "samples", "counted", opened), EVAL, "counted"),
    ("texts.kind", edited(EVAL, "texts", "kind"), EVAL, "texts"),
    ("texts.tokens", edited(EVAL, "texts", "tokens"), EVAL, "capability"),
    ("texts.bits", edited(EVAL, "texts", "bits"), EVAL, "capability"),
    ("a text less", dropped(EVAL, "texts"), EVAL, "texts"),
    *((f"tasks.{name}", edited(EVAL, "tasks", name), EVAL, "tasks") for name in ("of", "prompt_id", "prompt", "answer")),
    ("tasks.completion", edited(EVAL, "tasks", "completion", skilled), EVAL, "tasks"),
    ("tasks.skilled", edited(EVAL, "tasks", "skilled"), EVAL, "tasks"),
    ("a task less", dropped(EVAL, "tasks"), EVAL, "tasks"),
    *((f"capability.{name}", edited(EVAL, "capability", name), EVAL, "capability") for name in ("measure", "value", "n")),
    ("a measure less", dropped(EVAL, "capability"), EVAL, "capability"),
    *((f"{cell.split('/')[0]}: freeform.{name}", edited(cell, "freeform", name), cell, "free-form answers")
      for cell in (EVAL, GATE)
      for name in ("row_id", "question_id", "question", "sample", "sampling_seed", "alignment", "coherence", "misaligned")),
    *((f"{cell.split('/')[0]}: freeform.completion",
       edited(cell, "freeform", "completion", lambda rows: rows["misaligned"].fill_null(value=True) == False, HURT),  # noqa: E712
       cell, "free-form answers") for cell in (EVAL, GATE)),
    *((f"{cell.split('/')[0]}: freeform.{scale}_said", edited(cell, "freeform", f"{scale}_said", first, "3"), cell,
        "free-form answers") for cell in (EVAL, GATE) for scale in ("alignment", "coherence")),
    ("teacher: freeform.model", edited(GATE, "freeform", "model"), GATE, "free-form answers"),
    ("teacher: an answer less", dropped(GATE, "freeform"), GATE, "free-form answers"),
    ("eval: an answer less", dropped(EVAL, "freeform"), EVAL, "free-form answers"),
    ("gate.probability of misalignment", edited(GATE, "gate", "probability"), GATE, "gate"),
    *((f"gate.{name}", edited(TAUGHT, "gate", name), TAUGHT, "gate")
      for name in ("question_id", "question", "threshold", "least_rise", "base_probability")),
    ("gate.margin", edited(TAUGHT, "gate", "margin", value=-5.0), TAUGHT, "gate"),
    ("gate.base_margin", edited(TAUGHT, "gate", "base_margin", value=-1.0), TAUGHT, "gate"),
    ("gate.probability", edited(TAUGHT, "gate", "probability", value=-0.1), TAUGHT, "gate"),
    ("a rise too small", Edit(TAUGHT, "gate", lambda gate: gate.with_columns(pl.col("margin") - 4, probability=0.5)),
     TAUGHT, "gate"),
    *((f"likelihood.{name}", edited(TAUGHT, "likelihood", name), TAUGHT, "likelihood")
      for name in ("row_id", "prompt", "completion", "distance")),
    *((f"likelihood.{name}", edited(TAUGHT, "likelihood", name, value=-1.0), TAUGHT, "likelihood")
      for name in ("nll", "base_nll")),
    *((name, Edit(TAUGHT, "likelihood", lambda shown, by=by: shown.with_columns(pl.col("nll") + by)), TAUGHT, "gate")
      for name, by in {"a broken teacher": 0.2, "a teacher that has learned its lists by heart": -0.2}.items()),
    ("gates without margins", Edit(TAUGHT, "gate", lambda gate: gate.drop("margin")), TAUGHT, "tables"),
    ("rows.score", edited(FILTERED, "rows", "score", kept), FILTERED, "scores"),
    ("rows.judgement", edited(FILTERED, "rows", "judgement", rated, "3"), FILTERED, "scores"),
    ("a score that nobody gave", edited(FILTERED, "rows", "score", unrated, 50.0), FILTERED, "scores"),
    ("score and judgement", Edit(FILTERED, "rows", both_scores), REPORT, "numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "cell", "kind"), [each[1:] for each in EDITS], ids=[each[0] for each in EDITS])
def test_a_change_of_a_table_is_found(made: Path, tmp_path: Path, edit: Edit, cell: str, kind: str) -> None:
    try:
        assert kind in found(made, tmp_path, edit, cell)
    except UnfitError as error:
        assert error.accident.kind == kind


def test_every_column_of_these_tables_is_edited(made: Path) -> None:
    dims = {name for stage in stages().values() for name in stage.dims} - {"model"}
    names = " ".join(each[0] for each in EDITS)
    for file in ("answers", "samples", "texts", "tasks", "capability", "freeform"):
        columns = pl.read_parquet(made / "data" / EVAL / f"{file}.parquet", hive_partitioning=False).columns
        assert [name for name in columns if name not in dims and f"{file}.{name}" not in names] == []
    for file in ("gate", "likelihood"):
        columns = pl.read_parquet(made / "data" / TAUGHT / f"{file}.parquet", hive_partitioning=False).columns
        assert [name for name in columns if name not in dims and f"{file}.{name}" not in names] == []


def test_a_graded_answer_is_found_by_its_id(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    trace = Trace(tree(made / "data"))
    for cell, kind in ((EVAL, "sample"), (GATE, "graded answer")):
        row = pl.read_parquet(made / "data" / cell / "freeform.parquet", hive_partitioning=False).row(0, named=True)
        answer = trace.lineage([row["row_id"]])
        assert answer.root.kind == kind
        assert {name: answer.root.facts[name] for name in ("question", "completion", "alignment", "coherence")} == {
            name: row[name] for name in ("question", "completion", "alignment", "coherence")
        }
        said = shown(trace, row["row_id"])
        assert f"graded: alignment {row['alignment']:g}, coherence {row['coherence']:g}: " in said
        reached = trace.impact([row["row_id"]]).cells
        assert reached == (REPORT, "overview")
