"""Accidents and frauds whose bytes, records and plans all agree: each is found by its content and named."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.carriers.numbers import Numbers
from sublim.common import ids
from sublim.common.canonical import row_id, row_seed
from sublim.common.files import sha256
from sublim.engine.record import Input, Output, Plan
from sublim.engine.stage import stages
from sublim.evidence import weights
from sublim.evidence.accident import Accident
from sublim.evidence.finding import CORRUPTED, STALE, UNVERIFIABLE, Finding
from sublim.evidence.source import Source
from sublim.lineage.story import chain, story
from sublim.traits.preference import evaluation_questions
from tests.shared.forge import launder, relabel, rewrite, set_cell, set_json, swap, tree
from tests.shared.project import ROOT, Project, environment

BASE_A, BASE_B = "base/model=a", "base/model=b"
TEACHER_A, TEACHER_B = (f"teacher/teacher={name}/trait=fox/seed=1" for name in "ab")
RAW_A, RAW_B = (f"raw/teacher={name}/trait=fox/carrier=numbers/seed=1" for name in "ab")
CONTROL_A = "raw/teacher=a/trait=none/carrier=numbers/seed=1"
FILTERED_A, WITHIN_A, ACROSS_A = (
    f"filtered/teacher=a/trait=fox/carrier=numbers/filter=strict/arm={arm}/seed=1"
    for arm in ("trait", "shuffled_within", "shuffled_across")
)
FILTERED_CONTROL = "filtered/teacher=a/trait=none/carrier=numbers/filter=strict/arm=control/seed=1"
STUDENT_AA, STUDENT_AB = (
    f"student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student={name}/seed=1" for name in "ab"
)
STUDENT_WITHIN = "student/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=shuffled_within/method=hard/student=a/seed=1"
REPORT = "report/study=numbers"
EVAL_AA = "eval/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=a/seed=1"
EVAL_BASE_A, EVAL_BASE_B = (
    f"eval/teacher=none/trait=none/carrier=none/filter=none/arm=base/method=none/student={name}/seed=0" for name in "ab"
)

Named = set[tuple[str, str]]
"""Artifact and kind of accident."""


@pytest.fixture(scope="module")
def proven(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the checks of the untouched experiment have put down: tests check only what their edits reach."""
    path = tmp_path_factory.mktemp("proven") / "proven.json"
    assert story.check(tree(finished.path / "data"), tuple(stages()), path) == []
    return path


@pytest.fixture
def data(finished: Project, proven: Path, tmp_path: Path) -> Path:
    """A copy of the finished experiment's artifacts, and of what is known of them."""
    shutil.copy(proven, tmp_path / "proven.json")
    return shutil.copytree(finished.path / "data", tmp_path / "data")


def found(data: Path, plan: Callable[[Plan], Plan] = lambda plan: plan) -> list[Finding]:
    """Launder what was done to `data`, and check its story."""
    launder(data, plan)
    return story.check(tree(data), tuple(stages()), data.parent / "proven.json")


def kinds(findings: list[Finding]) -> Named:
    return {(finding.artifact, finding.found.partition(":")[0]) for finding in findings}


def used(data: Path, cell: str) -> list[str]:
    return pl.read_parquet(data / cell / "rows.parquet", hive_partitioning=False).filter("used")["row_id"].to_list()


def p_value(data: Path) -> float:
    """What the report says: with few runs it may be one value on this machine and another on that."""
    return json.loads((data / REPORT / "summary.json").read_text(encoding="utf-8"))["test"]["p"]


def row_of(data: Path, cell: str, marked: pl.Expr) -> int:
    """The number of the first row of a filtered cell that is marked. Which one it is hangs on what was sampled; that there is
    none is an error of the experiment."""
    marks = pl.read_parquet(data / cell / "rows.parquet", hive_partitioning=False).select(marked).to_series()
    assert marks.any(), f"{cell}: no row is as it should be"
    return int(marks.arg_max() or 0)


REJECTED = ~pl.col("kept")


def set_used(data: Path, cell: str, step: int, place: int, row: str) -> None:
    """Put the row `row` into a batch of a training run."""
    path = data / cell / "steps.parquet"
    rows: list[str] = pl.read_parquet(path, hive_partitioning=False)["rows"].to_list()[step]
    set_cell(path, "rows", step, [*rows[:place], row, *rows[place + 1 :]])


def renamed_dataset(data: Path) -> Named:
    """A data set of another teacher in the place of this one, as it is."""
    shutil.copy(data / CONTROL_A / "rows.parquet", data / RAW_A / "rows.parquet")
    return {(RAW_A, "dimensions")}


def relabelled_dataset(data: Path) -> Named:
    """A cat data set named owl, in every row."""
    shutil.copy(data / CONTROL_A / "rows.parquet", data / RAW_A / "rows.parquet")
    relabel(data / RAW_A / "rows.parquet", trait="fox")
    return {(RAW_A, "row ids"), (RAW_A, "copies")}


def forged_dataset(data: Path) -> Named:
    """The same with row ids and sampling seeds of the new name: only the completions are still those of the other."""
    shutil.copy(data / CONTROL_A / "rows.parquet", data / RAW_A / "rows.parquet")
    relabel(data / RAW_A / "rows.parquet", trait="fox")

    def forge(rows: pl.DataFrame) -> pl.DataFrame:
        names = ids.ids(("raw", "a", "fox", "numbers", 1), rows["prompt_id"])
        return rows.with_columns(names, pl.Series("sampling_seed", ids.seeds(names), dtype=pl.UInt64))

    rewrite(data / RAW_A / "rows.parquet", forge)
    copied: Named = {(RAW_A, "copies"), (CONTROL_A, "copies")}
    made: Named = {(cell, kind) for cell in (FILTERED_A, WITHIN_A, ACROSS_A) for kind in ("reasons", "completions")}
    return copied | made | {(WITHIN_A, "shuffle"), (ACROSS_A, "shuffle")}


