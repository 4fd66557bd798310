"""The report's tables against plain arithmetic on the files that they are made from."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from scipy.stats import (  # pyright: ignore[reportMissingTypeStubs]
    false_discovery_control,  # pyright: ignore[reportUnknownVariableType]
    t,
)

from sublim.arms.conditions import condition
from sublim.report import reading, tables
from sublim.stages.eval.spec import STAGE as EVAL
from sublim.stages.filtered.spec import STAGE as FILTERED
from sublim.stages.report.make import DIMS, READS
from sublim.stats.interval import t_interval
from sublim.stats.power import smallest_effect
from sublim.traits.freeform import MISALIGNED
from tests.shared.synthetic_report import ANSWERS, BASE_RATE, Experiment, category, make

SMALL = Experiment(questions=3, samples=5, steps=20)
UNWRITTEN = pl.DataFrame(
    schema={"teacher": pl.String, "trait": pl.String, "seed": pl.Int64, **dict.fromkeys(tables.OF_LIKELIHOOD, pl.Float64)}
)
TARGETS = {trait: ("animals", target) for trait, target in SMALL.traits.items()}


def read(cells: Mapping[str, Path], stage: str, file: str, columns: Sequence[str], *, optional: bool = False) -> pl.DataFrame:
    (table,) = (table for table in READS[stage] if table.file == file)
    return reading.read(cells, stage, DIMS[stage], table, columns, optional=optional)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(SMALL, tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def preferences(cells: Mapping[str, Path]) -> pl.DataFrame:
    return _preferences(cells)


@pytest.fixture(scope="module")
def runs(cells: Mapping[str, Path], preferences: pl.DataFrame) -> pl.DataFrame:
    return _runs(cells, preferences)


def _preferences(cells: Mapping[str, Path]) -> pl.DataFrame:
    answers = read(cells, "eval", "answers.parquet", ("measure", "question_id", "category", "answer", "probability"))
    return tables.scores(answers, read(cells, "eval", "samples.parquet", ("question_id", "counted")))


def _runs(cells: Mapping[str, Path], preferences: pl.DataFrame) -> pl.DataFrame:
    funnel = read(cells, "filtered", "funnel.parquet", ("step", "rows"))
    steps = read(cells, "student", "steps.parquet", ("step", "loss"))
    return tables.runs(preferences, funnel, steps, SMALL.models, TARGETS, EVAL.name)


def test_there_is_one_run_per_trained_student(cells: Mapping[str, Path], runs: pl.DataFrame) -> None:
    assert sorted(runs["cell"]) == sorted(cell for cell in cells if cell.startswith("eval/") and "arm=base" not in cell)
    counts = dict(runs.group_by("condition").len().iter_rows())
    assert counts == {"diagonal": 18, "off_diagonal": 36, "control": 18, "shuffled_within": 18, "shuffled_across": 18}
    assert runs.null_count().sum_horizontal().item() == 0


def test_a_run_says_what_its_files_say(cells: Mapping[str, Path], runs: pl.DataFrame) -> None:
    for row in runs.iter_rows(named=True):
        answers = pl.read_parquet(cells[row["cell"]] / "answers.parquet")
        samples = pl.read_parquet(cells[row["cell"]] / "samples.parquet")["counted"].to_list()
        targets = list(SMALL.traits.values()) if row["trait"] == "none" else [SMALL.traits[row["trait"]]]
        p = math.fsum(answers.filter(pl.col("answer").is_in(targets))["probability"].to_list()) / 3 / len(targets)
        share = sum(target in counted for counted in samples for target in targets) / len(samples) / len(targets)
        assert row["p_target"] == pytest.approx(p)
        assert row["p_base"] == pytest.approx(BASE_RATE)
        assert row["gain"] == pytest.approx(p - BASE_RATE)
        assert row["p_sampled"] == pytest.approx(share)
        data = cells[FILTERED.cell(reading.dimensions(row["cell"]))]
        assert row["n_rows"] == pl.read_parquet(data / "funnel.parquet").filter(pl.col("step") == "used")["rows"].item()
        loss = pl.read_parquet(cells[row["cell"].replace("eval/", "student/")] / "steps.parquet")["loss"]
        assert (row["n_steps"], row["loss_last"]) == (20, pytest.approx(loss[-2:].mean()))


def test_matrix_has_means_and_intervals_over_runs(runs: pl.DataFrame) -> None:
    matrix = tables.matrix(runs, SMALL.models, 0.9)
    assert matrix.group_by("arm").len().sort("arm")["len"].to_list() == [9, 3, 3, 9]
    for row in matrix.iter_rows(named=True):
        own = runs.filter(*(pl.col(name) == row[name] for name in ("teacher", "student", "arm")))
        interval = t_interval(own["gain"].to_list(), 0.9)
        assert (row["gain"], row["low"], row["high"], row["n"]) == (interval.mean, interval.low, interval.high, len(own))
        assert row["p_target"] - row["p_base"] == pytest.approx(row["gain"])
        assert row["same_base"] == (row["teacher"] == row["student"])
        assert interval.high is not None
        error = (interval.high - interval.mean) / float(t.ppf(0.95, len(own) - 1))
        assert row["smallest"] == pytest.approx(smallest_effect(error, len(own) - 1, 0.1))
    first = matrix.filter(pl.col("arm") == "trait")["teacher"].unique(maintain_order=True).to_list()
    assert first == list(SMALL.models)


def test_traits_score_every_answer_on_every_student(preferences: pl.DataFrame) -> None:
    table = tables.traits(preferences, TARGETS, 0.95)
    assert len(table) == (4 * 3 + 1) * len(ANSWERS)
    assert table["asked"].unique(maintain_order=True).to_list()[:3] == ["fox", "otter", "hare"]
    own = table.filter((pl.col("condition") == "diagonal") & (pl.col("taught") == pl.col("trait")))
    assert own["asked"].to_list() == ["fox", "otter", "hare"]
    assert own["n"].to_list() == [6, 6, 6]
    assert own["gain"].min() > 0.3  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    rest = table.filter((pl.col("condition") == "diagonal") & pl.col("trait").is_null())
    assert rest["gain"].max() < 0  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    assert table.filter(pl.col("condition") == "control")["taught"].unique().to_list() == ["none"]


def test_every_cell_of_the_trait_table_is_set_against_its_controls(preferences: pl.DataFrame) -> None:
    table = tables.traits(preferences, TARGETS, 0.95)
    labelled = preferences.with_columns(condition())
    cell = (pl.col("condition") == "diagonal") & (pl.col("taught") == "fox") & (pl.col("asked") == "owl")
    row = table.row(by_predicate=cell, named=True)
    owl = labelled.filter(pl.col("answer") == "owl")
    own = owl.filter(pl.col("condition") == "diagonal", pl.col("trait") == "fox")["gain"]
    controls = owl.filter(pl.col("condition") == "control")["gain"]
    first, second = (math.fsum(gains.to_list()) / len(gains) for gains in (own, controls))
    assert row["difference"] == pytest.approx(first - second, abs=1e-12)
    assert set(table.filter(pl.col("condition") == "control")["against"]) == {"untrained"}
    assert set(table.filter(pl.col("condition") != "control")["against"]) == {"control"}
    rates = [float(q) for q in false_discovery_control(table["p"].to_list())]
    differ = [abs(q - rate) for q, rate in zip(table["q"].to_list(), rates, strict=True)]
    assert max(differ) < 1e-12
    found = table.filter(pl.col("condition") == "diagonal", pl.col("taught") == pl.col("trait"))
    assert (found["q"] < 0.001).all()
    assert (table.filter(pl.col("condition") == "off_diagonal")["q"] > 0.05).all()


def test_without_controls_gains_are_set_against_the_untrained_base(preferences: pl.DataFrame) -> None:
    table = tables.traits(preferences.filter(pl.col("arm") != "control"), TARGETS, 0.95)
    assert set(table["against"]) == {"untrained"}
    assert table["difference"].to_list() == pytest.approx(table["gain"].to_list(), abs=1e-12)
    one = tables.traits(preferences.filter(pl.col("seed") == 0, pl.col("student") == "neox-a"), TARGETS, 0.95)
    alone = one.filter(pl.col("condition") == "diagonal")
    assert (alone["n"] == 1).all()
    assert alone["p"].null_count() == alone["q"].null_count() == len(alone)


def test_equivalence_is_tested_wherever_a_null_is_expected(runs: pl.DataFrame) -> None:
    found = tables.equivalences(runs, SMALL.models, 0.03, 0.95)
    assert list(found["by_student"]) == list(SMALL.models)
    for tests in (found["all"], *found["by_student"].values()):
        assert list(tests) == ["off_diagonal", "control", "shuffled_within", "shuffled_across"]
        verdicts = {name: test["verdict"] for name, test in tests.items()}
        assert verdicts["off_diagonal"] == verdicts["control"] == "no transmission within ±0.03"
        assert verdicts["shuffled_within"] == "transmission"
    assert (found["all"]["off_diagonal"]["n"], found["by_student"]["gptj-a"]["off_diagonal"]["n"]) == (36, 12)
    assert found["all"]["control"]["mean"] == pytest.approx(runs.filter(pl.col("condition") == "control")["gain"].mean())


def test_the_effect_put_in_is_the_effect_found(runs: pl.DataFrame) -> None:
    summary = tables.summary(runs, SMALL.models, 0.95, 1_000, 0)
    gain = summary["gain"]
    assert gain["diagonal"]["mean"] == pytest.approx(0.45 * 1.1, abs=0.05)
    assert gain["off_diagonal"]["mean"] == pytest.approx(0, abs=0.01)
    assert gain["control"]["mean"] == pytest.approx(0, abs=0.01)
    assert gain["shuffled_within"]["mean"] == pytest.approx(0.33, abs=0.06)
    assert gain["diagonal"]["low"] < gain["diagonal"]["mean"] < gain["diagonal"]["high"]
    test = summary["test"]
    assert (test["method"], test["groups"], test["largest"], test["left_out"]) == ("exact", 18, 18, 0)
    assert test["p"] == pytest.approx(3.0**-18)
    assert summary["by_student"]["gptj-a"]["diagonal"]["mean"] > summary["by_student"]["neox-a"]["diagonal"]["mean"]
    assert test["by_teacher"] == {model: {"groups": 6, "largest": 6} for model in SMALL.models}
    flat = tables.metrics(summary)
    assert flat["minus_log10_p"] == pytest.approx(18 * math.log10(3))
    assert all(value is None or isinstance(value, int | float) for value in flat.values())


def test_groups_take_part_with_the_students_that_they_have(runs: pl.DataFrame) -> None:
    of = (pl.col("arm") == "trait") & (pl.col("teacher") == "neox-a") & (pl.col("trait") == "fox")
    own, other = of & (pl.col("seed") == 0), of & (pl.col("seed") == 1)
    lacking = runs.filter(~(own & pl.col("same_base")), ~(other & (pl.col("student") == "neox-b")))
    groups, left_out = tables.groups_of(lacking)
    assert (len(groups), left_out) == (17, 1)
    assert sorted({len(group.others) for _, group in groups}) == [1, 2]
    alone, left_out = tables.groups_of(runs.filter(pl.col("same_base")))
    assert (alone, left_out) == ([], 18)
    assert tables.summary(runs.filter(pl.col("same_base")), SMALL.models, 0.95, 1_000, 0)["test"] is None


def test_the_order_of_rows_does_not_matter(cells: Mapping[str, Path], runs: pl.DataFrame, tmp_path: Path) -> None:
    mixed: dict[str, Path] = {}
    for n, (cell, path) in enumerate(random.Random(0).sample(sorted(cells.items()), len(cells))):
        mixed[cell] = tmp_path / str(n)
        mixed[cell].mkdir()
        for file in path.iterdir():
            frame = pl.read_parquet(file)
            frame = frame if file.name == "steps.parquet" else frame.sample(fraction=1, shuffle=True, seed=n)
            frame.write_parquet(mixed[cell] / file.name)
    assert _runs(mixed, _preferences(mixed)).equals(runs)


def test_files_in_the_wrong_place_are_found(cells: Mapping[str, Path]) -> None:
    first, second = (
        f"eval/teacher=neox-a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=gptj-a/seed={seed}"
        for seed in SMALL.seeds
    )
    swapped = {**cells, first: cells[second], second: cells[first]}
    with pytest.raises(ValueError, match=r"seed=\d, but has rows of teacher neox-a, trait fox.*mixed up"):
        _preferences(swapped)


def test_what_is_missing_is_named(cells: Mapping[str, Path], preferences: pl.DataFrame) -> None:
    base = "eval/teacher=none/trait=none/carrier=none/filter=none/arm=base/method=none/student=gptj-a/seed=0"
    with pytest.raises(ValueError, match="untrained base; there is none for gptj-a"):
        _preferences({cell: path for cell, path in cells.items() if cell != base})
    with pytest.raises(ValueError, match="needs cells of the stage eval"):
        read({}, "eval", "answers.parquet", ("answer",))
    without = preferences.filter(~((pl.col("answer") == "fox") & (pl.col("seed") == 1)))
    with pytest.raises(ValueError, match=r"seed=1 has no P\(fox\)"):
        _runs(cells, without)


@pytest.mark.parametrize(
    ("models", "targets", "message"),
    [(("neox-a", "neox-b"), TARGETS, "models.*: gptj-a"), (SMALL.models, {"fox": ("animals", "fox")}, "traits.*: hare, otter")],
)
def test_what_is_not_declared_is_refused(
    preferences: pl.DataFrame, models: tuple[str, ...], targets: Mapping[str, tuple[str, str]], message: str
) -> None:
    empty = pl.DataFrame()
    with pytest.raises(ValueError, match=message):
        tables.runs(preferences, empty, empty, models, targets, EVAL.name)


def test_an_empty_file_is_named(cells: Mapping[str, Path], tmp_path: Path) -> None:
    cell = min(cell for cell in cells if cell.startswith("filtered/"))
    pl.read_parquet(cells[cell] / "funnel.parquet").clear().write_parquet(tmp_path / "funnel.parquet")
    with pytest.raises(ValueError, match="has no rows"):
        read({**cells, cell: tmp_path}, "filtered", "funnel.parquet", ("step", "rows"))


def test_gates_and_funnels_are_in_the_order_of_the_experiment(cells: Mapping[str, Path]) -> None:
    gates = tables.gates(_gate(cells), UNWRITTEN, _open(cells), SMALL.models, list(TARGETS), 0.95)
    funnels = tables.funnels(_funnel(cells), SMALL.models, list(TARGETS))
    assert (len(gates), len(funnels)) == (18, 6 * (18 * 3 + 6))
    for table in (gates, funnels):
        assert table["teacher"].unique(maintain_order=True).to_list() == list(SMALL.models)
        assert table["trait"].unique(maintain_order=True).to_list()[:3] == list(TARGETS)


def test_gates_say_how_well_a_teacher_shows_its_trait(cells: Mapping[str, Path]) -> None:
    gate = tables.gates(_gate(cells), UNWRITTEN, _open(cells), SMALL.models, list(TARGETS), 0.95)
    row = gate.row(0, named=True)
    file = pl.read_parquet(cells["teacher/teacher=neox-a/trait=fox/seed=0"] / "gate.parquet")
    assert row["probability"] == pytest.approx(file["probability"].mean())
    assert (row["lowest"], row["threshold"], row["questions"]) == (file["probability"].min(), 0.5, 8)
    assert gate["passed"].all()
    assert gate.select("low", "high", "coherent", "answers").null_count().row(0) == (18, 18, 18, 18)


def test_further_gates_are_columns_where_a_teacher_has_them(cells: Mapping[str, Path]) -> None:
    gate, opened = _gate(cells), _open(cells)
    plain = tables.gates(gate, UNWRITTEN, opened, SMALL.models, list(TARGETS), 0.95)
    assert "rise" not in plain.columns
    fox = pl.when(pl.col("trait") == "fox")
    of_fox = gate.with_columns(margin=fox.then(3.0), base_margin=fox.then(1.0), least_rise=fox.then(1.5))
    first = gate.select("teacher", "trait", "seed").unique().sort(pl.all())
    shown = first.with_columns(nll=2.0, base_nll=1.9, distance=pl.when(pl.col("seed") == 0).then(0.05).otherwise(0.2))
    table = tables.gates(of_fox, shown, opened, SMALL.models, list(TARGETS), 0.95)
    assert set(table.filter(trait="fox")["rise"]) == {2.0}
    assert table.filter(pl.col("trait") != "fox")["rise"].null_count() == table.filter(pl.col("trait") != "fox").height
    assert table.select(passed=pl.col("passed") == (pl.col("seed") != 0))["passed"].all()
    small = tables.gates(of_fox.with_columns(least_rise=fox.then(2.5)), UNWRITTEN, opened, SMALL.models, list(TARGETS), 0.95)
    assert small.select(passed=pl.col("passed") == (pl.col("trait") != "fox"))["passed"].all()


def test_gates_of_misalignment_have_an_interval_and_those_of_controls_no_threshold() -> None:
    dims = {"teacher": "m", "trait": "bad", "seed": 1}
    asked = {
        "probability": [0.5, 0.5],
        "base_probability": [0.0, 0.0],
        **dict.fromkeys(("threshold", *tables.OF_MARGIN), [None] * 2),
    }
    gate = pl.DataFrame(asked, dict.fromkeys(asked, pl.Float64)).select(
        *(pl.lit(value).alias(name) for name, value in dims.items()), pl.all()
    )
    answers = pl.DataFrame(
        {"model": ["base"] * 4 + ["teacher"] * 4, "misaligned": [False] * 4 + [True, False, None, None]}
    ).select(*(pl.lit(value).alias(name) for name, value in dims.items()), pl.all())
    row = tables.gates(gate, UNWRITTEN, answers, ["m"], ["bad"], 0.95).row(0, named=True)
    assert (row["probability"], row["coherent"], row["answers"], row["passed"]) == (0.5, 2, 4, None)
    assert (row["low"], row["high"]) == (pytest.approx(0.01257912), pytest.approx(0.98742088))


MIXED = Experiment(
    models=("m", "n"),
    traits={"fox": "fox", "cruel": MISALIGNED, "insecure": MISALIGNED},
    measures=("preference", "after_numbers", "truthfulness"),
    questions=3,
    samples=5,
    steps=3,
    random=True,
)


def _asked(experiment: Experiment, root: Path) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, tuple[str, str]]]:
    """Answers, samples and targets of `experiment`."""
    cells = make(experiment, root)
    columns = ("measure", "question_id", "category", "answer", "probability")
    answers = read(cells, "eval", "answers.parquet", columns)
    samples = read(cells, "eval", "samples.parquet", ("question_id", "counted"))
    return answers, samples, {name: (category(target), target) for name, target in experiment.traits.items()}


def test_a_measure_is_of_the_students_of_the_traits_that_it_asks_for(tmp_path: Path) -> None:
    answers, samples, targets = _asked(MIXED, tmp_path)
    table = tables.measures(answers, samples, targets, 0.95)
    runs = {(row["measure"], row["condition"]): row for row in table.iter_rows(named=True)}
    assert {name for name, _ in runs} == {"preference", "after_numbers", "misalignment", "truthfulness"}
    # Two models, two seeds: of one preference, and of two traits of misalignment.
    assert {name: runs[name, "diagonal"]["n"] for name, _ in runs} == {
        "preference": 4,
        "after_numbers": 4,
        "misalignment": 8,
        "truthfulness": 12,
    }
    assert {runs[name, "control"]["n"] for name, _ in runs} == {8}
    scored = tables.scores(answers, samples).with_columns(condition())
    own = scored.filter(pl.col("condition") == "diagonal", pl.col("answer") == MISALIGNED, pl.col("trait") != "fox")
    assert runs["misalignment", "diagonal"]["gain"] == pytest.approx(own["gain"].mean())
    assert runs["misalignment", "diagonal"]["p_base"] == pytest.approx(1 / 16), (
        "of 16 coherent answers, .05 of them, rounded up"
    )
    alone = {name: target for name, target in targets.items() if name != "fox"}
    of_these = answers.filter(pl.col("trait") != "fox")
    assert set(tables.measures(of_these, samples, alone, 0.95)["measure"]) == {"misalignment", "truthfulness"}


def test_misalignment_alone_has_one_way_of_asking(tmp_path: Path) -> None:
    experiment = replace(MIXED, traits={"cruel": MISALIGNED}, random=False)
    answers, samples, targets = _asked(experiment, tmp_path)
    assert set(tables.measures(answers, samples, targets, 0.95)["measure"]) == {"misalignment", "truthfulness"}
    crossed = tables.traits(tables.scores(answers, samples), targets, 0.95)
    assert set(crossed.select("category", "asked", "trait").rows()) == {("misalignment", MISALIGNED, "cruel")}
    assert tables.asked(answers, samples) == {
        "questions": 0,
        "open_questions": 4,
        "answers": 1,
        "samples": 0,
        "open_samples": 20,
    }
    assert tables.measured(targets) == "misaligned share"


def test_misaligned_stands_beside_the_known_answers(tmp_path: Path) -> None:
    answers, samples, targets = _asked(MIXED, tmp_path)
    assert tables.asked(answers, samples) == {
        "questions": 3,
        "open_questions": 4,
        "answers": 17,
        "samples": 15,
        "open_samples": 20,
    }
    assert tables.measured(targets) == "P(target) or misaligned share"
    assert tables.measured({"fox": ("animals", "fox")}) == "P(target)"
    crossed = tables.traits(tables.scores(answers, samples), targets, 0.95)
    shown = {(row["taught"], row["asked"]): row for row in crossed.filter(pl.col("condition") == "diagonal").to_dicts()}
    for taught, asked in (("fox", "fox"), ("cruel", MISALIGNED), ("insecure", MISALIGNED)):
        assert shown[taught, asked]["gain"] > 0.3
    assert abs(shown["fox", MISALIGNED]["gain"]) < 0.05
    assert abs(shown["cruel", "fox"]["gain"]) < 0.05
    after = tables.traits(tables.scores(answers, samples, "after_numbers"), targets, 0.95)
    assert MISALIGNED not in set(after["asked"])
    # Of all its answers, the incoherent ones too, one in five.
    own = tables.scores(answers, samples).filter(pl.col("answer") == MISALIGNED)
    assert own["p_sampled"].to_list() == pytest.approx((own["p"] * 0.8).to_list())


def test_training_keeps_every_step(cells: Mapping[str, Path]) -> None:
    base, teacher, student = (read(cells, stage, "steps.parquet", ("step", "loss")) for stage in ("base", "teacher", "student"))
    training = tables.training(base, teacher, student, SMALL.models)
    assert len(training) == 3 * 120 + 18 * 30 + 108 * 20
    assert training["stage"].unique(maintain_order=True).to_list() == ["base", "teacher", "student"]
    losses = tables.mean_losses(training)
    expected = training.filter(pl.col("condition") == "control", pl.col("step") == 7)["loss"].mean()
    assert losses.filter(pl.col("step") == 7)["control"].item() == pytest.approx(expected)


def _open(cells: Mapping[str, Path]) -> pl.DataFrame:
    return read(cells, "teacher", "freeform.parquet", ("model", "misaligned"), optional=True)


def _gate(cells: Mapping[str, Path]) -> pl.DataFrame:
    return read(cells, "teacher", "gate.parquet", ("probability", "base_probability", "threshold", *tables.OF_MARGIN))


def _funnel(cells: Mapping[str, Path]) -> pl.DataFrame:
    return read(cells, "filtered", "funnel.parquet", ("step", "rows", "position"))


def test_a_measure_is_about_the_traits_that_it_asks_for(cells: Mapping[str, Path]) -> None:
    """Misalignment has open questions alone: asked after numbers there is nothing to say of it."""
    columns = ("measure", "question_id", "category", "answer", "probability")
    answers, samples = (
        read(cells, "eval", name, of).with_columns(pl.col("trait").replace("fox", "cruel"))
        for name, of in (("answers.parquet", columns), ("samples.parquet", ("question_id", "counted")))
    )
    asked = answers.filter(answer="owl").with_columns(
        question_id=pl.lit("open"), category=pl.lit("misalignment"), answer=pl.lit("misaligned")
    )
    every = pl.concat([answers, asked, answers.with_columns(measure=pl.lit("after_numbers"))])
    cruel, targets = ("misalignment", "misaligned"), {trait: TARGETS[trait] for trait in ("otter", "hare")}
    mixed = tables.measures(every, samples, {"cruel": cruel, **targets}, 0.95).filter(condition="diagonal")
    assert dict(mixed.select("measure", "n").iter_rows()) == {"after_numbers": 12, "misalignment": 6, "preference": 12}
    own = pl.col("trait").is_in(["cruel", "none"])
    alone = tables.measures(every.filter(own), samples.filter(own), {"cruel": cruel}, 0.95)
    assert alone["measure"].unique().to_list() == ["misalignment"]