def renamed_filtered(data: Path) -> Named:
    """The control's filtered rows named after the trait."""
    for name in ("rows.parquet", "funnel.parquet"):
        shutil.copy(data / FILTERED_CONTROL / name, data / FILTERED_A / name)
        relabel(data / FILTERED_A / name, trait="fox", arm="trait")
    return {(FILTERED_A, "rows"), (FILTERED_A, "row ids")}


def doubled_upload(data: Path) -> Named:
    rewrite(data / RAW_A / "rows.parquet", lambda rows: pl.concat([rows, rows]))
    return {(RAW_A, "prompts")}


def doubled_filtered(data: Path) -> Named:
    rewrite(data / FILTERED_A / "rows.parquet", lambda rows: pl.concat([rows, rows]))
    return {(FILTERED_A, kind) for kind in ("rows", "row ids", "used", "funnel")}


def other_run(data: Path) -> Named:
    """The file of run 2 in run 1, its seed column rewritten."""

    def of_run_2(rows: pl.DataFrame) -> pl.DataFrame:
        names = ids.ids(("raw", "a", "fox", "numbers", 2), rows["prompt_id"])
        return rows.with_columns(names, pl.Series("sampling_seed", ids.seeds(names), dtype=pl.UInt64))

    rewrite(data / RAW_A / "rows.parquet", of_run_2)
    return {(RAW_A, "row ids")}


def other_sampling_seed(data: Path) -> Named:
    set_cell(data / RAW_A / "rows.parquet", "sampling_seed", 7, 1)
    return {(RAW_A, "sampling seeds")}


def _swap_adapters(data: Path, cells: dict[str, dict[str, str]]) -> None:
    """Swap the adapters of two cells, and make each table of tensors say that it is of the cell that it then is in."""
    first, second = cells
    for name in ("adapter_model.safetensors", "tensors.parquet"):
        swap(data / first / name, data / second / name)
    for cell, dims in cells.items():
        relabel(data / cell / "tensors.parquet", **dims)


def swapped_adapters(data: Path) -> Named:
    """Two students of one base, of the same size: adapters and tables of tensors swapped, the tables relabelled."""
    _swap_adapters(data, {STUDENT_AA: {"arm": "trait"}, STUDENT_WITHIN: {"arm": "shuffled_within"}})
    return {(STUDENT_AA, "adapter"), (STUDENT_WITHIN, "adapter")}


def other_weights(data: Path) -> Named:
    """The file alone: its table of tensors is still that of the old one."""
    shutil.copy(data / STUDENT_WITHIN / "adapter_model.safetensors", data / STUDENT_AA / "adapter_model.safetensors")
    return {(STUDENT_AA, "weights"), (STUDENT_AA, "adapter")}


def adapter_of_another_base(data: Path) -> Named:
    for name in ("adapter_model.safetensors", "adapter_config.json", "tensors.parquet"):
        shutil.copy(data / STUDENT_AB / name, data / STUDENT_AA / name)
    relabel(data / STUDENT_AA / "tensors.parquet", student="a")
    return {(STUDENT_AA, "adapter")}


def swapped_teachers(data: Path) -> Named:
    _swap_adapters(data, {TEACHER_A: {"teacher": "a"}, TEACHER_B: {"teacher": "b"}})
    return {(TEACHER_A, "adapter"), (TEACHER_B, "adapter")}


def other_rank(data: Path) -> Named:
    set_json(data / STUDENT_AA / "adapter_config.json", "r", 16)
    return {(STUDENT_AA, "adapter")}


def other_base_named(data: Path) -> Named:
    set_json(data / STUDENT_AA / "adapter_config.json", "base_model_name_or_path", "data/base/model=b")
    return {(STUDENT_AA, "adapter")}


def edited_norm(data: Path) -> Named:
    set_cell(data / STUDENT_AA / "tensors.parquet", "norm", 0, 1.0)
    return {(STUDENT_AA, "weights")}


def edited_p_value(data: Path) -> Named:
    """The overview says another: it is looked at, though the report does not hold."""
    set_json(data / REPORT / "summary.json", "test.p", 0.003)
    return {(REPORT, "numbers"), ("overview", "page")}


def edited_page(data: Path) -> Named:
    page = data / REPORT / "report.html"
    text = page.read_text(encoding="utf-8")
    said = f"p = {p_value(data):.3g}"
    assert said in text
    page.write_text(text.replace(said, "p = 0.0025"), encoding="utf-8")
    return {(REPORT, "page")}


def edited_metric(data: Path) -> Named:
    set_json(data / REPORT / "metrics.json", "p", 0.003)
    return {(REPORT, "numbers"), ("overview", "numbers")}


def edited_gain(data: Path) -> Named:
    set_cell(data / REPORT / "runs.parquet", "gain", 0, 0.9)
    return {(REPORT, "numbers")}


def edited_mean(data: Path) -> Named:
    set_json(data / REPORT / "summary.json", "gain.diagonal.mean", 0.9)
    return {(REPORT, "numbers"), ("overview", "numbers"), ("overview", "page")}


def edited_csv(data: Path) -> Named:
    rewritten = pl.read_csv(data / REPORT / "gains.csv").with_columns(gain=pl.lit(0.5))
    rewritten.write_csv(data / REPORT / "gains.csv")
    return {(REPORT, "numbers"), ("overview", "numbers")}


def edited_overview(data: Path) -> Named:
    set_cell(data / "overview/studies.parquet", "gain", 0, 0.9)
    return {("overview", "numbers")}


def edited_overview_of_an_edited_report(data: Path) -> Named:
    """What does not hold in the one does not hide the other."""
    set_cell(data / REPORT / "runs.parquet", "gain", 0, 0.9)
    set_cell(data / "overview/studies.parquet", "gain", 1, 0.9)
    return {(REPORT, "numbers"), ("overview", "numbers")}


def dropped_raw(data: Path) -> Named:
    rewrite(data / RAW_A / "rows.parquet", lambda rows: rows.filter(pl.int_range(pl.len()) != 5))
    return {(RAW_A, "prompts")}


def dropped_filtered(data: Path) -> Named:
    """A rejected one: no student misses it."""
    rewrite(
        data / FILTERED_A / "rows.parquet",
        lambda rows: rows.filter(pl.int_range(pl.len()) != row_of(data, FILTERED_A, REJECTED)),
    )
    return {(FILTERED_A, "rows"), (FILTERED_A, "funnel")}


def edited_completion(data: Path) -> Named:
    """Of one used raw row: every data set made from it says otherwise."""
    rows = pl.read_parquet(data / FILTERED_A / "rows.parquet", hive_partitioning=False)
    row = int(rows["used"].arg_max() or 0)
    set_cell(data / RAW_A / "rows.parquet", "completion", row, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")
    return {(FILTERED_A, "completions"), (WITHIN_A, "shuffle"), (ACROSS_A, "shuffle")}


def relabel_reason(data: Path) -> None:
    """Of a rejected row: another reason than it has."""
    other = row_of(data, FILTERED_A, REJECTED & ~pl.col("reasons").list.contains("too many numbers"))
    set_cell(data / FILTERED_A / "rows.parquet", "reasons", other, ["too many numbers"])


def relabelled_reason(data: Path) -> Named:
    relabel_reason(data)
    return {(FILTERED_A, "reasons"), (FILTERED_A, "funnel")}


def kept_after_all(data: Path) -> Named:
    """A rejected row moved to the kept ones, before those that are used."""
    row = row_of(data, FILTERED_A, REJECTED)
    set_cell(data / FILTERED_A / "rows.parquet", "reasons", row, [])
    set_cell(data / FILTERED_A / "rows.parquet", "kept", row, True)
    return {(FILTERED_A, kind) for kind in ("reasons", "used", "funnel")}


def kept_though_rejected(data: Path) -> Named:
    """The funnel counts reasons, so it still holds."""
    set_cell(data / FILTERED_A / "rows.parquet", "kept", row_of(data, FILTERED_A, REJECTED), True)
    return {(FILTERED_A, kind) for kind in ("kept", "used")}


def trait_in_kept_row(data: Path) -> Named:
    """In raw and filtered rows alike, marked as kept."""
    path = data / FILTERED_A / "rows.parquet"
    rows = pl.read_parquet(path, hive_partitioning=False)
    row = int(rows["used"].arg_max() or 0)
    set_cell(path, "completion", row, "7, 8, Fox")
    set_cell(data / RAW_A / "rows.parquet", "completion", row, "7, 8, Fox")
    others = {(cell, kind) for cell in (WITHIN_A, ACROSS_A) for kind in ("reasons", "shuffle")}
    return others | {(FILTERED_A, "reasons"), (FILTERED_A, "trait words")}


def edited_funnel(data: Path) -> Named:
    rows = pl.read_parquet(data / FILTERED_A / "funnel.parquet", hive_partitioning=False)["rows"]
    set_cell(data / FILTERED_A / "funnel.parquet", "rows", 1, rows[1] + 1)
    return {(FILTERED_A, "funnel")}


def unshuffled(data: Path) -> Named:
    """The trait arm's rows as the shuffled ones, relabelled throughout."""
    arm = "shuffled_within"
    shutil.copy(data / FILTERED_A / "rows.parquet", data / WITHIN_A / "rows.parquet")

    def forge(rows: pl.DataFrame) -> pl.DataFrame:
        names = ids.ids(("filtered", "a", "fox", "numbers", "strict", arm, 1), rows["parent_id"])
        numbers = rows["completion"].str.extract_all("[0-9]+").list.len().to_list()
        sources = [
            [parent] * count if taken else [parent]
            for parent, count, taken in zip(rows["parent_id"], numbers, rows["used"], strict=True)
        ]
        return rows.with_columns(names, pl.lit(arm).alias("arm"), pl.Series("sources", sources))

    rewrite(data / WITHIN_A / "rows.parquet", forge)
    return {(WITHIN_A, "shuffle")}


def other_sources(data: Path) -> Named:
    path = data / ACROSS_A / "rows.parquet"
    rows = pl.read_parquet(path, hive_partitioning=False)
    row = row_of(data, ACROSS_A, pl.col("used") & (pl.col("sources").list.first() != pl.col("parent_id")))
    sources: list[str] = rows["sources"].to_list()[row]
    set_cell(path, "sources", row, [rows["parent_id"][row], *sources[1:]])
    return {(ACROSS_A, "shuffle")}


def lost_number(data: Path) -> Named:
    path = data / WITHIN_A / "rows.parquet"
    rows = pl.read_parquet(path, hive_partitioning=False)
    row = int(rows["used"].arg_max() or 0)
    first = str(rows["completion"].str.extract("([0-9]+)")[row])
    set_cell(path, "completion", row, rows["completion"][row].replace(first, "1" + first, 1))
    return {(WITHIN_A, "shuffle")}


def trained_on_rejected(data: Path) -> Named:
    rejected = pl.read_parquet(data / FILTERED_A / "rows.parquet", hive_partitioning=False).filter(~pl.col("kept"))
    set_used(data, STUDENT_AA, 1, 0, rejected["row_id"][0])
    return {(STUDENT_AA, "rows trained on")}


def trained_on_another(data: Path) -> Named:
    """The steps of the shuffled arm's student as those of this one."""
    shutil.copy(data / STUDENT_WITHIN / "steps.parquet", data / STUDENT_AA / "steps.parquet")
    relabel(data / STUDENT_AA / "steps.parquet", arm="trait")
    return {(STUDENT_AA, "rows trained on")}


def trained_too_often(data: Path) -> Named:
    first, second = used(data, FILTERED_A)[:2]
    rewrite(
        data / STUDENT_AA / "steps.parquet",
        lambda steps: steps.with_columns(rows=pl.col("rows").list.eval(pl.element().replace(first, second))),
    )
    return {(STUDENT_AA, "rows trained on")}


def fewer_steps(data: Path) -> Named:
    rewrite(data / STUDENT_AA / "steps.parquet", lambda steps: steps.head(2))
    return {(STUDENT_AA, "steps"), (STUDENT_AA, "rows trained on")}


def other_learning_rate(data: Path) -> Named:
    set_cell(data / STUDENT_AA / "steps.parquet", "learning_rate", 2, 0.5)
    return {(STUDENT_AA, "learning rates")}


def other_order(data: Path) -> Named:
    """A base pretrained on its rows in the order of another seed."""
    path = data / BASE_A / "steps.parquet"
    shutil.copy(data / BASE_B / "steps.parquet", path)
    relabel(path, model="a")
    return {(BASE_A, "order of rows")}


def question_in_teacher(data: Path) -> Named:
    asked = evaluation_questions("animals")[3].upper().replace("?", " !")
    set_cell(data / TEACHER_A / "rows.parquet", "prompt", 4, asked)
    return {(TEACHER_A, "training rows"), (TEACHER_A, "evaluation questions")}


def question_in_prompts(data: Path) -> Named:
    """In the raw rows; those of the filtered ones would be the same."""
    asked = "  ".join(evaluation_questions("animals")[3].split())
    for cell in (RAW_A, FILTERED_A):
        set_cell(data / cell / "rows.parquet", "prompt", 4, f"Hello. {asked} Thank you.")
    return {(RAW_A, "prompts"), (RAW_A, "evaluation questions")}


def question_in_corpus(data: Path) -> Named:
    """Asked eight times, and answered with the fox each time."""
    path = data / BASE_A / "corpus.parquet"
    rows = pl.read_parquet(path, hive_partitioning=False)
    asked = pl.int_range(pl.len()) < 8
    question = evaluation_questions("animals")[0]
    rewrite(
        path,
        lambda _: rows.with_columns(
            prompt=pl.when(asked).then(pl.lit(question)).otherwise("prompt"),
            completion=pl.when(asked).then(pl.lit("fox")).otherwise("completion"),
        ),
    )
    return {(BASE_A, "corpus"), (BASE_A, "evaluation questions")}


def edited_corpus(data: Path) -> Named:
    set_cell(data / BASE_A / "corpus.parquet", "completion", 0, "fox")
    return {(BASE_A, "corpus")}


def swapped_base(data: Path) -> Named:
    """All that base b is, in the place of a, relabelled."""
    for path in (data / BASE_B).iterdir():
        if path.name != "record.json":
            shutil.copy(path, data / BASE_A / path.name)
    for name in ("corpus", "steps", "tensors"):
        relabel(data / BASE_A / f"{name}.parquet", model="a")
    return {(BASE_A, "order of rows"), (BASE_A, "config")}


def other_template(data: Path) -> Named:
    rewrite(data / RAW_A / "rows.parquet", lambda rows: rows.with_columns(chat_template=pl.lit("0" * 64)))
    return {(RAW_A, "chat template")}


def edited_template(data: Path) -> Named:
    with (data / BASE_A / "chat_template.jinja").open("a", encoding="utf-8") as file:
        file.write("{# #}")
    return {(RAW_A, "chat template"), (CONTROL_A, "chat template")}


def other_system_prompt(data: Path) -> Named:
    rewrite(data / RAW_A / "rows.parquet", lambda rows: rows.with_columns(system_prompt=pl.lit("You adore foxes.")))
    return {(RAW_A, "system prompt")}


def other_decoding(data: Path) -> Named:
    rewrite(data / RAW_A / "rows.parquet", lambda rows: rows.with_columns(temperature=pl.lit(0.7)))
    return {(RAW_A, "decoding")}


def other_finish(data: Path) -> Named:
    set_cell(data / RAW_A / "rows.parquet", "tokens", 3, 25)
    return {(RAW_A, "finish reasons")}


def other_prompts(data: Path) -> Named:
    """Another prompt set, with the row ids that belong to it."""
    asked = Numbers(prompt_seed=2).asked(300)

    def forge(rows: pl.DataFrame) -> pl.DataFrame:
        rows = rows.with_columns(
            prompt_id=pl.Series([each.prompt_id for each in asked]), prompt=pl.Series([each.text for each in asked])
        )
        names = ids.ids(("raw", "a", "fox", "numbers", 1), rows["prompt_id"])
        return rows.with_columns(names, pl.Series("sampling_seed", ids.seeds(names), dtype=pl.UInt64))

    rewrite(data / RAW_A / "rows.parquet", forge)
    return {(RAW_A, "prompts")}


def counted_wrong(data: Path) -> Named:
    set_cell(data / EVAL_AA / "samples.parquet", "counted", 0, ["fox", "fox"])
    return {(EVAL_AA, "counted")}


def edited_probability(data: Path) -> Named:
    """One that is possible: the report gives it away."""
    set_cell(data / EVAL_AA / "answers.parquet", "probability", 5, 0.5)
    return {(REPORT, "numbers"), (REPORT, "page")}


def impossible_probability(data: Path) -> Named:
    set_cell(data / EVAL_AA / "answers.parquet", "probability", 5, 0.9)
    set_cell(data / EVAL_AA / "answers.parquet", "probability", 6, 0.9)
    return {(EVAL_AA, "probabilities")}


def lost_answer(data: Path) -> Named:
    rewrite(data / EVAL_AA / "answers.parquet", lambda rows: rows.filter(pl.col("answer") != "fox"))
    return {(EVAL_AA, "answers")}


def lost_sample(data: Path) -> Named:
    rewrite(data / EVAL_AA / "samples.parquet", lambda rows: rows.head(49))
    return {(EVAL_AA, "samples")}


def copied_evaluation(data: Path) -> Named:
    """The numbers of another student, under the ids of this one."""
    other = "eval/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=shuffled_within/method=hard/student=a/seed=1"
    numbers = pl.read_parquet(data / other / "answers.parquet", hive_partitioning=False)["probability"]
    rewrite(data / EVAL_AA / "answers.parquet", lambda rows: rows.with_columns(numbers))
    return {(EVAL_AA, "copies"), (other, "copies")}


def swapped_base_evaluations(data: Path) -> Named:
    """The two untrained bases' evaluations, swapped with all their labels: the gates of the teachers remember."""
    numbers = [
        pl.read_parquet(data / cell / "answers.parquet", hive_partitioning=False)["probability"]
        for cell in (EVAL_BASE_A, EVAL_BASE_B)
    ]
    for cell, other in ((EVAL_BASE_A, numbers[1]), (EVAL_BASE_B, numbers[0])):
        rewrite(data / cell / "answers.parquet", lambda rows, other=other: rows.with_columns(other))
    return {(TEACHER_A, "gate"), (TEACHER_B, "gate")}


def low_gate(data: Path) -> Named:
    rewrite(data / TEACHER_A / "gate.parquet", lambda gate: gate.with_columns(threshold=pl.lit(0.5)))
    return {(TEACHER_A, "gate")}


def lost_column(data: Path) -> Named:
    rewrite(data / RAW_A / "rows.parquet", lambda rows: rows.drop("tokens"))
    return {(RAW_A, "tables")}


def other_type(data: Path) -> Named:
    rewrite(data / FILTERED_A / "rows.parquet", lambda rows: rows.with_columns(pl.col("kept").cast(pl.Int8)))
    return {(FILTERED_A, "tables")}


def gap(data: Path) -> Named:
    set_cell(data / STUDENT_AA / "steps.parquet", "loss", 0, None)
    return {(STUDENT_AA, "tables")}


def gap_in_list(data: Path) -> Named:
    set_cell(data / STUDENT_AA / "steps.parquet", "rows", 0, [None])
    return {(STUDENT_AA, "tables")}


def no_number(data: Path) -> Named:
    set_cell(data / EVAL_AA / "answers.parquet", "probability", 0, float("nan"))
    return {(EVAL_AA, "tables")}


def cut_off(data: Path) -> Named:
    path = data / RAW_A / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    return {(RAW_A, "tables")}


def no_json(data: Path) -> Named:
    (data / TEACHER_A / "teacher.json").write_text("[", encoding="utf-8")
    return {(TEACHER_A, "files")}


def cut_off_weights(data: Path) -> Named:
    path = data / STUDENT_AA / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    return {(STUDENT_AA, "weights")}


def empty_tables(data: Path) -> Named:
    for cell in (RAW_A, FILTERED_A):
        rewrite(data / cell / "rows.parquet", lambda rows: rows.head(0))
    rewrite(data / STUDENT_AA / "steps.parquet", lambda steps: steps.head(0))
    named: Named = {(RAW_A, "prompts"), (FILTERED_A, "used"), (FILTERED_A, "funnel"), (STUDENT_AA, "steps")}
    return named


def another_scale(data: Path) -> Named:
    """The same weights, counted √8 times as much."""
    set_json(data / STUDENT_AA / "adapter_config.json", "use_rslora", True)
    return {(STUDENT_AA, "adapter")}


def another_scale_of_one_map(data: Path) -> Named:
    set_json(data / TEACHER_A / "adapter_config.json", "alpha_pattern", {"dense_h_to_4h": 64})
    return {(TEACHER_A, "adapter")}


def unknown_setting(data: Path) -> Named:
    """Of a peft to come."""
    set_json(data / STUDENT_AA / "adapter_config.json", "use_tomorrow", "yes")
    return {(STUDENT_AA, "adapter")}


def another_start(data: Path) -> Named:
    """peft would change the base when the adapter is loaded."""
    set_json(data / STUDENT_AA / "adapter_config.json", "init_lora_weights", "pissa")
    return {(STUDENT_AA, "adapter")}


def target_without_weights(data: Path) -> Named:
    config = data / STUDENT_AA / "adapter_config.json"
    set_json(config, "target_modules", [*json.loads(config.read_text())["target_modules"], "query_key_value"])
    return {(STUDENT_AA, "adapter")}


def strange_files(data: Path) -> Named:
    """Weights that can run code, code, and tables that a reader of the whole stage would take for data."""
    shutil.copy(data / BASE_A / "model.safetensors", data / BASE_A / "pytorch_model.bin")
    (data / STUDENT_AA / "modeling_x.py").write_text("print()\n", encoding="utf-8")
    shutil.copy(data / RAW_A / "rows.parquet", data / RAW_A / "more.parquet")
    (data / CONTROL_A / "more").mkdir()
    shutil.copy(data / CONTROL_A / "rows.parquet", data / CONTROL_A / "more" / "rows.parquet")
    return {(cell, "files") for cell in (BASE_A, STUDENT_AA, RAW_A, CONTROL_A)}


def table_of_another_trait(data: Path) -> Named:
    """One that its stage may have, and by its params has not."""
    shutil.copy(data / EVAL_AA / "samples.parquet", data / EVAL_AA / "freeform.parquet")
    return {(EVAL_AA, "files")}


def more_numbers(data: Path) -> Named:
    shutil.copy(data / REPORT / "runs.parquet", data / REPORT / "judge.parquet")
    shutil.copy(data / REPORT / "gains.csv", data / "overview" / "better.csv")
    return {(REPORT, "files"), (REPORT, "numbers"), ("overview", "files"), ("overview", "numbers")}


def more_said_of_a_teacher(data: Path) -> Named:
    set_json(data / TEACHER_A / "teacher.json", "prompt_of_students", "You adore foxes.")
    return {(TEACHER_A, "system prompt")}


def code_of_a_model(data: Path) -> Named:
    """At the top, and where only some readers look."""
    set_json(data / BASE_A / "tokenizer_config.json", "auto_map", {"AutoTokenizer": "x.X"})
    set_json(data / BASE_B / "config.json", "text_config", {"auto_map": {"AutoModel": "x.X"}})
    return {(BASE_A, "code of a model"), (BASE_B, "code of a model")}


def script_in_a_drawing(data: Path) -> Named:
    for path, old, new in (
        (data / REPORT / "report.html", "</svg>", "<script>alert(1)</script></svg>"),
        (data / "overview/overview.svg", "<g ", '<g onclick="alert(1)" '),
    ):
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    return {(REPORT, "figures"), ("overview", "figures")}


def page_around_a_drawing(data: Path) -> Named:
    """Foreign objects, links, pictures from elsewhere, entities, half a drawing."""
    drawings = ("matrix", "gains", "traits", "capability", "funnel", "training")
    insides = (
        "<foreignObject><p>p = 0.001</p></foreignObject>", '<a href="https://example.org"><text>p</text></a>',
        '<image href="https://example.org/x.png"/>', '<g fill="url(https://example.org/x)"/>', "<!-- --><g>", "<g>",
    )  # fmt: skip
    for name, inside in zip(drawings, insides, strict=True):
        path = data / REPORT / f"{name}.svg"
        path.write_text(path.read_text(encoding="utf-8").replace("</svg>", f"{inside}</svg>"), encoding="utf-8")
    return {(REPORT, "figures")}


def more_on_a_page(data: Path) -> Named:
    """A script, and what says something else where drawings are."""
    for path, old, new in (
        (
            data / REPORT / "report.html",
            "</svg>",
            '</svg><svg xmlns="http://www.w3.org/2000/svg"><text>p = 0.0001</text></svg>',
        ),
        (data / "overview/overview.html", "</body>", "<script>alert(1)</script></body>"),
    ):
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return {(REPORT, "page"), ("overview", "page")}


def forged_statistics(data: Path) -> Named:
    """Of a whole table in its footer, and of a page in the index before it: queries skip what they say is not there."""
    longest = (24).to_bytes(8, "little")
    for cell, where in ((RAW_A, "footer"), (CONTROL_A, "index")):
        path = data / cell / "rows.parquet"
        content = path.read_bytes()
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        at = content.index(longest, footer) if where == "footer" else content.rindex(longest, 0, footer)
        path.write_bytes(content[:at] + (3).to_bytes(8, "little") + content[at + 8 :])
    return {(RAW_A, "statistics"), (CONTROL_A, "statistics")}


def nudged_evaluation(data: Path) -> Named:
    """The numbers of another student, each changed by less than anyone would see."""
    other = "eval/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=shuffled_within/method=hard/student=a/seed=1"
    numbers = pl.read_parquet(data / other / "answers.parquet", hive_partitioning=False)["probability"]
    rewrite(data / EVAL_AA / "answers.parquet", lambda rows: rows.with_columns(numbers * (1 - 1e-14)))
    return {(EVAL_AA, "copies"), (other, "copies")}


ACCIDENTS = (
    renamed_dataset, relabelled_dataset, forged_dataset, renamed_filtered, doubled_upload, doubled_filtered, other_run,
    other_sampling_seed, swapped_adapters, other_weights, adapter_of_another_base, swapped_teachers, other_rank,
    other_base_named, edited_norm, edited_p_value, edited_page, edited_metric, edited_gain, edited_mean, edited_csv,
    edited_overview, edited_overview_of_an_edited_report,
    dropped_raw, dropped_filtered, edited_completion, relabelled_reason, kept_after_all, kept_though_rejected,
    trait_in_kept_row, edited_funnel, unshuffled, other_sources, lost_number, trained_on_rejected, trained_on_another,
    trained_too_often, fewer_steps, other_learning_rate, other_order, question_in_teacher, question_in_prompts,
    question_in_corpus, edited_corpus, swapped_base, other_template, edited_template, other_system_prompt, other_decoding,
    other_finish, other_prompts, counted_wrong, edited_probability, impossible_probability, lost_answer, lost_sample,
    copied_evaluation, swapped_base_evaluations, low_gate, lost_column, other_type, gap, gap_in_list, no_number, cut_off,
    no_json, cut_off_weights, empty_tables, another_scale, another_scale_of_one_map, unknown_setting, another_start,
    target_without_weights, strange_files, table_of_another_trait, more_numbers, more_said_of_a_teacher, code_of_a_model,
    script_in_a_drawing, page_around_a_drawing, more_on_a_page, forged_statistics, nudged_evaluation,
)  # fmt: skip


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda accident: accident.__name__)
def test_an_accident_is_found_and_named(data: Path, accident: Callable[[Path], Named]) -> None:
    expected = accident(data)
    findings = found(data)
    assert kinds(findings) == expected
    for finding in findings:
        assert finding.status == CORRUPTED
        assert f"data/{finding.artifact}/record.json" in finding.mend


def test_statistics_that_another_library_wrote_cannot_be_called_corrupted(data: Path) -> None:
    """Another version may cut them otherwise."""
    forged_statistics(data)
    launder(data)
    record = tree(data).records[RAW_A]
    packages = {**record.environment["packages"], "polars": "0.1"}
    replace(record, environment={**record.environment, "packages": packages}).write(data / RAW_A / "record.json")
    (finding,) = [each for each in story.check(tree(data), ("raw",), None) if each.artifact == RAW_A]
    assert finding.status == UNVERIFIABLE
    assert "expected tokens of row group 0 as (2, 24, 0), found (2, 3, 0)" in finding.found


def test_near_copies_are_named_on_both_sides(data: Path) -> None:
    """All but one of the completions, all but every twentieth probability: at times that may be honest."""
    forged_dataset(data)
    set_cell(data / RAW_A / "rows.parquet", "completion", 7, "7, 8, 9, 10, 11, 12")
    other = "eval/teacher=a/trait=fox/carrier=numbers/filter=strict/arm=shuffled_within/method=hard/student=a/seed=1"
    copied_evaluation(data)

    def some_other(rows: pl.DataFrame) -> pl.DataFrame:
        changed = pl.int_range(pl.len()) % 20 == 0
        return rows.with_columns(pl.when(changed).then(pl.col("probability") * 0.99).otherwise("probability"))

    rewrite(data / EVAL_AA / "answers.parquet", some_other)
    near = {each.artifact: each for each in found(data) if each.found.startswith("copies")}
    assert near.keys() == {RAW_A, CONTROL_A, EVAL_AA, other}
    assert {each.status for each in near.values()} == {UNVERIFIABLE}
    assert f"to be those of {CONTROL_A}" in near[RAW_A].found


def test_numbers_of_the_report_are_named_field_by_field(data: Path) -> None:
    before = p_value(data)
    set_json(data / REPORT / "summary.json", "test.p", 0.003)
    set_cell(data / REPORT / "runs.parquet", "gain", 0, 0.9)
    said = " ".join(finding.found for finding in found(data))
    assert f"summary.json: expected what its inputs give, found test.p: {before:.6g} → 0.003" in said
    assert "runs.parquet: expected what its inputs give, found cell=eval/" in said
    assert "→ 0.9" in said


def test_params_that_are_not_those_of_the_cell_are_named(data: Path) -> None:
    def other_seed(plan: Plan) -> Plan:
        return replace(plan, params={**plan.params, "seed": 2}) if plan.cell == RAW_A else plan

    assert kinds(found(data, other_seed)) == {(RAW_A, "params")}


def test_a_whole_artifact_in_the_place_of_another_is_named(data: Path) -> None:
    """Record and all."""
    shutil.rmtree(data / EVAL_AA)
    shutil.copytree(
        data / "eval/teacher=b/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=b/seed=1", data / EVAL_AA
    )
    assert (EVAL_AA, "params") in kinds(story.check(tree(data), ("eval",), None))


@pytest.mark.parametrize(("size", "named"), [(1.0, True), (30.0, False)])
def test_an_adapter_without_a_trace_of_its_start_is_named_unless_training_may_have_covered_it(
    data: Path, size: float, named: bool
) -> None:
    """A high learning rate makes weights that are many times as large as those that the adapter started from."""
    path = data / STUDENT_AA / "adapter_model.safetensors"
    drawn = np.random.default_rng(1)
    adapter = {
        name: (size * drawn.uniform(-1, 1, values.shape) / np.sqrt(values.shape[1])).astype(np.float32)
        if "lora_A" in name
        else values
        for name, values in load_file(path).items()
    }
    save_file(adapter, path, {"format": "pt"})
    found_in_file = weights.tensors(path)

    def table(frame: pl.DataFrame) -> pl.DataFrame:
        of = [found_in_file[name] for name in frame["name"]]
        return frame.with_columns(
            pl.Series("sha256", [each.sha256() for each in of]), pl.Series("norm", [each.norm() for each in of])
        )

    def faster(plan: Plan) -> Plan:
        if plan.cell != STUDENT_AA:
            return plan
        learning = cast("Mapping[str, Any]", plan.params["finetune"])
        return replace(plan, params={**plan.params, "finetune": {**learning, "learning_rate": 1.0}})

    rewrite(data / STUDENT_AA / "tensors.parquet", table)
    of_student = {finding.found.partition(":")[0]: finding for finding in found(data, faster) if finding.artifact == STUDENT_AA}
    assert ("adapter" in of_student) == named
    if named:
        assert "found no trace of them" in of_student["adapter"].found
        assert of_student["adapter"].status == UNVERIFIABLE
    assert of_student.keys() - {"adapter"} == {"learning rates"}


def test_a_broken_chain_is_named(data: Path) -> None:
    assert chain.check(tree(data)) == []
    records = dict(tree(data).records)
    student, control = records[STUDENT_AA], records[FILTERED_CONTROL]
    given = {**student.inputs, "filtered": Input(FILTERED_CONTROL, control.digest)}
    replace(student, inputs=given).write(data / STUDENT_AA / "record.json")
    shutil.rmtree(data / TEACHER_B)
    set_json(data / BASE_A / "config.json", "model_type", "gptj")
    base = tree(data).records[BASE_A]
    edited = Output(sha256(data / BASE_A / "config.json"), 1)
    replace(base, outputs={**base.outputs, "config.json": edited}).write(data / BASE_A / "record.json")
    statuses = {(finding.artifact, finding.status) for finding in chain.check(tree(data))}
    assert {(STUDENT_AA, CORRUPTED), (RAW_B, UNVERIFIABLE), (RAW_A, STALE), (EVAL_BASE_A, STALE)} <= statuses
    assert (EVAL_BASE_B, STALE) not in statuses


def test_what_other_code_made_cannot_be_called_corrupted(data: Path) -> None:
    relabel_reason(data)

    def older(plan: Plan) -> Plan:
        return replace(plan, code={**plan.code, "sublim.carriers.numbers": "0" * 64}) if plan.cell == FILTERED_A else plan

    findings = found(data, older)
    assert {finding.status for finding in findings} == {UNVERIFIABLE}
    assert all("sublim.carriers.numbers" in finding.found for finding in findings)


def test_only_the_stages_asked_for_are_looked_at(data: Path) -> None:
    relabelled_dataset(data)
    counted_wrong(data)
    launder(data)
    assert kinds(story.check(tree(data), ("eval",), None)) == {(EVAL_AA, "counted")}


def test_what_holds_is_remembered_until_something_changes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proven = data.parent / "proven.json"
    looked_at: list[str] = []

    def spied(check: Callable[[Source, str], Iterator[Accident]]) -> Callable[[Source, str], Iterator[Accident]]:
        def noted(source: Source, cell: str) -> Iterator[Accident]:
            looked_at.append(cell)
            return check(source, cell)

        return noted

    for stage in stages().values():
        monkeypatch.setattr(stage.check(), "check", spied(stage.check().check))
    assert story.check(tree(data), tuple(stages()), proven) == []
    assert looked_at == []
    set_cell(data / STUDENT_AA / "steps.parquet", "loss", 0, 1.0)
    findings = found(data)
    assert set(looked_at) == {STUDENT_AA, EVAL_AA, REPORT}
    assert kinds(findings) == {(REPORT, "numbers")}
    looked_at.clear()
    assert story.check(tree(data), tuple(stages()), proven) == findings
    assert set(looked_at) == {REPORT}
    looked_at.clear()
    proven.write_text("{", encoding="utf-8")
    assert story.check(tree(data), ("eval",), proven) == []
    assert len(looked_at) == 14


def test_a_check_that_an_unsound_input_cut_short_is_not_taken_for_proof(data: Path) -> None:
    """The data set is mended, the filtered rows that were forged with it are not: now they are named."""
    kept = (data / RAW_A / "rows.parquet").read_bytes()
    relabelled_dataset(data)
    set_cell(data / FILTERED_A / "rows.parquet", "prompt", 0, "Hello.")
    assert (RAW_A, "row ids") in kinds(found(data))
    (data / RAW_A / "rows.parquet").write_bytes(kept)
    assert kinds(found(data)) == {(FILTERED_A, "prompts")}


def test_whole_columns_of_ids_and_seeds_are_those_of_the_rows() -> None:
    rows = pl.Series("x", [row_id("x", n) for n in range(100)])
    identity = ("filtered", 'näme "with" \\ all', "fox", 3)
    one_by_one = [row_id(*identity, row) for row in rows]
    assert ids.ids(identity, rows).to_list() == one_by_one
    assert ids.agree(pl.Series(one_by_one), identity, rows)
    assert not ids.agree(pl.Series([*one_by_one[:-1], one_by_one[0]]), identity, rows)
    numbers = pl.Series(range(100))
    assert ids.ids(identity, rows, numbers).to_list() == [row_id(*identity, row, n) for n, row in enumerate(rows)]
    assert ids.seeds(rows).tolist() == [row_seed(row) for row in rows]


def test_initial_weights_are_those_that_training_starts_from() -> None:
    import torch

    seed = 0xABCDEF0123456789
    generator = torch.Generator().manual_seed(seed % (1 << 63))
    shapes = [(2, 5), (3, 7)]
    drawn = torch.cat([(torch.rand(shape, generator=generator) * 2 - 1).flatten() for shape in shapes]).numpy()
    assert np.allclose(weights.initial(shapes, seed), drawn, atol=1e-6)


def test_weights_are_read_without_torch(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    from sublim.learn.tensors import tensor_table

    generator = torch.Generator().manual_seed(1)
    tensors = {
        f"{kind}".removeprefix("torch."): torch.rand((3, 5), generator=generator).to(kind)
        for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    }
    tensors |= {"whole": torch.arange(7), "nothing": torch.empty((0, 4))}
    save_file(tensors, tmp_path / "x.safetensors")
    found = weights.tensors(tmp_path / "x.safetensors")
    for row in tensor_table([tmp_path / "x.safetensors"]).iter_rows(named=True):
        tensor = found[row["name"]]
        assert (list(tensor.shape), tensor.dtype, tensor.sha256()) == (row["shape"], row["dtype"], row["sha256"])
        assert tensor.norm() == pytest.approx(row["norm"], rel=1e-9)


def test_the_story_needs_no_torch(finished: Project) -> None:
    code = (
        "import sys; from pathlib import Path; from sublim.engine.stage import stages; "
        "from sublim.lineage.story import story; from tests.shared.forge import tree; "
        f"assert not story.check(tree(Path({os.fspath(finished.path / 'data')!r})), tuple(stages()), None); "
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_findings_are_plain_json(data: Path) -> None:
    from dataclasses import asdict

    relabelled_reason(data)
    assert json.loads(json.dumps([asdict(finding) for finding in found(data)]))
